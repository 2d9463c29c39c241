"""Every point at which submit, ingest and sweep can fail or die: nothing is bought twice.

Each scenario runs once without a fault, which numbers its effects: every read, commit, enqueue,
request and chunk. Then it runs again for every effect, in each ``Mode`` that makes a difference
there. Redelivery, retries and sweeps follow as in the cloud, until no work is left. Every point is
tested, none is sampled.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from cli.bucket import BucketServer
from cli.fake_mavi.faults import ALWAYS, Faults
from cli.fake_mavi.server import FakeMavi
from cli.local_names import QUEUE
from cli.tasks_server import TasksServer
from tests.crash.fault_plan import (
    LEASE_OVER_S,
    STALLED_S,
    Environment,
    FaultPlan,
    Killed,
    Mode,
    Run,
    Work,
    modes_at,
)
from tests.fakes import Clock
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.embedded.objects import FolderObjects
from transcripts.embedded.queue import SqliteQueue
from transcripts.errors import (
    ObjectForbidden,
    ObjectUnreadable,
    QueueUnavailable,
    RetryLater,
    SubmissionError,
    TranscriptsError,
    TransientError,
)
from transcripts.google.documents import FirestoreDocuments
from transcripts.google.objects import CloudStorageObjects
from transcripts.google.queue import CloudTasksQueue
from transcripts.mavi.client import MaviClient
from transcripts.ports import ObjectReader, ObjectSource, Read
from transcripts.settings import Secret
from transcripts.submissions.requests import SubmitAsset, SubmitAssets, SubmitObject
from transcripts.submissions.submission import (
    OPEN,
    State,
    Submission,
    submission_id_of_asset,
    submission_id_of_object,
)
from transcripts.tasks.task import Task, task_path
from transcripts.uploads.stored_object import StoredObject

ROUNDS = 12
CONCURRENCY = 6
KEY = "key-of-the-fake"


@dataclass
class Subject:
    """The subject of a scenario: an object or an asset, under one submission."""

    submission_id: str
    stored: StoredObject | None = None
    asset_id: str = ""


@dataclass(frozen=True)
class Scenario:
    """One way of buying a transcript.

    ``arrive`` sends the request or event. ``will_retry`` tells that its sender repeats it until it
    is answered, as Pub/Sub does, and once more later. ``before`` makes the initial state, with
    ``jobs_before`` jobs bought. ``end`` and ``jobs`` are the results of a run without a fault.
    """

    arrive: Callable[[Run, Subject], Awaitable[object]]
    of_object: bool = False
    will_retry: bool = True
    before: Callable[[Environment, Subject], Awaitable[object]] | None = None
    jobs_before: int = 0
    faults: Callable[[], Faults] = Faults
    end: State = State.SUBMITTED
    jobs: int = 1
    cap_per_day: int = 100
    resubmit_overdue: int = 0
    goes_on_for: timedelta = timedelta(0)
    needs: tuple[str, ...] = ()
    """Effects that a run without a fault must have; otherwise the scenario tests nothing."""
    source: Callable[[Environment], ObjectSource] | None = None
    """The storage of the objects, if it is not the default one."""
    assets: int | None = None
    """The maximum of assets made at the provider, if the scenario limits it."""


async def event(instance: Run, subject: Subject) -> None:
    assert subject.stored is not None
    await instance.intake.enqueue_upload(subject.stored)


async def listed(instance: Run, subject: Subject) -> object:
    return await instance.intake.enqueue_assets(SubmitAssets((subject.asset_id,), {}))


async def ordered(instance: Run, subject: Subject) -> object:
    return await instance.service.submit(SubmitAsset(subject.asset_id, {"case": "7"}))


async def named(instance: Run, subject: Subject) -> object:
    stored = StoredObject(
        bucket="uploads",
        name="known.mp4",
        generation="1",
        metadata={"mavi-asset-id": subject.asset_id},
    )
    order = SubmitObject(stored.bucket, stored.name, stored.generation, {})
    return await instance.intake.enqueue_object(order, stored)


async def forced(instance: Run, subject: Subject) -> object:
    return await instance.service.submit(SubmitAsset(subject.asset_id, {}, force=True))


async def forced_list(instance: Run, subject: Subject) -> object:
    return await instance.intake.enqueue_assets(SubmitAssets((subject.asset_id,), {}, force=True))


async def nothing(_: Run, __: Subject) -> None:
    """Send no new request: the sweep finds the work that was begun before."""


async def bought_before(environment: Environment, subject: Subject) -> None:
    await ordered(Run(environment, FaultPlan()), subject)


async def cap_used_up(environment: Environment, _: Subject) -> None:
    other = environment.mavi.add_asset("other.mp4").asset_id
    await Run(environment, FaultPlan()).service.submit(SubmitAsset(other, {}))
    # The next day begins soon.
    environment.clock.advance(hours=19)


async def called_and_died(environment: Environment, subject: Subject) -> None:
    instance = Run(environment, FaultPlan(dies_before="commit submissions=submitted tasks"))
    with pytest.raises(Killed):
        await ordered(instance, subject)


async def recorded_and_died(environment: Environment, subject: Subject) -> None:
    instance = Run(environment, FaultPlan())
    instance.intake._queue = NoQueue()
    with pytest.raises(QueueUnavailable):
        await listed(instance, subject)


async def forbidden_for_most_of_a_day(environment: Environment, subject: Subject) -> None:
    instance = Run(environment, FaultPlan())
    await event(instance, subject)
    with pytest.raises(RetryLater):
        await instance.service.run(subject.submission_id)
    environment.clock.advance(hours=23)


class NoQueue:
    """A queue that loses every task."""

    async def enqueue(self, name: str, submission_id: str) -> None:
        raise QueueUnavailable(f"{name} {submission_id}")


def answers(**statuses: list[int]) -> Callable[[], Faults]:
    return lambda: Faults(answers={name: list(codes) for name, codes in statuses.items()})


class Refusing:
    """A storage whose objects cannot be read ``until`` a time; None means never."""

    def __init__(
        self, environment: Environment, error: TranscriptsError, until: timedelta | None
    ) -> None:
        self._source = environment.source
        self._clock = environment.clock
        self._error = error
        self._until = None if until is None else environment.clock() + until

    def stat(self, bucket: str, name: str, generation: str | None) -> StoredObject:
        return self._source.stat(bucket, name, generation)

    def open(self, stored: StoredObject) -> ObjectReader:
        if self._until is None or self._clock() < self._until:
            raise self._error
        return self._source.open(stored)


def refusing(
    error: TranscriptsError, until: timedelta | None = None
) -> Callable[[Environment], ObjectSource]:
    return lambda environment: Refusing(environment, error, until)


SCENARIOS = {
    "an object": Scenario(event, of_object=True, needs=("mavi send", "chunk", "enqueue")),
    "an object that the account may not upload": Scenario(
        event, of_object=True, faults=answers(signed_url=[403] * 99), end=State.REJECTED, jobs=0
    ),
    "an object by the other way": Scenario(
        event, of_object=True, faults=answers(signed_url=[400] * 99), needs=("mavi upload",)
    ),
    "an object that Mavi loses once": Scenario(
        event, of_object=True, faults=lambda: Faults(upload_fails=1), needs=("mavi send",)
    ),
    "an object that Mavi takes in slowly": Scenario(
        event, of_object=True, faults=lambda: Faults(upload_delay_s=20.0), needs=("mavi send",)
    ),
    "an object that may not be read for some hours": Scenario(
        event,
        of_object=True,
        source=refusing(ObjectForbidden("as told"), until=timedelta(hours=5)),
        needs=("open", "mavi send"),
    ),
    # No cap: each day on which the purchase is tried would count one.
    "an object that may never be read": Scenario(
        event,
        of_object=True,
        before=forbidden_for_most_of_a_day,
        cap_per_day=0,
        source=refusing(ObjectForbidden("as told")),
        needs=("open",),
        end=State.REJECTED,
        jobs=0,
        assets=0,
    ),
    "an object that can never be read": Scenario(
        event,
        of_object=True,
        source=refusing(ObjectUnreadable("customer_key", "as told")),
        needs=("open",),
        end=State.REJECTED,
        jobs=0,
        assets=0,
    ),
    "an object that a caller names, and that stands for an asset": Scenario(
        named, will_retry=False, needs=("enqueue",)
    ),
    "a list that nobody asks for again": Scenario(listed, will_retry=False, needs=("enqueue",)),
    "an asset": Scenario(ordered),
    "an asset and a busy provider": Scenario(ordered, faults=answers(submit=[429, 400, 429])),
    "an asset that is refused": Scenario(
        ordered, faults=answers(submit=[402] * 99), end=State.REJECTED, jobs=0
    ),
    "an asset whose answer is lost": Scenario(
        ordered, faults=lambda: Faults(lost_answer=1), end=State.SUBMIT_UNKNOWN
    ),
    "an asset over the cap of the day": Scenario(
        listed, before=cap_used_up, jobs_before=1, jobs=2, cap_per_day=1
    ),
    "an asset that is bought again by force": Scenario(
        forced, will_retry=False, before=bought_before, jobs_before=1, jobs=2
    ),
    "a list that is bought again by force": Scenario(
        forced_list, will_retry=False, before=bought_before, jobs_before=1, jobs=2
    ),
    "a call whose caller died": Scenario(
        nothing,
        will_retry=False,
        before=called_and_died,
        jobs_before=1,
        end=State.SUBMIT_UNKNOWN,
        needs=("commit submissions=submit_unknown",),
    ),
    "a request that never reached the queue": Scenario(
        nothing, will_retry=False, before=recorded_and_died, needs=("enqueue",)
    ),
    "an overdue asset that is bought once more": Scenario(
        listed, resubmit_overdue=1, goes_on_for=timedelta(hours=15), jobs=2, needs=("query tasks",)
    ),
}


class Backend:
    """Makes environments, each with an empty store and an account of its own."""

    def __init__(self, folder: Path, emulators: dict[str, str] | None) -> None:
        self._folder = folder
        self._emulators = emulators
        self._objects = FolderObjects(folder)
        self._bucket = BucketServer(self._objects)

    async def start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Serve the objects."""
        await self._bucket.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", self._bucket.url)

    async def stop(self) -> None:
        """Stop serving."""
        await self._bucket.stop()

    @asynccontextmanager
    async def environment(self, scenario: Scenario) -> AsyncIterator[tuple[Environment, Subject]]:
        """Return a new environment and the subject of the scenario."""
        async with AsyncExitStack() as exits:
            database = Database(self._folder / uuid4().hex)
            exits.callback(database.close)
            faults = scenario.faults()
            faults.drop = ALWAYS
            clock = Clock()
            mavi = FakeMavi(
                KEY,
                faults=faults,
                per_second=0,
                webhook_url="http://127.0.0.1:9",
                clock=lambda: clock().timestamp(),
            )
            await mavi.start()
            exits.push_async_callback(mavi.stop)
            environment = Environment(
                clock=clock,
                cap_per_day=scenario.cap_per_day,
                documents=SqliteDocuments(database),
                queue=SqliteQueue(database),
                database=database,
                source=self._objects,
                mavi=mavi,
                client=MaviClient(mavi.url, Secret(KEY), 10_000.0),
                resubmit_overdue=scenario.resubmit_overdue,
            )
            if self._emulators is not None:
                await self._emulated(environment, exits)
            if scenario.source is not None:
                environment.source = scenario.source(environment)
            subject = self._subject(scenario, mavi)
            if scenario.before is not None:
                await scenario.before(environment, subject)
            yield environment, subject

    async def _emulated(self, environment: Environment, exits: AsyncExitStack) -> None:
        project = f"p{uuid4().hex[:20]}"
        host = (self._emulators or {})["FIRESTORE_EMULATOR_HOST"]
        environment.documents = FirestoreDocuments(project, "(default)", host)
        tasks = TasksServer(SqliteQueue(environment.database))
        await tasks.start()
        exits.push_async_callback(tasks.stop)
        environment.queue = CloudTasksQueue(QUEUE, "https://submit.example", "", tasks.host)
        environment.source = CloudStorageObjects("local")

    def _subject(self, scenario: Scenario, mavi: FakeMavi) -> Subject:
        name = f"{uuid4().hex}.mp4"
        if not scenario.of_object:
            asset_id = mavi.add_asset(name).asset_id
            return Subject(submission_id_of_asset(asset_id), asset_id=asset_id)
        path = self._objects.path("uploads", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"media" * 30_000)
        stored = self._objects.stat("uploads", name, None)
        return Subject(submission_id_of_object(stored.uri, stored.generation), stored)


