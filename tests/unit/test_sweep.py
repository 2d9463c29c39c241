"""What nobody is there to do any more."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import TryOnce
from tests.pipeline import ID, OVERDUE, Pipeline
from tests.unit.test_merge import a_result
from transcripts.errors import QueueUnavailable, StoreUnavailable
from transcripts.mavi.answers import AnswerLost, Refusal, Refused
from transcripts.ports import Query, Read, Write
from transcripts.results.deletion import Deletion, Left
from transcripts.retry import Retrier
from transcripts.submissions.requests import SubmitAsset, SubmitAssets
from transcripts.submissions.submission import (
    SpendCounter,
    State,
    Submission,
    submission_id_of_asset,
    submission_path,
)
from transcripts.submissions.sweep import (
    BATCH_LIMIT,
    CONCURRENCY,
    ITEM_TIMEOUT_S,
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


async def test_sweep_with_nothing_to_do_changes_nothing(pipeline: Pipeline) -> None:
    """In an empty store, and with everything in time."""
    assert await pipeline.sweeper().run() == Counts()
    await pipeline.service.submit(ORDER)
    await pipeline.drop()
    assert await pipeline.sweeper().run() == Counts()


async def test_sweep_marks_a_late_task_overdue(pipeline: Pipeline) -> None:
    """Once; a late result replaces that."""
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


async def test_sweep_with_a_result_meanwhile_changes_nothing(pipeline: Pipeline) -> None:
    """The task is not bought again either."""
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


async def test_sweep_resubmits_an_overdue_task_within_its_limit(pipeline: Pipeline) -> None:
    """It is off by default."""
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


async def test_sweep_expires_a_call_after_its_lease(pipeline: Pipeline) -> None:
    """Then it needs ``force``."""
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


async def test_sweep_requeues_an_entry_that_was_never_enqueued(pipeline: Pipeline) -> None:
    """The process ended between the record and the queue."""
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
async def test_sweep_requeues_an_idle_entry(pipeline: Pipeline, state: State) -> None:
    """Once for each time it is idle."""
    submission_id = await pipeline.drop()
    entry = replace(await pipeline.entry(submission_id), state=state, lease_id="gone")
    await pipeline.documents.commit(Write(submission_path(submission_id), entry))
    pipeline.clock.advance(seconds=STALLED_AFTER.total_seconds())
    assert await pipeline.sweeper().run() == Counts(requeued=1)
    assert await pipeline.sweeper().run() == Counts()
    assert list(pipeline.queue.tasks) == [f"{submission_id}-0", f"{submission_id}-1"]


async def test_sweeps_at_once_act_once(pipeline: Pipeline) -> None:
    """Each decides on what is stored then."""
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


async def test_sweep_is_bounded_and_reports_more(pipeline: Pipeline) -> None:
    """The next run goes on."""
    for number in range(BATCH_LIMIT + 3):
        await pipeline.service.submit(SubmitAsset(f"re_{number}", {}))
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert await pipeline.sweeper().run() == Counts(overdue=BATCH_LIMIT, more=True)
    assert await pipeline.sweeper().run() == Counts(overdue=3)


async def test_sweep_keeps_a_result_without_submission(pipeline: Pipeline) -> None:
    """The job of a lost answer stays visible."""
    pipeline.provider.answers = [AnswerLost("timeout")]
    await pipeline.refused()
    await TaskStore(pipeline.documents, Retrier()).save_result(a_result(), b"raw")
    pipeline.clock.advance(days=30)
    assert await pipeline.sweeper().run() == Counts()
    task = await pipeline.task("t")
    assert (task.submission_id, task.status) == (None, Status.SUCCEEDED)


async def test_repetition_after_a_late_result_buys_nothing(pipeline: Pipeline) -> None:
    """The result came while the repetition was queued."""
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


async def test_repetition_refused_counts_against_its_limit(pipeline: Pipeline) -> None:
    """The overdue task is still the purchase."""
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


async def test_sweep_with_a_lost_acknowledgement_requeues(pipeline: Pipeline) -> None:
    """It recognizes its own write."""
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


async def test_submit_after_a_late_result_buys_nothing() -> None:
    """Not only a run of the queue."""
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


async def test_repetition_after_a_result_of_any_task_buys_nothing() -> None:
    """The entry then names that task."""
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


async def test_resubmission_limit_holds_for_ever() -> None:
    """Forced purchases do not count."""
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


async def test_submit_forced_after_a_late_result_buys() -> None:
    """By a list, too."""
    pipeline = Pipeline()
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    await pipeline.sweeper(resubmit_overdue=1).run()
    await comes(pipeline, "task-1")
    taken = await pipeline.intake.enqueue_assets(SubmitAssets(("re_1",), {}, force=True))
    assert taken.queued == [ID]
    assert (await pipeline.service.run(ID)).task_id == "task-2"


async def test_sweep_with_a_bad_document_goes_on(pipeline: Pipeline) -> None:
    """It is logged and left."""
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


async def test_sweep_without_a_queue_does_the_rest(pipeline: Pipeline) -> None:
    """It raises at the end, so that the scheduler retries."""
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
        asked.add((query.collection, query.where[0][0], query.order_by))
        return await query_documents(query)

    pipeline.documents.query = recording  # type: ignore[method-assign] # records what is asked
    await pipeline.sweeper().run()
    assert asked == set(QUERIES)


async def test_run_with_a_silent_store_begins_nothing_after_its_deadline(
    pipeline: Pipeline,
) -> None:
    """Five queries of 20 seconds each would take the run beyond its time."""
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    queries = 0

    def silent(operation: str) -> None:
        nonlocal queries
        queries += 1
        pipeline.clock.advance(seconds=20)
        raise StoreUnavailable("no store")

    pipeline.documents.before = silent
    sweeper = pipeline.sweeper(max_run=timedelta(seconds=50))
    sweeper._retrier = TryOnce()
    with pytest.raises(StoreUnavailable):
        await sweeper.run()
    assert queries == 3
    assert pipeline.lines.named("swept")[0]["more"] is True


async def test_run_with_a_slow_store_leaves_the_rest_to_the_next_run(pipeline: Pipeline) -> None:
    """Documents that were found but not begun count as more."""
    for number in range(30):
        await pipeline.service.submit(SubmitAsset(f"re_{number}", {}))
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())

    def slow(operation: str) -> None:
        if operation == "commit":
            pipeline.clock.advance(seconds=20)

    pipeline.documents.before = slow
    sweeper = pipeline.sweeper(max_run=timedelta(seconds=100))
    counts = await sweeper.run()
    assert 5 <= counts.overdue <= 13
    assert counts.more
    pipeline.documents.before = lambda _: None
    rest = await sweeper.run()
    assert rest == Counts(overdue=30 - counts.overdue)


async def test_run_with_a_document_that_takes_too_long_gives_it_up(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other document is done; the run raises, so that the scheduler calls again."""
    monkeypatch.setattr("transcripts.submissions.sweep.ITEM_TIMEOUT_S", 0.05)
    await pipeline.service.submit(ORDER)
    await pipeline.drop()
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    enqueue = pipeline.queue.enqueue

    async def silent(name: str, submission_id: str) -> None:
        await asyncio.Event().wait()

    pipeline.queue.enqueue = silent  # type: ignore[method-assign] # one test's own queue
    with pytest.raises(StoreUnavailable, match="too long"):
        await pipeline.sweeper().run()
    assert (await pipeline.task()).status is Status.OVERDUE
    pipeline.queue.enqueue = enqueue  # type: ignore[method-assign] # see above


