"""What nobody is there to do any more."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import TryOnce
from tests.pipeline import ID, OVERDUE, Pipeline
from tests.unit.test_merge import a_result
from transcripts.errors import QueueUnavailable, StoreUnavailable
from transcripts.mavi.answers import AnswerLost, Refusal, Refused
from transcripts.ports import Query, Read, Write
from transcripts.retry import Retrier
from transcripts.submissions.requests import SubmitAsset, SubmitAssets
from transcripts.submissions.submission import (
    SpendCounter,
    State,
    submission_id_of_asset,
    submission_path,
)
from transcripts.submissions.sweep import (
    BATCH_LIMIT,
    CONCURRENCY,
    MAX_RUN,
    QUERIES,
    STALLED_AFTER,
    Counts,
)
from transcripts.submissions.transitions import LEASE, MAX_PREVIOUS_ATTEMPTS
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Status, task_path

ORDER = SubmitAsset("re_1", {})


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


async def test_nothing_to_do(pipeline: Pipeline) -> None:
    """An empty store, and one where everything is in time."""
    assert await pipeline.sweeper().run() == Counts()
    await pipeline.service.submit(ORDER)
    await pipeline.drop()
    assert await pipeline.sweeper().run() == Counts()


async def test_a_late_result_is_overdue_and_still_wins(pipeline: Pipeline) -> None:
    """Marked once; whatever comes later takes its place."""
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert await pipeline.sweeper().run() == Counts(overdue=1)
    assert (await pipeline.task()).status is Status.OVERDUE
    assert await pipeline.sweeper().run() == Counts()
    assert pipeline.lines.named("task_overdue")[0]["task_id"] == "task-1"
    await TaskStore(pipeline.documents, Retrier()).save_result(
        replace(a_result(), task_id="task-1"), b"raw"
    )
    assert (await pipeline.task()).status is Status.SUCCEEDED


async def test_a_result_that_comes_during_the_sweep_wins(pipeline: Pipeline) -> None:
    """Between the query and the mark; it is not bought again either."""
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    came = False

    def comes(operation: str) -> None:
        nonlocal came
        if operation == "commit" and not came:
            came = True
            content = pipeline.documents.content[task_path("task-1")]
            content["status"] = "succeeded"
            pipeline.documents.versions[task_path("task-1")] += 1

    pipeline.documents.before = comes
    assert await pipeline.sweeper(resubmit_overdue=1).run() == Counts()
    assert (await pipeline.task()).status is Status.SUCCEEDED
    assert pipeline.queue.tasks == {}


async def test_an_overdue_asset_is_bought_again_at_most_so_often(pipeline: Pipeline) -> None:
    """Off by default; each time on the queue, with the first task remembered."""
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    sweeper = pipeline.sweeper(resubmit_overdue=1)
    assert await sweeper.run() == Counts(overdue=1, resubmitted=1)
    assert pipeline.queue.tasks == {f"{ID}-1": ID}
    assert (await pipeline.service.run(ID)).task_id == "task-2"
    assert [item.task_id for item in (await pipeline.entry(ID)).previous_attempts] == ["task-1"]
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert await sweeper.run() == Counts(overdue=1)
    assert len(pipeline.provider.submitted) == 2


async def test_a_dead_call_becomes_a_lost_answer(pipeline: Pipeline) -> None:
    """After its lease; then it is 409 until it is forced."""
    await pipeline.service.submit(ORDER)
    calling = replace(
        await pipeline.entry(ID),
        state=State.SUBMITTING,
        lease_expires_at=pipeline.clock.now + LEASE,
    )
    await pipeline.documents.commit(Write(submission_path(ID), calling))
    assert await pipeline.sweeper().run() == Counts()
    pipeline.clock.advance(seconds=LEASE.total_seconds())
    assert await pipeline.sweeper().run() == Counts(submit_unknown=1)
    assert (await pipeline.entry(ID)).state is State.SUBMIT_UNKNOWN
    assert (await pipeline.refused()).status == 409
    assert await pipeline.sweeper().run() == Counts()


async def test_what_was_never_queued_is_queued(pipeline: Pipeline) -> None:
    """The event's process died between the record and the queue, and no event came again."""
    pipeline.queue.down = True
    with pytest.raises(QueueUnavailable):
        await pipeline.drop()
    pipeline.queue.down = False
    pipeline.clock.advance(seconds=STALLED_AFTER.total_seconds())
    assert await pipeline.sweeper().run() == Counts(requeued=1)
    (name,) = pipeline.queue.tasks
    assert name.endswith("-1")
    assert (await pipeline.service.run(pipeline.queue.tasks[name])).state is State.SUBMITTED