class FaultRun:
    """Runs a scenario in an environment, with its faults, until no work is left."""

    def __init__(
        self, environment: Environment, scenario: Scenario, subject: Subject, fault_plan: FaultPlan
    ) -> None:
        self.environment = environment
        self.scenario = scenario
        self.subject = subject
        self.fault_plan = fault_plan
        self.killed = False
        self.left: Submission | None = None
        self._instance = Run(environment, fault_plan)

    async def entry(self) -> Submission | None:
        """Return the ledger's entry as it is now."""
        return await self.environment.store().read(self.subject.submission_id)

    async def attempt(self, work: Work) -> bool:
        """Tell whether the call got a final answer; a healthy process replaces a dead one."""
        try:
            await work(self._instance)
        except Killed:
            self.killed = True
            self.left = await self.entry()
            self._instance = Run(self.environment, FaultPlan())
            return False
        except TransientError:
            return False
        except SubmissionError as error:
            return error.code != "submission_in_progress"
        return True

    async def run(self) -> Submission | None:
        """Deliver every request and event, and let time pass; return the entry at the end."""
        environment = self.environment
        end = environment.clock() + self.scenario.goes_on_for
        await self._arrive()
        for _ in range(ROUNDS):
            for name, submission_id in await environment.waiting():
                if await self.attempt(running(submission_id)):
                    await environment.done(name)
            found = await self.entry()
            settled = found is None or found.state not in OPEN
            if settled and not await environment.waiting() and environment.clock() >= end:
                break
            for pause_s in (LEASE_OVER_S, STALLED_S):
                environment.clock.advance(seconds=pause_s)
                await self.attempt(sweeping)
        if self.scenario.will_retry:
            await self._arrive()
        return await self.entry()

    async def _arrive(self) -> None:
        if not self.scenario.will_retry:
            await self.attempt(self._arrival)
            return
        for _ in range(2):
            while not await self.attempt(self._arrival):
                self.environment.clock.advance(seconds=LEASE_OVER_S)

    async def _arrival(self, instance: Run) -> object:
        return await self.scenario.arrive(instance, self.subject)


