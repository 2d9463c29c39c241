"""Enqueueing purchases: upload events, lists of assets, and objects that callers name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes import nothing
from tests.pipeline import Pipeline
from transcripts.errors import (
    QueueUnavailable,
    RequestError,
    StoreUnavailable,
)
from transcripts.mavi.answers import (
    Ambiguous,
    AssetState,
    Refusal,
    Refused,
)
from transcripts.submissions.answers import RunResult
from transcripts.submissions.requests import SubmitAsset, SubmitAssets, SubmitObject
from transcripts.submissions.submission import (
    State,
    submission_id_of_asset,
    submission_id_of_object,
)
from transcripts.uploads.rejections import RejectReason


async def test_enqueue_upload_repeated_buys_once(pipeline: Pipeline) -> None:
    """The event is repeated before, during and after the run."""
    submission_id = await pipeline.drop()
    stored = pipeline.objects.content["uploads", "a/talk.mp4"][0]
    for _ in range(3):
        await pipeline.intake.enqueue_upload(stored)
    running = asyncio.ensure_future(pipeline.service.run(submission_id))
    await asyncio.sleep(0)
    await pipeline.intake.enqueue_upload(stored)
    await running
    await pipeline.intake.enqueue_upload(stored)
    assert len(pipeline.queue.tasks) == 1
    assert pipeline.provider.submitted == ["re_1"]
    again = await pipeline.service.run(submission_id)
    assert again == RunResult(submission_id, State.SUBMITTED, task_id="task-1")


async def test_run_of_a_replaced_object_is_rejected(pipeline: Pipeline) -> None:
    """The new generation is a new purchase."""
    first = await pipeline.drop(generation="1")
    second = await pipeline.drop(generation="2")
    assert first != second
    ended = await pipeline.service.run(first)
    assert ended == RunResult(first, State.REJECTED, reason="object_not_found")
    assert (await pipeline.service.run(second)).state is State.SUBMITTED
    assert pipeline.provider.submitted == ["re_1"]


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("folder/", {}, RejectReason.FOLDER),
        ("a.txt", {"content_type": "text/plain"}, RejectReason.NOT_MEDIA),
        ("a.mp4", {"content": b""}, RejectReason.EMPTY),
        ("a.mp4", {"content": b"x" * 1001}, RejectReason.TOO_LARGE),
        ("a.mp4", {"metadata": {"mavi-skip": "1"}}, RejectReason.SKIPPED),
        ("gcloud/tmp/parallel_composite_uploads/x/0", {}, RejectReason.TEMPORARY_PART),
        ("._a.mp4", {}, RejectReason.APPLE_DOUBLE),
        ("a.wav", {"content_encoding": "gzip"}, RejectReason.COMPRESSED),
        ("a.mp4", {"customer_encrypted": True}, RejectReason.CUSTOMER_KEY),
    ],
)
async def test_enqueue_upload_rejected_is_recorded_once(
    pipeline: Pipeline, name: str, more: dict[str, Any], reason: RejectReason
) -> None:
    """A rejected upload is not enqueued."""
    submission_id = await pipeline.drop(name, **more)
    await pipeline.drop(name, **more)
    entry = await pipeline.entry(submission_id)
    assert (entry.state, entry.reason) == (State.REJECTED, reason)
    assert pipeline.queue.tasks == {}
    assert len(pipeline.lines.named("upload_rejected")) == 1


async def test_enqueue_upload_without_a_queue_is_recorded(pipeline: Pipeline) -> None:
    """Pub/Sub delivers the event again, or the sweep finds the entry."""
    pipeline.queue.down = True
    with pytest.raises(QueueUnavailable):
        await pipeline.drop()
    stored = pipeline.objects.content["uploads", "a/talk.mp4"][0]
    submission_id = submission_id_of_object(stored.uri, "1")
    assert (await pipeline.entry(submission_id)).state is State.PENDING
    pipeline.queue.down = False
    await pipeline.intake.enqueue_upload(stored)
    assert list(pipeline.queue.tasks) == [f"{submission_id}-0"]


async def test_enqueue_object_rejected_raises_its_reason(pipeline: Pipeline) -> None:
    """The answer is 400 ``object_refused``."""
    stored = pipeline.objects.put("a.txt", content_type="text/plain")
    with pytest.raises(RequestError) as caught:
        await pipeline.intake.enqueue_object(SubmitObject("uploads", "a.txt", None, {}), stored)
    assert caught.value.details["reason"] == "not_media"


async def test_enqueue_assets_has_one_task_each(pipeline: Pipeline) -> None:
    """Each asset has a task with its own name."""
    assets = tuple(f"re_{n}" for n in range(1000))
    taken = await pipeline.intake.enqueue_assets(SubmitAssets(assets, {"batch": "1"}))
    assert len(taken.queued) == len(set(taken.queued)) == len(pipeline.queue.tasks) == 1000
    again = await pipeline.intake.enqueue_assets(SubmitAssets(assets, {}))
    assert again.queued == taken.queued
    assert len(pipeline.queue.tasks) == 1000
    ended = await pipeline.service.run(taken.queued[7])
    assert ended.state is State.SUBMITTED
    assert pipeline.provider.submitted == ["re_7"]
    assert (await pipeline.entry(taken.queued[7])).labels == {"batch": "1"}


async def test_submit_failing_leaves_a_queued_entry_to_the_queue(pipeline: Pipeline) -> None:
    """Submitting fails because Mavi is busy or the asset is not ready."""
    await pipeline.intake.enqueue_assets(SubmitAssets(("re_1",), {}))
    submission_id = submission_id_of_asset("re_1")
    pipeline.provider.busy_s = 90.0
    assert (await pipeline.refused()).code == "provider_rate_limited"
    pipeline.provider.busy_s = 0.0
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.UPLOADING]
    assert (await pipeline.refused()).code == "asset_not_ready"
    assert (await pipeline.entry(submission_id)).state is State.PENDING
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


async def test_enqueue_assets_after_submit_has_a_new_task_name(pipeline: Pipeline) -> None:
    """Cloud Tasks remembers the old name."""
    await pipeline.intake.enqueue_assets(SubmitAssets(("re_1",), {}))
    submission_id = submission_id_of_asset("re_1")
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.service.run(submission_id)
    pipeline.lose_the_store_after_the_claim()
    with pytest.raises(StoreUnavailable):
        await pipeline.service.submit(SubmitAsset("re_1", {}))
    pipeline.documents.before = lambda _: None
    await pipeline.intake.enqueue_assets(SubmitAssets(("re_1",), {}))
    assert len(pipeline.queue.tasks) == 2


async def test_enqueue_assets_with_an_outage_returns_the_failed_ones(pipeline: Pipeline) -> None:
    """Forcing the whole list again would buy the other assets twice."""

    def flaky(submission_id: str) -> None:
        if submission_id == submission_id_of_asset("re_2"):
            raise QueueUnavailable("no queue")

    pipeline.queue.before = flaky
    taken = await pipeline.intake.enqueue_assets(SubmitAssets(("re_1", "re_2"), {}, force=True))
    assert taken.queued == [submission_id_of_asset("re_1")]
    assert taken.failed == ["re_2"]
    pipeline.queue.before = nothing
    again = await pipeline.intake.enqueue_assets(SubmitAssets(tuple(taken.failed), {}, force=True))
    assert (again.queued, again.failed) == ([submission_id_of_asset("re_2")], [])


async def test_enqueue_object_refused_has_reason_and_size_limit(pipeline: Pipeline) -> None:
    """The caller learns from the error what to change."""
    stored = pipeline.objects.put("a.mp4", b"x" * 1001)
    with pytest.raises(RequestError) as caught:
        await pipeline.intake.enqueue_object(SubmitObject("uploads", "a.mp4", None, {}), stored)
    assert (caught.value.code, caught.value.status) == ("object_refused", 400)
    assert caught.value.details == {"reason": "too_large", "max_object_bytes": 1000}