@pytest.mark.parametrize("state", [State.PENDING, State.UPLOADING, State.UPLOADED])
async def test_stalled_work_is_queued_again(pipeline: Pipeline, state: State) -> None:
    """Once in each stretch of idleness, however often the sweep runs."""
    submission_id = await pipeline.drop()
    entry = replace(await pipeline.entry(submission_id), state=state, lease_id="gone")
    await pipeline.documents.commit(Write(submission_path(submission_id), entry))
    pipeline.clock.advance(seconds=STALLED_AFTER.total_seconds())
    assert await pipeline.sweeper().run() == Counts(requeued=1)
    assert await pipeline.sweeper().run() == Counts()
    assert list(pipeline.queue.tasks) == [f"{submission_id}-0", f"{submission_id}-1"]


async def test_two_sweeps_at_once_do_it_once(pipeline: Pipeline) -> None:
    """Each decides again on what is stored by then."""
    await pipeline.service.submit(ORDER)
    submission_id = await pipeline.drop()
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())

    def ticking() -> datetime:
        pipeline.clock.advance(microseconds=1)
        return pipeline.clock()

    sweepers = [pipeline.sweeper(resubmit_overdue=1, clock=ticking) for _ in range(4)]
    results = await asyncio.gather(*(sweeper.run() for sweeper in sweepers))
    total = {
        name: sum(getattr(counts, name) for counts in results)
        for name in ("overdue", "resubmitted", "requeued")
    }
    assert total == {"overdue": 1, "resubmitted": 1, "requeued": 1}
    assert sorted(pipeline.queue.tasks) == sorted(
        [f"{ID}-1", f"{submission_id}-0", f"{submission_id}-1"]
    )


async def test_a_run_is_bounded_and_the_next_goes_on(pipeline: Pipeline) -> None:
    """It says that there is more."""
    for number in range(BATCH_LIMIT + 3):
        await pipeline.service.submit(SubmitAsset(f"re_{number}", {}))
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert await pipeline.sweeper().run() == Counts(overdue=BATCH_LIMIT, more=True)
    assert await pipeline.sweeper().run() == Counts(overdue=3)


async def test_an_unclaimed_result_stays_visible_as_such(pipeline: Pipeline) -> None:
    """The job of a lost answer: its callback is kept, and nothing sweeps it away."""
    pipeline.provider.answers = [AnswerLost("timeout")]
    await pipeline.refused()
    await TaskStore(pipeline.documents, Retrier()).save_result(a_result(), b"raw")
    pipeline.clock.advance(days=30)
    assert await pipeline.sweeper().run() == Counts()
    task = await pipeline.task("t")
    assert (task.submission_id, task.status) == (None, Status.SUCCEEDED)


async def test_a_result_that_comes_before_the_repetition_is_enough(pipeline: Pipeline) -> None:
    """The overdue task succeeds while its repetition waits on the queue: nothing more is bought."""
    pipeline = Pipeline(cap_per_day=5)
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert (await pipeline.sweeper(resubmit_overdue=1).run()).resubmitted == 1
    result = replace(a_result(), task_id="task-1")
    await TaskStore(pipeline.documents, Retrier()).save_result(result, b"raw")
    ended = await pipeline.service.run(ID)
    assert (ended.state, ended.task_id) == (State.SUBMITTED, "task-1")
    entry = await pipeline.entry(ID)
    assert (entry.state, entry.task_id, entry.previous_attempts) == (State.SUBMITTED, "task-1", [])
    assert pipeline.provider.submitted == ["re_1"]
    (budget,) = await pipeline.documents.read(Read("spend_counters/2026-01-02", SpendCounter))
    assert budget is not None
    assert budget.value.submissions == 1


