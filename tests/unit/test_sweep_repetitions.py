"""Repetitions of overdue tasks: their limit, and results that arrive late."""

from __future__ import annotations

from msgspec.structs import replace

from tests.pipeline import ID, OVERDUE, REQUEST, Pipeline
from tests.unit.test_merge import a_result
from transcripts.mavi.answers import Refusal, Refused
from transcripts.ports import Read
from transcripts.retry import Retrier
from transcripts.submissions.requests import SubmitAsset, SubmitAssets
from transcripts.submissions.submission import (
    SpendCounter,
    State,
)
from transcripts.submissions.transitions import MAX_PREVIOUS_ATTEMPTS
from transcripts.tasks.store import TaskStore


async def test_repetition_after_a_late_result_buys_nothing(pipeline: Pipeline) -> None:
    """The result came while the repetition was queued."""
    pipeline = Pipeline(cap_per_day=5)
    await pipeline.service.submit(REQUEST)
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
    """The entry still stands for the overdue task."""
    await pipeline.service.submit(REQUEST)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    await pipeline.sweeper(resubmit_overdue=1).run()
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    result = await pipeline.service.run(ID)
    assert (result.state, result.task_id) == (State.SUBMITTED, "task-1")
    assert result.reason == "repetition: provider_no_credit"
    entry = await pipeline.entry(ID)
    assert (entry.state, entry.task_id) == (State.SUBMITTED, "task-1")
    assert (await pipeline.service.submit(REQUEST)).duplicate


async def comes(pipeline: Pipeline, task_id: str) -> None:
    """Store the result of a task."""
    result = replace(a_result(), task_id=task_id)
    await TaskStore(pipeline.documents, Retrier()).save_result(result, b"raw")


async def test_submit_after_a_late_result_buys_nothing() -> None:
    """This holds for a caller's request as for a run of the queue."""
    pipeline = Pipeline(cap_per_day=5)
    await pipeline.service.submit(REQUEST)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert (await pipeline.sweeper(resubmit_overdue=1).run()).resubmitted == 1
    await comes(pipeline, "task-1")
    receipt = await pipeline.service.submit(REQUEST)
    assert (receipt.task_id, receipt.duplicate) == ("task-1", True)
    assert pipeline.provider.submitted == ["re_1"]
    entry = await pipeline.entry(ID)
    assert (entry.state, entry.task_id, entry.previous_attempts) == (State.SUBMITTED, "task-1", [])


async def test_repetition_after_a_result_of_any_task_buys_nothing() -> None:
    """The entry then names the task with the result."""
    pipeline = Pipeline()
    sweeper = pipeline.sweeper(resubmit_overdue=2)
    await pipeline.service.submit(REQUEST)
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


async def test_resubmission_limit_counts_over_all_runs() -> None:
    """Forced purchases do not count against the limit."""
    pipeline = Pipeline()
    sweeper = pipeline.sweeper(resubmit_overdue=3)
    await pipeline.service.submit(REQUEST)
    for _ in range(MAX_PREVIOUS_ATTEMPTS + 5):
        await pipeline.service.submit(SubmitAsset("re_1", {}, force=True))
    before = len(pipeline.provider.submitted)
    for _ in range(10):
        pipeline.clock.advance(seconds=OVERDUE.total_seconds())
        await sweeper.run()
        await pipeline.service.run(ID)
    assert len(pipeline.provider.submitted) == before + 3


async def test_submit_forced_after_a_late_result_buys() -> None:
    """A forced list buys too."""
    pipeline = Pipeline()
    await pipeline.service.submit(REQUEST)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    await pipeline.sweeper(resubmit_overdue=1).run()
    await comes(pipeline, "task-1")
    taken = await pipeline.intake.enqueue_assets(SubmitAssets(("re_1",), {}, force=True))
    assert taken.queued == [ID]
    assert (await pipeline.service.run(ID)).task_id == "task-2"
