"""Every point at which storing, announcing, renaming, deleting and normalizing can fail or die.

Each piece of work is run once undisturbed, which numbers its effects. Then it is run again for each
of them, in each ``Mode`` that makes a difference there, and then repeated until it ends, as a
redelivery or a caller does, and its end is checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from tests.builders import SPEAKERS, callback_body, push_body
from tests.crash.fault_plan import FaultPlan, FaultyDocuments, Killed, Mode, modes_at
from tests.fakes import NOW, LogLines, RecordingPublisher, Sleeper
from tests.stored import read_raw
from transcripts.callbacks.message import pack
from transcripts.changes.deletion import Deletion
from transcripts.changes.renormalize import Renormalizer
from transcripts.changes.speaker_names import SpeakerNames
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.errors import PublishUnavailable, TransientError
from transcripts.google.documents import FirestoreDocuments
from transcripts.ports import Documents, Message, Read, Write
from transcripts.results.answers import Summary
from transcripts.results.events import ResultEvents
from transcripts.retry import Retrier
from transcripts.submissions.submission import State, Submission, submission_path
from transcripts.tasks import store as task_store
from transcripts.tasks.merge import Outcome
from transcripts.tasks.paging import chunks, paginate
from transcripts.tasks.recorder import Recorder
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Source, Task, task_path

TOPIC = "projects/p/topics/results"
ADA = SPEAKERS[0]
SEGMENTS = 40
CHUNK_BYTES = 200


class FaultyPublisher:
    """A publisher each of whose calls is a point."""

    def __init__(self, publisher: RecordingPublisher, fault_plan: FaultPlan) -> None:
        self._publisher = publisher
        self._plan = fault_plan

    async def publish(self, topic: str, message: Message) -> None:
        await self._plan.effect(
            "publish", lambda: self._publisher.publish(topic, message), PublishUnavailable
        )


@dataclass
class Case:
    """One task in a store, and what works on it; ``instance`` is a process of its own."""

    documents: Documents
    task_id: str = field(default_factory=lambda: uuid4().hex)
    publisher: RecordingPublisher = field(default_factory=RecordingPublisher)
    lines: LogLines = field(default_factory=LogLines)

    @property
    def body(self) -> bytes:
        return callback_body(SEGMENTS, task_id=self.task_id)

    @property
    def submission_id(self) -> str:
        return f"s-{self.task_id}"

    @property
    def store(self) -> TaskStore:
        return TaskStore(self.documents, Retrier())

    def instance(self, fault_plan: FaultPlan) -> Instance:
        return Instance(self, fault_plan)

    async def received(self) -> None:
        await self.instance(FaultPlan()).record()

    async def bought_and_received(self) -> None:
        source = Source(f"gs://b/Mr-Secret-{self.task_id}", "1")
        entry = Submission(
            submission_id=self.submission_id,
            state=State.SUBMITTED,
            source=source,
            task_id=self.task_id,
            created_at=NOW,
            updated_at=NOW,
        )
        side = Task(task_id=self.task_id, submission_id=self.submission_id, source=source)
        await self.documents.commit(
            Write(submission_path(self.submission_id), entry), Write(task_path(self.task_id), side)
        )
        await self.received()

    async def deleted(self) -> None:
        await self.received()
        await self.instance(FaultPlan()).delete()

    async def parts(self) -> list[str]:
        found: list[str] = []
        for collection in ("segments", "raw"):
            under = f"{task_path(self.task_id)}/{collection}"
            found += await self.documents.ids(under, limit=1000)
        return found

    async def task(self) -> Task | None:
        return await self.store.read_task(self.task_id)


class Instance:
    """One process."""

    def __init__(self, case: Case, fault_plan: FaultPlan) -> None:
        documents = FaultyDocuments(case.documents, fault_plan)
        retrier = Retrier(sleep=Sleeper(), jitter=lambda: 0.0)
        store = TaskStore(documents, retrier)
        log = case.lines.log
        self._case = case
        publisher = FaultyPublisher(case.publisher, fault_plan)
        events = ResultEvents(store, publisher, TOPIC)
        self._recorder = Recorder(store, 0, log, lambda: NOW, announce=events.publish)
        self._names = SpeakerNames(documents, retrier)
        self._deletion = Deletion(documents, retrier, log, lambda: NOW)
        self._renormalizer = Renormalizer(store, retrier, log, lambda: NOW)

    async def record(self) -> Outcome:
        message = pack(self._case.body, NOW, {"task_id": self._case.task_id})
        return await self._recorder.record(push_body(message.data, message.attributes))

    async def rename(self) -> object:
        return await self._names.rename(self._case.task_id, {ADA: "Countess"})

    async def delete(self) -> object:
        return await self._deletion.delete_task(self._case.task_id)

    async def renormalize(self) -> object:
        return await self._renormalizer.renormalize(self._case.task_id)


async def is_whole(case: Case) -> None:
    task = await case.task()
    assert task is not None
    assert len(task.segments) == task.segment_count == SEGMENTS
    assert task.pages > 1
    assert task.revision is not None
    assert await read_raw(case.store, case.task_id, task.revision) is not None


async def is_told(case: Case) -> None:
    await is_whole(case)
    messages = case.publisher.on(TOPIC)
    assert messages
    for message in messages:
        told = msgspec.json.decode(message.data, type=Summary)
        assert (told.task_id, told.segment_count) == (case.task_id, SEGMENTS)


async def is_renamed(case: Case) -> None:
    await is_whole(case)
    task = await case.task()
    assert task is not None
    assert [each.display_name for each in task.speaker_names] == ["Countess"]


async def is_gone(case: Case) -> None:
    assert await case.task() is None
    assert await case.parts() == []
    (entry,) = await case.documents.read(Read(submission_path(case.submission_id), Submission))
    assert entry is None or (entry.value.source, entry.value.state) == (None, State.SUBMITTED)


@dataclass(frozen=True)
class Scenario:
    """The state before, the work, the check of the end, and effects that the work must have."""

    before: Callable[[Case], Awaitable[None]] | None
    work: Callable[[Instance], Awaitable[object]]
    end: Callable[[Case], Awaitable[None]]
    needs: tuple[str, ...]


SCENARIOS = {
    "a result is stored and announced": Scenario(
        None, Instance.record, is_told, ("commit tasks", "publish")
    ),
    "a duplicate is announced": Scenario(Case.received, Instance.record, is_told, ("publish",)),
    "a deleted result comes again": Scenario(
        Case.deleted, Instance.record, is_gone, ("ids raw", "ids segments")
    ),
    "a speaker is renamed": Scenario(Case.received, Instance.rename, is_renamed, ("commit tasks",)),
    "a task is deleted": Scenario(
        Case.bought_and_received,
        Instance.delete,
        is_gone,
        ("ids raw", "ids segments", "commit submissions=submitted"),
    ),
    "a result is normalized again": Scenario(
        Case.received, Instance.renormalize, is_whole, ("ids raw", "commit tasks")
    ),
}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small result has pages, several raw blocks and several commits then."""
    monkeypatch.setattr(task_store, "paginate", partial(paginate, limit_bytes=2_000))
    monkeypatch.setattr(task_store, "chunks", partial(chunks, limit_bytes=CHUNK_BYTES))
    monkeypatch.setattr(task_store, "RAW_CHUNK_BYTES", CHUNK_BYTES)


