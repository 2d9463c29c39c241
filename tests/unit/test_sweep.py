"""What nobody is there to do any more."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from msgspec.structs import replace

from tests.shops import ID, OVERDUE, Yard
from tests.unit.test_merge import a_result
from transcripts.errors import QueueUnavailable, StoreUnavailable
from transcripts.mavi.answers import Lost, Refusal, Refused
from transcripts.ports import Read, Write
from transcripts.retry import Retrier
from transcripts.submissions.orders import AssetsOrder, Order
from transcripts.submissions.steps import LEASE, MAX_EARLIER
from transcripts.submissions.submission import (
    Budget,
    State,
    submission_id_of_asset,
    submission_path,
)
from transcripts.submissions.sweep import AT_MOST, STALLED_AFTER, Counts
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Status, task_path

ORDER = Order("re_1", {})


@pytest.fixture
def yard() -> Yard:
    return Yard()


async def test_nothing_to_do(yard: Yard) -> None:
    """An empty store, and one where everything is in time."""
    assert await yard.sweeper().run() == Counts()
    await yard.purchaser.buy(ORDER)
    await yard.drop()
    assert await yard.sweeper().run() == Counts()


async def test_a_late_result_is_overdue_and_still_wins(yard: Yard) -> None:
    """Marked once; whatever comes later takes its place."""
    await yard.purchaser.buy(ORDER)
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    assert await yard.sweeper().run() == Counts(overdue=1)
    assert (await yard.task()).status is Status.OVERDUE
    assert await yard.sweeper().run() == Counts()
    assert yard.lines.named("task_overdue")[0]["task_id"] == "task-1"
    await TaskStore(yard.documents, Retrier()).save_result(
        replace(a_result(), task_id="task-1"), b"raw"
    )
    assert (await yard.task()).status is Status.SUCCEEDED


async def test_a_result_that_comes_during_the_sweep_wins(yard: Yard) -> None:
    """Between the query and the mark; it is not bought again either."""
    await yard.purchaser.buy(ORDER)
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    came = False

    def comes(operation: str) -> None:
        nonlocal came
        if operation == "commit" and not came:
            came = True
            content = yard.documents.content[task_path("task-1")]
            content["status"] = "succeeded"
            yard.documents.versions[task_path("task-1")] += 1

    yard.documents.before = comes
    assert await yard.sweeper(resubmit_overdue=1).run() == Counts()
    assert (await yard.task()).status is Status.SUCCEEDED
    assert yard.queue.tasks == {}


async def test_an_overdue_asset_is_bought_again_at_most_so_often(yard: Yard) -> None:
    """Off by default; each time on the queue, with the first task remembered."""
    await yard.purchaser.buy(ORDER)
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    sweeper = yard.sweeper(resubmit_overdue=1)
    assert await sweeper.run() == Counts(overdue=1, resubmitted=1)
    assert yard.queue.tasks == {f"{ID}-1": ID}
    assert (await yard.purchaser.run(ID)).task_id == "task-2"
    assert [item.task_id for item in (await yard.entry(ID)).earlier] == ["task-1"]
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    assert await sweeper.run() == Counts(overdue=1)
    assert len(yard.provider.submitted) == 2


async def test_a_dead_call_becomes_a_lost_answer(yard: Yard) -> None:
    """After its lease; then it is 409 until it is forced."""
    await yard.purchaser.buy(ORDER)
    calling = replace(
        await yard.entry(ID), state=State.SUBMITTING, lease_expires_at=yard.clock.now + LEASE
    )
    await yard.documents.commit(Write(submission_path(ID), calling))
    assert await yard.sweeper().run() == Counts()
    yard.clock.advance(seconds=LEASE.total_seconds())
    assert await yard.sweeper().run() == Counts(submit_unknown=1)
    assert (await yard.entry(ID)).state is State.SUBMIT_UNKNOWN
    assert (await yard.refused()).status == 409
    assert await yard.sweeper().run() == Counts()


async def test_what_was_never_queued_is_queued(yard: Yard) -> None:
    """The event's process died between the record and the queue, and no event came again."""
    yard.queue.down = True
    with pytest.raises(QueueUnavailable):
        await yard.drop()
    yard.queue.down = False
    yard.clock.advance(seconds=STALLED_AFTER.total_seconds())
    assert await yard.sweeper().run() == Counts(requeued=1)
    (name,) = yard.queue.tasks
    assert name.endswith("-1")
    assert (await yard.purchaser.run(yard.queue.tasks[name])).state is State.SUBMITTED


