"""A pipeline in which every call of a port is a numbered point, where the process can fail or die.

The store, the queue's store, the object source and the provider's client over HTTP are real. A
clock fakes the time. An exception that no code catches fakes the death of the process; every later
call of the dead process raises it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from cli.fake_mavi.server import FakeMavi
from tests.fakes import Clock, LogLines, Sleeper
from transcripts.embedded.database import Database
from transcripts.errors import (
    ObjectUnavailable,
    QueueUnavailable,
    StoreUnavailable,
    TransientError,
)
from transcripts.mavi.answers import AssetState, Sent, SubmitAnswer, UploadAnswer
from transcripts.mavi.client import File, MaviClient
from transcripts.ports import (
    Count,
    Delete,
    Documents,
    ObjectReader,
    ObjectSource,
    Query,
    Read,
    Snapshot,
    SubmitQueue,
    T,
    Write,
)
from transcripts.retry import Retrier
from transcripts.settings import ObjectLimits
from transcripts.submissions.intake import Intake
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.service import SubmissionService
from transcripts.submissions.submission import SpendCounter, Submission
from transcripts.submissions.submitter import Submitter
from transcripts.submissions.sweep import Sweeper
from transcripts.submissions.uploader import Uploader
from transcripts.uploads.stored_object import StoredObject

LEASE_OVER_S = 6 * 60
STALLED_S = 3 * 3600


class Killed(BaseException):
    """The process is gone; no code of the pipeline may catch it."""


class Mode(StrEnum):
    """The fault that happens at a point."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    FAILS = "does not happen, and says so"
    ANSWER_LOST = "happens, and says that it failed"


def modes_at(name: str) -> list[Mode]:
    """Return what may happen at an effect of that name.

    A read changes nothing, so dying before it and after it are one case. The fake provider makes
    the faults of its own answers.
    """
    looks = name.startswith(("read", "query", "ids", "stat", "open", "chunk", "mavi metadata"))
    provider = name.startswith("mavi")
    modes = [Mode.KILLED_BEFORE]
    if not looks:
        modes.append(Mode.KILLED_AFTER)
    if not provider:
        modes.append(Mode.FAILS)
    if not looks and not provider:
        modes.append(Mode.ANSWER_LOST)
    return modes


@dataclass
class FaultPlan:
    """Tells which effect fails, and how; without ``point`` none. ``seen`` names all effects.

    The process also dies before the first effect of the name ``dies_before``.
    """

    point: int | None = None
    mode: Mode = Mode.KILLED_BEFORE
    dies_before: str | None = field(default=None, kw_only=True)
    seen: list[str] = field(default_factory=list)
    dead: bool = False

    def _strikes(self, name: str) -> bool:
        self.dead = self.dead or name == self.dies_before
        if self.dead:
            raise Killed
        self.seen.append(name)
        return len(self.seen) - 1 == self.point

    def before(self, name: str, error: type[TransientError] | None) -> bool:
        """Number an effect before it happens; tells whether the fault is at this one."""
        strikes = self._strikes(name)
        if strikes and self.mode is Mode.KILLED_BEFORE:
            self.dead = True
            raise Killed
        if strikes and self.mode is Mode.FAILS and error is not None:
            raise error("injected")
        return strikes

    def after(self, error: type[TransientError] | None, *, strikes: bool) -> None:
        """Fail or die after an effect, if the plan says so."""
        if self.dead or (strikes and self.mode is Mode.KILLED_AFTER):
            self.dead = True
            raise Killed
        if strikes and self.mode is Mode.ANSWER_LOST and error is not None:
            raise error("injected")

    async def effect(
        self, name: str, call: Callable[[], Awaitable[Any]], error: type[TransientError] | None
    ) -> Any:
        """Do the effect, or fail or die instead if the plan says so."""
        strikes = self.before(name, error)
        result = await call()
        self.after(error, strikes=strikes)
        return result

    def blocking(
        self, name: str, call: Callable[[], Any], error: type[TransientError] | None
    ) -> Any:
        """Do the same in a thread."""
        strikes = self.before(name, error)
        result = call()
        self.after(error, strikes=strikes)
        return result