class ChangePoints:
    """Subclasses give a fixture ``documents``."""

    @pytest.mark.parametrize("name", SCENARIOS)
    async def test_change_reaches_its_end_after_every_fault(
        self, documents: Documents, name: str
    ) -> None:
        """At every effect, in every mode."""
        scenario = SCENARIOS[name]

        async def begun() -> Case:
            case = Case(documents)
            if scenario.before is not None:
                await scenario.before(case)
            case.publisher.published.clear()
            return case

        undisturbed = FaultPlan()
        case = await begun()
        await scenario.work(case.instance(undisturbed))
        await scenario.end(case)
        for effect in scenario.needs:
            assert any(seen.startswith(effect) for seen in undisturbed.seen), undisturbed.seen
        for point, effect in enumerate(undisturbed.seen):
            for mode in modes_at(effect):
                case = await begun()
                fault_plan = FaultPlan(point, mode)
                # A process that died, or that answered 503, is tried again.
                with suppress(Killed, TransientError):
                    await scenario.work(case.instance(fault_plan))
                assert len(fault_plan.seen) > point, (effect, mode)
                died = mode in (Mode.KILLED_BEFORE, Mode.KILLED_AFTER)
                assert fault_plan.dead is died, (effect, mode)
                await scenario.work(case.instance(FaultPlan()))
                await scenario.end(case)


class TestEmbedded(ChangePoints):
    @pytest.fixture
    def documents(self, tmp_path: Path) -> Iterator[Documents]:
        database = Database(tmp_path)
        yield SqliteDocuments(database)
        database.close()


@pytest.mark.emulators
class TestEmulators(ChangePoints):
    @pytest.fixture
    async def documents(self, emulators: dict[str, str]) -> Documents:
        return FirestoreDocuments("local", "(default)", emulators["FIRESTORE_EMULATOR_HOST"])