def test_the_longest_run_ends_before_the_timeout_of_the_function() -> None:
    """A query, or one document, may begin right before the deadline."""
    text = Path("infra/functions.tf").read_text()
    found = re.search(r"\n    sweep = \{.*?timeout_s = (\d+)", text, re.DOTALL)
    assert found is not None
    longest_s = MAX_RUN.total_seconds() + max(ITEM_TIMEOUT_S, 20.0)
    assert longest_s <= 0.9 * int(found[1])


async def test_run_makes_the_queries_that_have_an_index(pipeline: Pipeline) -> None:
    """Firestore refuses a query without its composite index, and the emulator does not."""
    made: set[tuple[str, str, str]] = set()
    query = pipeline.documents.query

    async def recording(wanted: Query[Any]) -> Any:
        made.add((wanted.collection, wanted.where[0][0], wanted.order_by))
        return await query(wanted)

    pipeline.documents.query = recording  # type: ignore[method-assign,assignment] # one test's own store
    await pipeline.sweeper().run()
    assert made == set(QUERIES)


def test_indexes_of_the_database_are_those_of_the_queries() -> None:
    """Terraform makes them; nothing else does."""
    pattern = r'collection = "(\w+)", equal = "(\w+)", time = "(\w+)"'
    found = re.findall(pattern, Path("infra/firestore.tf").read_text())
    assert set(found) == set(QUERIES)