def running(submission_id: str) -> Work:
    """Return the request that the queue sends."""
    return lambda instance: instance.service.run(submission_id)


async def sweeping(instance: Run) -> object:
    """Sweep, as the scheduler does."""
    return await instance.sweeper.run()


async def check(life: FaultRun, entry: Submission | None) -> None:
    """Assert the facts that hold at the end of every run."""
    scenario, environment = life.scenario, life.environment
    jobs = [job.task_id for job in environment.mavi.account.jobs]
    if scenario.assets is not None:
        assert len(environment.mavi.account.assets) <= scenario.assets
    if entry is None:
        # The process died before it recorded the entry, and so before its caller got an answer.
        assert life.killed
        assert not scenario.will_retry
        assert jobs == []
        return
    spent = await environment.spent()
    if life.left is not None and life.left.state is State.SUBMITTING:
        assert entry.state is State.SUBMIT_UNKNOWN
        most = max(scenario.jobs, 1)
        assert len(jobs) <= most
        assert max(len(jobs), 1) <= spent <= most
        return
    if (
        life.killed
        and not scenario.will_retry
        and len(jobs) == scenario.jobs_before < scenario.jobs
    ):
        # The process died before it recorded the request: the earlier purchase is unchanged.
        assert (entry.state, spent) == (State.SUBMITTED, scenario.jobs_before)
        return
    assert entry.state is scenario.end
    assert len(jobs) == scenario.jobs
    assert spent == scenario.jobs
    if entry.state is State.SUBMITTED:
        assert entry.task_id == jobs[-1]
        (task,) = await environment.documents.read(Read(task_path(jobs[-1]), Task))
        assert task is not None
        assert task.value.submission_id == entry.submission_id