async def test_a_refused_repetition_stays_within_its_limit(pipeline: Pipeline) -> None:
    """The overdue task is still the one that was bought."""
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    await pipeline.sweeper(resubmit_overdue=1).run()
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    result = await pipeline.service.run(ID)
    assert (result.state, result.task_id) == (State.SUBMITTED, "task-1")
    assert result.reason == "repetition: provider_no_credit"
    entry = await pipeline.entry(ID)
    assert (entry.state, entry.task_id) == (State.SUBMITTED, "task-1")
    assert (await pipeline.service.submit(ORDER)).duplicate


async def test_a_requeue_whose_answer_was_lost_is_queued(pipeline: Pipeline) -> None:
    """In the same run: its own write is not somebody else's."""
    submission_id = await pipeline.drop()
    pipeline.clock.advance(seconds=STALLED_AFTER.total_seconds())
    lost = False

    def after(operation: str) -> None:
        nonlocal lost
        if operation == "commit" and not lost:
            lost = True
            raise StoreUnavailable("the answer was lost")

    pipeline.documents.after = after
    assert (await pipeline.sweeper().run()).requeued == 1
    assert f"{submission_id}-1" in pipeline.queue.tasks


async def comes(pipeline: Pipeline, task_id: str) -> None:
    """Let the result of a task come."""
    result = replace(a_result(), task_id=task_id)
    await TaskStore(pipeline.documents, Retrier()).save_result(result, b"raw")


async def test_whoever_asks_a_late_result_is_enough() -> None:
    """Not only the queue: an order that comes before it buys nothing either."""
    pipeline = Pipeline(cap_per_day=5)
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert (await pipeline.sweeper(resubmit_overdue=1).run()).resubmitted == 1
    await comes(pipeline, "task-1")
    receipt = await pipeline.service.submit(ORDER)
    assert (receipt.task_id, receipt.duplicate) == ("task-1", True)
    assert pipeline.provider.submitted == ["re_1"]
    entry = await pipeline.entry(ID)
    assert (entry.state, entry.task_id, entry.previous_attempts) == (State.SUBMITTED, "task-1", [])


async def test_the_late_result_of_any_earlier_task_is_enough() -> None:
    """The second of three came; it is what the entry shows from then on."""
    pipeline = Pipeline()
    sweeper = pipeline.sweeper(resubmit_overdue=2)
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    await sweeper.run()
    await pipeline.service.run(ID)
    await comes(pipeline, "task-1")
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert (await sweeper.run()).resubmitted == 1
    assert (await pipeline.service.run(ID)).task_id == "task-1"
    assert pipeline.provider.submitted == ["re_1", "re_1"]
    entry = await pipeline.entry(ID)
    assert (entry.task_id, [each.task_id for each in entry.previous_attempts]) == (
        "task-1",
        ["task-2"],
    )


async def test_the_bound_of_repetitions_holds_for_ever() -> None:
    """Even where more was bought than an entry remembers; what people force does not count."""
    pipeline = Pipeline()
    sweeper = pipeline.sweeper(resubmit_overdue=3)
    await pipeline.service.submit(ORDER)
    for _ in range(MAX_PREVIOUS_ATTEMPTS + 5):
        await pipeline.service.submit(SubmitAsset("re_1", {}, force=True))
    before = len(pipeline.provider.submitted)
    for _ in range(10):
        pipeline.clock.advance(seconds=OVERDUE.total_seconds())
        await sweeper.run()
        await pipeline.service.run(ID)
    assert len(pipeline.provider.submitted) == before + 3


