"""The scenarios of the crash tests: every way of buying a transcript."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cli.fake_mavi.faults import Faults
from tests.crash.fault_plan import (
    Environment,
    FaultPlan,
    Killed,
    Run,
)
from tests.stored import read_submission
from transcripts.errors import (
    ObjectForbidden,
    ObjectUnreadable,
    QueueUnavailable,
    RetryLater,
    TranscriptsError,
)
from transcripts.ports import ObjectReader, ObjectSource
from transcripts.submissions.requests import SubmitAsset, SubmitAssets, SubmitObject
from transcripts.submissions.submission import State, submission_id_of_object
from transcripts.tasks.task import Task
from transcripts.uploads.stored_object import StoredObject


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


MD5 = "bWQ1"


async def same_bytes(instance: Run, subject: Subject) -> None:
    assert subject.stored is not None
    await instance.intake.enqueue_upload(replace(subject.stored, md5=MD5))


async def bought_in_another_generation(environment: Environment, subject: Subject) -> None:
    assert subject.stored is not None
    earlier = replace(subject.stored, generation="1", md5=MD5)
    await Run(environment, FaultPlan()).intake.enqueue_upload(earlier)
    ledger = environment.ledger()
    entry = await read_submission(
        environment.documents, submission_id_of_object(earlier.uri, earlier.generation)
    )
    assert entry is not None
    task = Task(task_id="earlier", submission_id=entry.submission_id)
    await ledger.record_purchase(entry, task, within=timedelta(0))


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
    "an object whose bytes were bought in another generation": Scenario(
        same_bytes,
        of_object=True,
        before=bought_in_another_generation,
        needs=("read recordings", "commit submissions=rejected"),
        end=State.REJECTED,
        jobs=0,
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
        source=refusing(ObjectForbidden("injected"), until=timedelta(hours=2)),
        needs=("open", "mavi send"),
    ),
    # No cap: each day on which the purchase is tried would count one.
    "an object that may never be read": Scenario(
        event,
        of_object=True,
        before=forbidden_for_most_of_a_day,
        cap_per_day=0,
        source=refusing(ObjectForbidden("injected")),
        needs=("open",),
        end=State.REJECTED,
        jobs=0,
        assets=0,
    ),
    "an object that can never be read": Scenario(
        event,
        of_object=True,
        source=refusing(ObjectUnreadable("customer_key", "injected")),
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