async def test_run_counts_everything_that_it_requeued(pipeline: Pipeline) -> None:
    """In whichever state it was found."""
    for number, state in enumerate((State.PENDING, State.PENDING, State.UPLOADING)):
        submission_id = await pipeline.drop(f"{number}.mp4")
        entry = replace(await pipeline.entry(submission_id), state=state)
        await pipeline.documents.commit(Write(submission_path(submission_id), entry))
    pipeline.clock.advance(seconds=STALLED_AFTER.total_seconds())
    assert await pipeline.sweeper().run() == Counts(requeued=3)


async def test_requeue_whose_answer_was_lost_is_written_once(pipeline: Pipeline) -> None:
    """What is found as this run has written it needs no other write."""
    await pipeline.drop()
    pipeline.clock.advance(seconds=STALLED_AFTER.total_seconds())
    before = len(pipeline.documents.commits)

    def after(operation: str) -> None:
        if operation == "commit" and len(pipeline.documents.commits) == before + 1:
            raise StoreUnavailable("the answer was lost")

    pipeline.documents.after = after
    assert (await pipeline.sweeper().run()).requeued == 1
    assert len(pipeline.documents.commits) == before + 1


async def test_call_that_is_answered_during_the_sweep_is_not_lost(pipeline: Pipeline) -> None:
    """Nothing is logged as lost that is not."""
    await pipeline.service.submit(ORDER)
    calling = replace(
        await pipeline.entry(ID), state=State.SUBMITTING, lease_expires_at=pipeline.clock.now
    )
    await pipeline.documents.commit(Write(submission_path(ID), calling))
    query = pipeline.documents.query

    async def answered(wanted: Query[Any]) -> Any:
        found = await query(wanted)
        if wanted.type is Submission and found:
            bought = replace(calling, state=State.SUBMITTED, lease_expires_at=None)
            await pipeline.documents.commit(Write(submission_path(ID), bought))
        return found

    pipeline.documents.query = answered  # type: ignore[method-assign,assignment] # one test's own store
    assert await pipeline.sweeper().run() == Counts()
    assert pipeline.lines.named("answer_lost") == []


async def test_dead_call_is_logged_with_its_submission(pipeline: Pipeline) -> None:
    """Somebody has to look whether it was paid for."""
    await pipeline.service.submit(ORDER)
    calling = replace(
        await pipeline.entry(ID), state=State.SUBMITTING, lease_expires_at=pipeline.clock.now
    )
    await pipeline.documents.commit(Write(submission_path(ID), calling))
    await pipeline.sweeper().run()
    (event,) = pipeline.lines.named("answer_lost")
    assert (event["severity"], event["submission_id"]) == ("ERROR", ID)
    assert event["reason"] == "process_ended"


async def delete(pipeline: Pipeline, task_id: str = "task-1") -> list[Left]:
    deletion = Deletion(pipeline.documents, Retrier(), pipeline.lines.log, pipeline.clock)
    return await deletion.delete(task_id)


async def test_sweep_of_a_deleted_task_finds_nothing(pipeline: Pipeline) -> None:
    """It is neither overdue nor bought again, and its asset counts as bought."""
    await pipeline.service.submit(ORDER)
    assert await delete(pipeline) == []
    pipeline.clock.advance(days=30)
    assert await pipeline.sweeper(resubmit_overdue=1).run() == Counts()
    assert (await pipeline.service.submit(ORDER)).duplicate
    assert pipeline.provider.submitted == ["re_1"]


async def test_repetition_of_a_deleted_task_buys_nothing(pipeline: Pipeline) -> None:
    """It was overdue, and is deleted while its repetition is queued."""
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert (await pipeline.sweeper(resubmit_overdue=1).run()).resubmitted == 1
    assert [each.reason for each in await delete(pipeline)] == ["submission_in_progress"]
    ended = await pipeline.service.run(ID)
    assert (ended.state, ended.task_id) == (State.SUBMITTED, "task-1")
    assert pipeline.provider.submitted == ["re_1"]
    assert await delete(pipeline) == []
    assert (await pipeline.entry(ID)).labels == {}
