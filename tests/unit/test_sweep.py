"""The sweep: overdue tasks, expired calls and idle entries."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from tests.pipeline import ASSET, FORCED, ID, OVERDUE, REQUEST, Pipeline
from tests.unit.test_merge import a_result
from transcripts.changes.deletion import Deletion
from transcripts.errors import QueueUnavailable, StoreUnavailable
from transcripts.mavi.answers import AnswerLost
from transcripts.ports import Query, Write
from transcripts.results.answers import Left
from transcripts.retry import Retrier
from transcripts.submissions.requests import SubmitAsset, SubmitAssets
from transcripts.submissions.submission import (
    State,
    Submission,
    submission_id_of_asset,
    submission_path,
)
from transcripts.submissions.sweep import (
    STALLED_AFTER,
    Counts,
)
from transcripts.submissions.transitions import LEASE
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Status, task_path


async def test_sweep_with_nothing_to_do_changes_nothing(pipeline: Pipeline) -> None:
    """The store is empty, or everything in it is in time."""
    assert await pipeline.sweeper().run() == Counts()
    await pipeline.service.submit(REQUEST)
    await pipeline.drop()
    assert await pipeline.sweeper().run() == Counts()


async def test_sweep_marks_a_late_task_overdue(pipeline: Pipeline) -> None:
    """The task is marked once; a late result replaces the status."""
    await pipeline.service.submit(REQUEST)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert await pipeline.sweeper().run() == Counts(overdue=1)
    assert (await pipeline.task()).status is Status.OVERDUE
    assert await pipeline.sweeper().run() == Counts()
    (logged,) = pipeline.lines.named("task_overdue")
    assert (logged["task_id"], logged["resubmitted"]) == ("task-1", False)
    await TaskStore(pipeline.documents, Retrier()).save_result(
        replace(a_result(), task_id="task-1"), b"raw"
    )
    assert (await pipeline.task()).status is Status.SUCCEEDED


async def test_sweep_with_a_result_meanwhile_changes_nothing(pipeline: Pipeline) -> None:
    """The task is not bought again either."""
    await pipeline.service.submit(REQUEST)
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
    """Resubmission is off by default."""
    await pipeline.service.submit(REQUEST)
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
    """The entry then needs ``force``."""
    await pipeline.service.submit(REQUEST)
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
    """The process ended after the record and before the queue."""
    pipeline.queue.down = True
    with pytest.raises(QueueUnavailable):
        await pipeline.drop()
    pipeline.queue.down = False
    pipeline.clock.advance(seconds=STALLED_AFTER.total_seconds())
    assert await pipeline.sweeper().run() == Counts(requeued=1)
    (name,) = pipeline.queue.tasks
    assert name.endswith("-1")
    (logged,) = pipeline.lines.named("requeued")
    assert (logged["submission_id"], logged["state"]) == (pipeline.queue.tasks[name], "pending")
    assert (await pipeline.service.run(pipeline.queue.tasks[name])).state is State.SUBMITTED


@pytest.mark.parametrize("state", [State.PENDING, State.UPLOADING, State.UPLOADED])
async def test_sweep_requeues_an_idle_entry(pipeline: Pipeline, state: State) -> None:
    """The entry is enqueued once for each time that it is idle."""
    submission_id = await pipeline.drop()
    entry = replace(await pipeline.entry(submission_id), state=state, lease_id="gone")
    await pipeline.documents.commit(Write(submission_path(submission_id), entry))
    pipeline.clock.advance(seconds=STALLED_AFTER.total_seconds())
    assert await pipeline.sweeper().run() == Counts(requeued=1)
    assert await pipeline.sweeper().run() == Counts()
    assert list(pipeline.queue.tasks) == [f"{submission_id}-0", f"{submission_id}-1"]


async def test_sweeps_at_once_act_once(pipeline: Pipeline) -> None:
    """Each sweep decides on the stored entry."""
    await pipeline.service.submit(REQUEST)
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


async def test_sweep_keeps_a_result_without_submission(pipeline: Pipeline) -> None:
    """The job of a lost answer stays visible."""
    pipeline.provider.answers = [AnswerLost("timeout")]
    await pipeline.refused()
    await TaskStore(pipeline.documents, Retrier()).save_result(a_result(), b"raw")
    pipeline.clock.advance(days=30)
    assert await pipeline.sweeper().run() == Counts()
    task = await pipeline.task("t")
    assert (task.submission_id, task.status) == (None, Status.SUCCEEDED)


async def test_sweep_with_a_lost_acknowledgement_requeues(pipeline: Pipeline) -> None:
    """The sweep recognizes its own write."""
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


async def test_sweep_with_a_bad_document_handles_the_others(pipeline: Pipeline) -> None:
    """The bad document is logged and not changed."""
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
    """The run raises at the end, so that the scheduler retries."""
    await pipeline.drop()
    await pipeline.service.submit(REQUEST)
    pipeline.clock.advance(hours=7)
    pipeline.queue.down = True
    with pytest.raises(QueueUnavailable):
        await pipeline.sweeper().run()
    assert (await pipeline.task()).status is Status.OVERDUE
    assert pipeline.lines.named("swept")[0]["overdue"] == 1


async def test_run_counts_everything_that_it_requeued(pipeline: Pipeline) -> None:
    """Entries count in whichever state they were found."""
    for number, state in enumerate((State.PENDING, State.PENDING, State.UPLOADING)):
        submission_id = await pipeline.drop(f"{number}.mp4")
        entry = replace(await pipeline.entry(submission_id), state=state)
        await pipeline.documents.commit(Write(submission_path(submission_id), entry))
    pipeline.clock.advance(seconds=STALLED_AFTER.total_seconds())
    assert await pipeline.sweeper().run() == Counts(requeued=3)


async def test_requeue_whose_answer_was_lost_is_written_once(pipeline: Pipeline) -> None:
    """An entry that this run has written already is not written again."""
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
    """The log reports no lost answer."""
    await pipeline.service.submit(REQUEST)
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


async def test_expired_call_is_logged_with_its_submission(pipeline: Pipeline) -> None:
    """An operator has to check whether the job was paid for."""
    await pipeline.service.submit(REQUEST)
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
    return await deletion.delete_task(task_id)


async def test_sweep_of_a_deleted_task_finds_nothing(pipeline: Pipeline) -> None:
    """It is neither overdue nor bought again."""
    await pipeline.service.submit(REQUEST)
    assert await delete(pipeline) == []
    pipeline.clock.advance(days=30)
    assert await pipeline.sweeper(resubmit_overdue=1).run() == Counts()
    assert pipeline.provider.submitted == ["re_1"]


async def test_submit_after_a_deletion_needs_force(pipeline: Pipeline) -> None:
    """No caller gets the id of a task that is gone, and nothing is paid again unasked."""
    await pipeline.service.submit(REQUEST)
    assert await delete(pipeline) == []
    error = await pipeline.refused()
    assert (error.code, error.status) == ("transcript_deleted", 409)
    listed = await pipeline.intake.enqueue_assets(SubmitAssets((ASSET,), {}))
    assert (listed.deleted, listed.duplicates) == ([ID], [])
    assert pipeline.provider.submitted == ["re_1"]
    assert (await pipeline.service.submit(FORCED)).task_id == "task-2"
    entry = await pipeline.entry(ID)
    assert (entry.deleted_at, entry.task_ids) == (None, ["task-1", "task-2"])


async def test_repetition_of_a_deleted_task_buys_nothing(pipeline: Pipeline) -> None:
    """It was overdue, and is deleted while its repetition is queued."""
    await pipeline.service.submit(REQUEST)
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert (await pipeline.sweeper(resubmit_overdue=1).run()).resubmitted == 1
    assert [each.reason for each in await delete(pipeline)] == ["submission_in_progress"]
    ended = await pipeline.service.run(ID)
    assert (ended.state, ended.task_id) == (State.SUBMITTED, "task-1")
    assert pipeline.provider.submitted == ["re_1"]
    assert await delete(pipeline) == []
    assert (await pipeline.entry(ID)).labels == {}