@pytest.mark.parametrize("state", [State.CLAIMED, State.UPLOADING, State.UPLOADED])
async def test_stalled_work_is_queued_again(yard: Yard, state: State) -> None:
    """Once in each stretch of idleness, however often the sweep runs."""
    submission_id = await yard.drop()
    entry = replace(await yard.entry(submission_id), state=state, claim_id="gone")
    await yard.documents.commit(Write(submission_path(submission_id), entry))
    yard.clock.advance(seconds=STALLED_AFTER.total_seconds())
    assert await yard.sweeper().run() == Counts(requeued=1)
    assert await yard.sweeper().run() == Counts()
    assert list(yard.queue.tasks) == [f"{submission_id}-0", f"{submission_id}-1"]


async def test_two_sweeps_at_once_do_it_once(yard: Yard) -> None:
    """Each decides again on what is stored by then."""
    await yard.purchaser.buy(ORDER)
    submission_id = await yard.drop()
    yard.clock.advance(seconds=OVERDUE.total_seconds())

    def ticking() -> datetime:
        yard.clock.advance(microseconds=1)
        return yard.clock()

    sweepers = [yard.sweeper(resubmit_overdue=1, clock=ticking) for _ in range(4)]
    results = await asyncio.gather(*(sweeper.run() for sweeper in sweepers))
    total = {
        name: sum(getattr(counts, name) for counts in results)
        for name in ("overdue", "resubmitted", "requeued")
    }
    assert total == {"overdue": 1, "resubmitted": 1, "requeued": 1}
    assert sorted(yard.queue.tasks) == sorted(
        [f"{ID}-1", f"{submission_id}-0", f"{submission_id}-1"]
    )


async def test_a_run_is_bounded_and_the_next_goes_on(yard: Yard) -> None:
    """It says that there is more."""
    for number in range(AT_MOST + 3):
        await yard.purchaser.buy(Order(f"re_{number}", {}))
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    assert await yard.sweeper().run() == Counts(overdue=AT_MOST, more=True)
    assert await yard.sweeper().run() == Counts(overdue=3)


async def test_an_unclaimed_result_stays_visible_as_such(yard: Yard) -> None:
    """The job of a lost answer: its callback is kept, and nothing sweeps it away."""
    yard.provider.answers = [Lost("ReadTimeout")]
    await yard.refused()
    await TaskStore(yard.documents, Retrier()).save_result(a_result(), b"raw")
    yard.clock.advance(days=30)
    assert await yard.sweeper().run() == Counts()
    task = await yard.task("t")
    assert (task.claimed, task.status) == (False, Status.SUCCEEDED)


async def test_a_result_that_comes_before_the_repetition_is_enough(yard: Yard) -> None:
    """The overdue task succeeds while its repetition waits on the queue: nothing more is bought."""
    yard = Yard(cap_per_day=5)
    await yard.purchaser.buy(ORDER)
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    assert (await yard.sweeper(resubmit_overdue=1).run()).resubmitted == 1
    result = replace(a_result(), task_id="task-1")
    await TaskStore(yard.documents, Retrier()).save_result(result, b"raw")
    ended = await yard.purchaser.run(ID)
    assert (ended.state, ended.task_id) == (State.SUBMITTED, "task-1")
    entry = await yard.entry(ID)
    assert (entry.state, entry.task_id, entry.earlier) == (State.SUBMITTED, "task-1", [])
    assert yard.provider.submitted == ["re_1"]
    (budget,) = await yard.documents.read(Read("budgets/2026-01-02", Budget))
    assert budget is not None
    assert budget.value.submissions == 1


async def test_a_refused_repetition_stays_within_its_limit(yard: Yard) -> None:
    """The overdue task is still the one that was bought."""
    await yard.purchaser.buy(ORDER)
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    await yard.sweeper(resubmit_overdue=1).run()
    yard.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    assert (await yard.purchaser.run(ID)).state is State.REJECTED
    entry = await yard.entry(ID)
    assert (entry.state, entry.task_id) == (State.SUBMITTED, "task-1")
    assert (await yard.purchaser.buy(ORDER)).duplicate


async def test_a_requeue_whose_answer_was_lost_is_queued(yard: Yard) -> None:
    """In the same run: its own write is not somebody else's."""
    submission_id = await yard.drop()
    yard.clock.advance(seconds=STALLED_AFTER.total_seconds())
    lost = False

    def after(operation: str) -> None:
        nonlocal lost
        if operation == "commit" and not lost:
            lost = True
            raise StoreUnavailable("the answer was lost")

    yard.documents.after = after
    assert (await yard.sweeper().run()).requeued == 1
    assert f"{submission_id}-1" in yard.queue.tasks