class FaultyDocuments:
    """A store each of whose calls is a point."""

    def __init__(self, documents: Documents, fault_plan: FaultPlan) -> None:
        self._documents = documents
        self._fate = fault_plan

    async def read(self, *reads: Read[T]) -> Sequence[Snapshot[T] | None]:
        name = "read " + " ".join(read.path.partition("/")[0] for read in reads)
        found: Sequence[Snapshot[T] | None] = await self._fate.effect(
            name, lambda: self._documents.read(*reads), StoreUnavailable
        )
        return found

    async def query(self, query: Query[T]) -> Sequence[Snapshot[T]]:
        found: Sequence[Snapshot[T]] = await self._fate.effect(
            f"query {query.collection}", lambda: self._documents.query(query), StoreUnavailable
        )
        return found

    async def count(self, *counts: Count) -> Sequence[int]:
        found: Sequence[int] = await self._fate.effect(
            "count", lambda: self._documents.count(*counts), StoreUnavailable
        )
        return found

    async def ids(self, collection: str, *, limit: int, after: str = "") -> Sequence[str]:
        found: Sequence[str] = await self._fate.effect(
            f"ids {collection.rpartition('/')[2]}",
            lambda: self._documents.ids(collection, limit=limit, after=after),
            StoreUnavailable,
        )
        return found

    async def commit(self, *writes: Write | Delete) -> None:
        name = "commit " + " ".join(_described(write) for write in writes)
        await self._fate.effect(name, lambda: self._documents.commit(*writes), StoreUnavailable)


def _described(write: Write | Delete) -> str:
    collection = write.path.partition("/")[0]
    if isinstance(write, Delete):
        return f"-{collection}"
    return (
        f"{collection}={write.value.state}" if isinstance(write.value, Submission) else collection
    )


class FaultyQueue:
    """A queue each of whose calls is a point."""

    def __init__(self, queue: SubmitQueue, fault_plan: FaultPlan) -> None:
        self._queue = queue
        self._fate = fault_plan

    async def enqueue(self, name: str, submission_id: str) -> None:
        await self._fate.effect(
            "enqueue", lambda: self._queue.enqueue(name, submission_id), QueueUnavailable
        )


class FaultyObjects:
    """A source each of whose calls is a point, every chunk too."""

    def __init__(self, source: ObjectSource, fault_plan: FaultPlan) -> None:
        self._source = source
        self._fate = fault_plan

    def stat(self, bucket: str, name: str, generation: str | None) -> StoredObject:
        stored: StoredObject = self._fate.blocking(
            "stat", lambda: self._source.stat(bucket, name, generation), ObjectUnavailable
        )
        return stored

    def open(self, stored: StoredObject) -> ObjectReader:
        strikes = self._fate.before("open", ObjectUnavailable)
        reader = self._source.open(stored)
        try:
            self._fate.after(ObjectUnavailable, strikes=strikes)
        except BaseException:
            # When a process dies, the system closes its files.
            reader.close()
            raise
        return _FaultyReader(reader, self._fate)


class _FaultyReader:
    def __init__(self, reader: ObjectReader, fault_plan: FaultPlan) -> None:
        self._reader = reader
        self._fate = fault_plan

    def read(self, size: int, /) -> bytes:
        content: bytes = self._fate.blocking(
            "chunk", lambda: self._reader.read(size), ObjectUnavailable
        )
        return content

    def close(self) -> None:
        self._reader.close()


