"""What comes in to be queued: events, lists, and objects that callers name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

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
from transcripts.submissions.requests import SubmitAsset, SubmitAssets, SubmitObject
from transcripts.submissions.service import RunResult
from transcripts.submissions.submission import (
    State,
    submission_id_of_asset,
    submission_id_of_object,
)
from transcripts.uploads.media import RejectReason


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


async def test_events_may_be_repeated_at_any_time(pipeline: Pipeline) -> None:
    """Before the run, during it, after it: one task of the queue, one upload, one purchase."""
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


async def test_a_replaced_object_is_another_purchase(pipeline: Pipeline) -> None:
    """The first generation is gone and said to be; the second is bought."""
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
    ],
)
async def test_what_is_refused_is_on_record(
    pipeline: Pipeline, name: str, more: dict[str, Any], reason: RejectReason
) -> None:
    """With its reason, once, and not on the queue."""
    submission_id = await pipeline.drop(name, **more)
    await pipeline.drop(name, **more)
    entry = await pipeline.entry(submission_id)
    assert (entry.state, entry.reason) == (State.REJECTED, reason)
    assert pipeline.queue.tasks == {}
    assert len(pipeline.lines.named("upload_rejected")) == 1


async def test_a_queue_that_is_down_is_said_and_the_wish_is_on_record(pipeline: Pipeline) -> None:
    """The event comes again; the sweep finds the rest."""
    pipeline.queue.down = True
    with pytest.raises(QueueUnavailable):
        await pipeline.drop()
    stored = pipeline.objects.content["uploads", "a/talk.mp4"][0]
    submission_id = submission_id_of_object(stored.uri, "1")
    assert (await pipeline.entry(submission_id)).state is State.PENDING
    pipeline.queue.down = False
    await pipeline.intake.enqueue_upload(stored)
    assert list(pipeline.queue.tasks) == [f"{submission_id}-0"]


async def test_an_object_that_a_caller_names_is_judged_too(pipeline: Pipeline) -> None:
    """400, with the reason."""
    stored = pipeline.objects.put("a.txt", content_type="text/plain")
    with pytest.raises(RequestError) as caught:
        await pipeline.intake.enqueue_object(SubmitObject("uploads", "a.txt", None, {}), stored)
    assert caught.value.details["reason"] == "not_media"


async def test_a_thousand_assets_are_queued(pipeline: Pipeline) -> None:
    """Each once, under its own name."""
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


async def test_a_direct_order_takes_nothing_from_the_queue(pipeline: Pipeline) -> None:
    """It meets a busy Mavi, or an asset that is not ready: the queue goes on all the same."""
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


async def test_a_list_after_a_direct_order_has_a_name_of_its_own(pipeline: Pipeline) -> None:
    """The queue remembers the names it has had."""
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


async def test_a_list_is_taken_as_far_as_it_can_be(pipeline: Pipeline) -> None:
    """Who forces it and is told to come again with all of it would buy most of it once more."""
    enqueue = pipeline.queue.enqueue

    async def flaky(name: str, submission_id: str) -> None:
        if submission_id == submission_id_of_asset("re_2"):
            raise QueueUnavailable("no queue")
        await enqueue(name, submission_id)

    pipeline.queue.enqueue = flaky  # type: ignore[method-assign] # one test's own queue
    taken = await pipeline.intake.enqueue_assets(SubmitAssets(("re_1", "re_2"), {}, force=True))
    assert taken.queued == [submission_id_of_asset("re_1")]
    assert taken.failed == ["re_2"]
    pipeline.queue.enqueue = enqueue  # type: ignore[method-assign] # see above
    again = await pipeline.intake.enqueue_assets(SubmitAssets(tuple(taken.failed), {}, force=True))
    assert (again.queued, again.failed) == ([submission_id_of_asset("re_2")], [])