async def test_what_is_forced_is_bought_though_a_late_result_came() -> None:
    """Whoever asks with force, by a list too, gets a new job."""
    pipeline = Pipeline()
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    await pipeline.sweeper(resubmit_overdue=1).run()
    await comes(pipeline, "task-1")
    taken = await pipeline.intake.enqueue_assets(SubmitAssets(("re_1",), {}, force=True))
    assert taken.queued == [ID]
    assert (await pipeline.service.run(ID)).task_id == "task-2"


async def test_one_bad_document_does_not_stop_the_sweep(pipeline: Pipeline) -> None:
    """Written by a later version, say: it is logged and left, everything else is done."""
    for asset_id in ("re_1", "re_2", "re_3"):
        await pipeline.service.submit(SubmitAsset(asset_id, {}))
    dead = submission_id_of_asset("re_3")
    calling = replace(
        await pipeline.entry(dead),
        state=State.SUBMITTING,
        task_id=None,
        lease_expires_at=pipeline.clock.now,
    )
    await pipeline.documents.commit(Write(submission_path(dead), calling))
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    pipeline.documents.content[f"submissions/{ID}"]["state"] = "brand_new"
    counts = await pipeline.sweeper(resubmit_overdue=1).run()
    assert counts == Counts(overdue=2, submit_unknown=1, resubmitted=1, failed=1)
    assert len(pipeline.lines.named("sweep_item_failed")) == 1


async def test_an_outage_of_the_queue_stops_nothing_else(pipeline: Pipeline) -> None:
    """It is said in the end, so that the scheduler comes again."""
    await pipeline.drop()
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(hours=7)
    pipeline.queue.down = True
    with pytest.raises(QueueUnavailable):
        await pipeline.sweeper().run()
    assert (await pipeline.task()).status is Status.OVERDUE
    assert pipeline.lines.named("swept")[0]["overdue"] == 1


async def test_sweep_of_a_silent_store_starts_nothing_after_its_time(pipeline: Pipeline) -> None:
    """Cloud Run ends a run after 300 s; what is left is counted as ``more``."""
    for number in range(40):
        await pipeline.drop(f"a/talk-{number}.mp4")
    pipeline.clock.advance(hours=3)
    commits: list[datetime] = []

    def silent(operation: str) -> None:
        if operation == "commit":
            commits.append(pipeline.clock.now)
            pipeline.clock.advance(seconds=20)
            raise StoreUnavailable("silent")

    pipeline.documents.before = silent
    sweeper = pipeline.sweeper()
    sweeper._store._retrier = TryOnce()
    with pytest.raises(StoreUnavailable):
        await sweeper.run()
    # Those that run at the same time as the last one in time may begin after it.
    assert len(commits) <= MAX_RUN / timedelta(seconds=20) + CONCURRENCY
    assert pipeline.lines.named("swept")[0]["more"] is True
    pipeline.documents.before = lambda _: None
    assert (await pipeline.sweeper().run()).requeued == 40


async def test_sweep_of_a_silent_store_asks_it_no_more_queries(pipeline: Pipeline) -> None:
    """A query that is not sent after the time is over reports ``more``, too."""
    queries = 0

    def silent(operation: str) -> None:
        nonlocal queries
        queries += operation == "query"
        pipeline.clock.advance(seconds=MAX_RUN.total_seconds())

    pipeline.documents.before = silent
    counts = await pipeline.sweeper().run()
    assert (queries, counts.more) == (1, True)


async def test_every_query_of_the_sweep_is_listed_with_its_index(pipeline: Pipeline) -> None:
    """A query without a composite index fails in Firestore, but in no emulator."""
    asked: set[tuple[str, str, str]] = set()
    query_documents = pipeline.documents.query

    async def recording(query: Query[Any]) -> Any:
        asked.add((query.collection, query.where[0], query.until[0]))
        return await query_documents(query)

    pipeline.documents.query = recording  # type: ignore[method-assign] # records what is asked
    await pipeline.sweeper().run()
    assert asked == set(QUERIES)