class FaultyProvider:
    """A provider whose requests are points: the process may die before and after each.

    The fake provider makes the other faults of a request.
    """

    def __init__(self, provider: MaviClient, fault_plan: FaultPlan) -> None:
        self._provider = provider
        self._fate = fault_plan

    async def submit(
        self, asset_id: str, max_wait_s: float, before_send: Callable[[], Awaitable[object]]
    ) -> SubmitAnswer:
        answer: SubmitAnswer = await self._fate.effect(
            "mavi submit", lambda: self._provider.submit(asset_id, max_wait_s, before_send), None
        )
        return answer

    async def asset_state(self, asset_id: str, max_wait_s: float) -> AssetState | None:
        state: AssetState | None = await self._fate.effect(
            "mavi metadata", lambda: self._provider.asset_state(asset_id, max_wait_s), None
        )
        return state

    async def signed_url(self, filename: str, max_wait_s: float) -> UploadAnswer:
        answer: UploadAnswer = await self._fate.effect(
            "mavi signed-url", lambda: self._provider.signed_url(filename, max_wait_s), None
        )
        return answer

    async def send(self, url: str, file: File) -> Sent:
        sent: Sent = await self._fate.effect(
            "mavi send", lambda: self._provider.send(url, file), None
        )
        return sent

    async def upload(self, file: File, max_wait_s: float) -> UploadAnswer:
        answer: UploadAnswer = await self._fate.effect(
            "mavi upload", lambda: self._provider.upload(file, max_wait_s), None
        )
        return answer


class Run:
    """One process of each function; all share one plan of faults."""

    def __init__(self, environment: Environment, fault_plan: FaultPlan) -> None:
        documents = FaultyDocuments(environment.documents, fault_plan)
        clock, log = environment.clock, environment.logs.log
        retrier = Retrier(sleep=Sleeper(), jitter=lambda: 0.0)
        sleep = Sleeper(clock)
        ledger = Ledger(documents, retrier, clock=clock, sleep=sleep)
        provider = FaultyProvider(environment.client, fault_plan)
        queue = FaultyQueue(environment.queue, fault_plan)
        self.intake = Intake(ledger, queue, log, clock=clock, limits=ObjectLimits())
        self.service = SubmissionService(
            ledger,
            Submitter(provider, log, clock=clock, sleep=sleep),
            Uploader(
                FaultyObjects(environment.source, fault_plan),
                provider,
                log,
                clock=clock,
                sleep=sleep,
            ),
            log,
            clock=clock,
            new_lease_id=lambda: uuid4().hex,
            cap_per_day=environment.cap_per_day,
        )
        self.sweeper = Sweeper(
            documents,
            retrier,
            ledger,
            queue,
            log,
            clock=clock,
            overdue_after=timedelta(hours=6),
            resubmit_overdue=environment.resubmit_overdue,
        )


Work = Callable[[Run], Awaitable[object]]


@dataclass
class Environment:
    """The parts that outlive every process: stores, queue, objects, the provider, and time."""

    documents: Documents
    queue: SubmitQueue
    database: Database
    source: ObjectSource
    mavi: FakeMavi
    client: MaviClient
    clock: Clock = field(default_factory=Clock)
    logs: LogLines = field(default_factory=LogLines)
    cap_per_day: int = 100
    resubmit_overdue: int = 0

    def ledger(self) -> Ledger:
        """The ledger, read without points."""
        return Ledger(self.documents, Retrier(), clock=self.clock)

    async def waiting(self) -> list[tuple[str, str]]:
        """Return the tasks on the queue: name and submission."""

        def work(connection: sqlite3.Connection) -> list[tuple[str, str]]:
            rows = connection.execute(
                "SELECT name, submission_id FROM queue_task WHERE due IS NOT NULL ORDER BY rowid"
            )
            return [(name, submission_id) for name, submission_id in rows]

        return await self.database.run(work)

    async def done(self, name: str) -> None:
        """Take a task that was answered 2xx from the queue; its name stays known."""
        await self.database.run(
            lambda connection: connection.execute(
                "UPDATE queue_task SET due = NULL WHERE name = ?", (name,)
            )
        )

    async def spent(self) -> int:
        """Return the sum of all spend counters: several days may have passed."""
        days = {(self.clock() - timedelta(days=back)).strftime("%Y-%m-%d") for back in range(4)}
        reads = [Read(f"spend_counters/{day}", SpendCounter) for day in sorted(days)]
        found = await self.documents.read(*reads)
        return sum(each.value.submissions for each in found if each is not None)