async def live(backend: Backend, scenario: Scenario, fault_plan: FaultPlan) -> FaultPlan:
    """Run a scenario once and check its end."""
    async with backend.environment(scenario) as (environment, subject):
        life = FaultRun(environment, scenario, subject, fault_plan)
        try:
            await check(life, await life.run())
        except AssertionError as error:
            point = (
                f"{fault_plan.seen[fault_plan.point]}, number {fault_plan.point}"
                if fault_plan.point
                else "none"
            )
            left = life.left.state if life.left else None
            raise AssertionError(f"{fault_plan.mode}: {point}; left {left}: {error}") from error
    return fault_plan


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Provide a folder in memory if the system has one: thousands of databases are made."""
    in_memory = Path("/dev/shm")  # noqa: S108 - only looked for
    if not os.access(in_memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=in_memory) as folder:
        yield Path(folder)


@asynccontextmanager
async def serving(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    """Start and stop a backend."""
    await backend.start(monkeypatch)
    yield backend
    await backend.stop()


@pytest.mark.timeout(600)
class CrashPoints:
    """Subclasses provide a fixture ``backend``."""

    @pytest.mark.parametrize("name", SCENARIOS)
    async def test_every_point_dying_or_failing_buys_once_and_forgets_nothing(
        self, backend: Backend, name: str
    ) -> None:
        """Each asset is bought at most once, and each entry is in a state that can continue."""
        scenario = SCENARIOS[name]
        undisturbed = await live(backend, scenario, FaultPlan())
        assert set(scenario.needs) <= set(undisturbed.seen)
        if "mavi signed-url" in undisturbed.seen:
            # No asset is made before the first byte of its object is read.
            assert undisturbed.seen.index("chunk") < undisturbed.seen.index("mavi signed-url")
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one(point: int, mode: Mode) -> None:
            async with slots:
                fault_plan = await live(backend, scenario, FaultPlan(point, mode))
                assert len(fault_plan.seen) > point, "the point was not reached"

        lives = [
            one(point, mode)
            for point, effect in enumerate(undisturbed.seen)
            for mode in modes_at(effect)
        ]
        results = await asyncio.gather(*lives, return_exceptions=True)
        assert [str(result) for result in results if result is not None] == []
        print(f"{name}: {len(undisturbed.seen)} points, {len(lives)} lives")


class TestEmbedded(CrashPoints):
    @pytest.fixture
    async def backend(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Backend]:
        async with serving(Backend(folder, None), monkeypatch) as backend:
            yield backend


@pytest.mark.emulators
class TestEmulators(CrashPoints):
    @pytest.fixture
    async def backend(
        self, folder: Path, emulators: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Backend]:
        async with serving(Backend(folder, emulators), monkeypatch) as backend:
            yield backend
