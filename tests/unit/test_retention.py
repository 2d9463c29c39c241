"""Expiry: open entries never expire, and a purchase never expires before its task."""

from __future__ import annotations

from datetime import timedelta

from tests.fakes import NOW
from tests.pipeline import Pipeline
from transcripts.changes.deletion import Deletion
from transcripts.mavi.answers import Refusal, Refused
from transcripts.retention import deleted_expiry
from transcripts.retry import Retrier
from transcripts.submissions.requests import SubmitAsset, SubmitObject
from transcripts.submissions.submission import State, submission_id_of_asset, submission_path


def expire(pipeline: Pipeline) -> set[str]:
    """Delete every document whose time of expiry has passed; return their collections."""
    gone = [
        path
        for path, content in pipeline.documents.content.items()
        if content.get("expires_at") is not None and content["expires_at"] <= pipeline.clock.now
    ]
    for path in gone:
        del pipeline.documents.content[path]
    return {path.partition("/")[0] for path in gone}


async def test_submission_expires_with_its_task() -> None:
    """The days count from the day of the purchase."""
    pipeline = Pipeline(retention_days=30, cap_per_day=1)
    one, two = await pipeline.drop("1.mp4"), await pipeline.drop("2.mp4")
    await pipeline.service.run(one)
    pipeline.clock.advance(days=29)
    assert (await pipeline.entry(two)).expires_at is None
    assert (await pipeline.service.run(two)).state is State.SUBMITTED
    bought_at = pipeline.clock.now
    assert (await pipeline.entry(two)).expires_at == bought_at + timedelta(days=30)
    assert (await pipeline.task("task-2")).expires_at == bought_at + timedelta(days=30)
    pipeline.clock.advance(days=2)
    expire(pipeline)
    await pipeline.intake.enqueue_upload(pipeline.objects.content["uploads", "2.mp4"][0])
    assert (await pipeline.service.run(two)).task_id == "task-2"
    assert len(pipeline.provider.submitted) == 2


async def test_submission_waiting_for_the_cap_does_not_expire() -> None:
    """A backlog may be older than the retention."""
    pipeline = Pipeline(retention_days=2, cap_per_day=1)
    waiting = [await pipeline.drop(f"{number}.mp4") for number in range(5)]
    for _ in waiting:
        for submission_id in waiting:
            if submission_path(submission_id) in pipeline.documents.content:
                await pipeline.service.run(submission_id)
        pipeline.clock.advance(days=1)
        expire(pipeline)
    assert len(pipeline.provider.submitted) == len(waiting)


async def test_asset_owner_expires_with_its_submission() -> None:
    """If the owner expired earlier, the asset's id could be bought again."""
    pipeline = Pipeline(retention_days=30)
    submission_id = await pipeline.drop()
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    assert (await pipeline.service.run(submission_id)).state is State.REJECTED
    pipeline.clock.advance(days=29)
    stored = pipeline.objects.content["uploads", "a/talk.mp4"][0]
    await pipeline.intake.enqueue_object(SubmitObject("uploads", stored.name, None, {}), stored)
    assert expire(pipeline) == set()
    assert (await pipeline.service.run(submission_id)).task_id == "task-2"
    pipeline.clock.advance(days=29)
    assert expire(pipeline) <= {"spend_counters"}
    receipt = await pipeline.service.submit(SubmitAsset("re_1", {}))
    assert (receipt.duplicate, receipt.task_id) == (True, "task-2")
    pipeline.clock.advance(days=2)
    assert expire(pipeline) == {"submissions", "tasks", "assets"}


async def test_rejected_upload_expires() -> None:
    """The days count from the time of its record."""
    pipeline = Pipeline(retention_days=30)
    submission_id = await pipeline.drop("notes.txt", content_type="text/plain")
    assert (await pipeline.entry(submission_id)).expires_at == pipeline.clock.now + timedelta(
        days=30
    )


def test_record_of_a_deleted_task_outlives_its_messages() -> None:
    """At least 90 days, longer with longer retention, and always without any."""
    assert deleted_expiry(NOW, 1) == NOW + timedelta(days=90)
    assert deleted_expiry(NOW, 365) == NOW + timedelta(days=365)
    assert deleted_expiry(NOW, 0) is None


async def test_deletion_does_not_prolong_the_submission() -> None:
    """The ledger expires when it would have expired without the deletion."""
    pipeline = Pipeline(retention_days=30)
    await pipeline.service.submit(SubmitAsset("re_1", {"case": "7"}))
    before = await pipeline.entry(submission_id_of_asset("re_1"))
    pipeline.clock.advance(days=20)
    deletion = Deletion(
        pipeline.documents, Retrier(), pipeline.lines.log, pipeline.clock, retention_days=30
    )
    assert await deletion.delete_task("task-1") == []
    after = await pipeline.entry(submission_id_of_asset("re_1"))
    assert (after.labels, after.expires_at) == ({}, before.expires_at)
    pipeline.clock.advance(days=10)
    assert expire(pipeline) == {"submissions", "assets"}
    pipeline.clock.advance(days=80)
    assert expire(pipeline) == {"tasks"}