async def comes(yard: Yard, task_id: str) -> None:
    """Let the result of a task come."""
    result = replace(a_result(), task_id=task_id)
    await TaskStore(yard.documents, Retrier()).save_result(result, b"raw")


async def test_whoever_asks_a_late_result_is_enough() -> None:
    """Not only the queue: an order that comes before it buys nothing either."""
    yard = Yard(cap_per_day=5)
    await yard.purchaser.buy(ORDER)
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    assert (await yard.sweeper(resubmit_overdue=1).run()).resubmitted == 1
    await comes(yard, "task-1")
    receipt = await yard.purchaser.buy(ORDER)
    assert (receipt.task_id, receipt.duplicate) == ("task-1", True)
    assert yard.provider.submitted == ["re_1"]
    entry = await yard.entry(ID)
    assert (entry.state, entry.task_id, entry.earlier) == (State.SUBMITTED, "task-1", [])


async def test_the_late_result_of_any_earlier_task_is_enough() -> None:
    """The second of three came; it is what the entry shows from then on."""
    yard = Yard()
    sweeper = yard.sweeper(resubmit_overdue=2)
    await yard.purchaser.buy(ORDER)
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    await sweeper.run()
    await yard.purchaser.run(ID)
    await comes(yard, "task-1")
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    assert (await sweeper.run()).resubmitted == 1
    assert (await yard.purchaser.run(ID)).task_id == "task-1"
    assert yard.provider.submitted == ["re_1", "re_1"]
    entry = await yard.entry(ID)
    assert (entry.task_id, [each.task_id for each in entry.earlier]) == ("task-1", ["task-2"])


async def test_the_bound_of_repetitions_holds_for_ever() -> None:
    """Even where more was bought than an entry remembers; what people force does not count."""
    yard = Yard()
    sweeper = yard.sweeper(resubmit_overdue=3)
    await yard.purchaser.buy(ORDER)
    for _ in range(MAX_EARLIER + 5):
        await yard.purchaser.buy(Order("re_1", {}, force=True))
    before = len(yard.provider.submitted)
    for _ in range(10):
        yard.clock.advance(seconds=OVERDUE.total_seconds())
        await sweeper.run()
        await yard.purchaser.run(ID)
    assert len(yard.provider.submitted) == before + 3


async def test_what_is_forced_is_bought_though_a_late_result_came() -> None:
    """Whoever asks with force, by a list too, gets a new job."""
    yard = Yard()
    await yard.purchaser.buy(ORDER)
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    await yard.sweeper(resubmit_overdue=1).run()
    await comes(yard, "task-1")
    taken = await yard.intake.take_assets(AssetsOrder(("re_1",), {}, force=True))
    assert taken.queued == [ID]
    assert (await yard.purchaser.run(ID)).task_id == "task-2"


async def test_one_bad_document_does_not_stop_the_sweep(yard: Yard) -> None:
    """Written by a later version, say: it is logged and left, everything else is done."""
    for asset_id in ("re_1", "re_2", "re_3"):
        await yard.purchaser.buy(Order(asset_id, {}))
    dead = submission_id_of_asset("re_3")
    calling = replace(
        await yard.entry(dead),
        state=State.SUBMITTING,
        task_id=None,
        lease_expires_at=yard.clock.now,
    )
    await yard.documents.commit(Write(submission_path(dead), calling))
    yard.clock.advance(seconds=OVERDUE.total_seconds())
    yard.documents.content[f"submissions/{ID}"]["state"] = "brand_new"
    counts = await yard.sweeper(resubmit_overdue=1).run()
    assert counts == Counts(overdue=2, submit_unknown=1, resubmitted=1, failed=1)
    assert len(yard.lines.named("not_swept")) == 1


async def test_an_outage_of_the_queue_stops_nothing_else(yard: Yard) -> None:
    """It is said in the end, so that the scheduler comes again."""
    await yard.drop()
    await yard.purchaser.buy(ORDER)
    yard.clock.advance(hours=7)
    yard.queue.down = True
    with pytest.raises(QueueUnavailable):
        await yard.sweeper().run()
    assert (await yard.task()).status is Status.OVERDUE
    assert yard.lines.named("swept")[0]["overdue"] == 1
