"""Outages and rate limits reject no submission and repeat no upload."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import (
    Outage,
    TryOnce,
    nothing,
)
from tests.pipeline import CONTENT, Pipeline
from transcripts.errors import (
    ObjectUnavailable,
    RetryLater,
    StoreUnavailable,
)
from transcripts.mavi.answers import (
    Ambiguous,
    AssetState,
    NotSent,
    RateLimited,
    Sent,
    SubmitAnswer,
    Unreachable,
    UploadAnswer,
)
from transcripts.submissions.answers import RunResult
from transcripts.submissions.requests import SubmitAsset, SubmitAssets, SubmitObject
from transcripts.submissions.submission import (
    State,
    submission_id_of_asset,
)
from transcripts.submissions.uploader import MAX_UPLOADS


async def run_until_it_ends(pipeline: Pipeline, submission_id: str) -> Any:
    """Run the entry again as the queue does, for at most three days."""
    for _ in range(432):
        try:
            return await pipeline.service.run(submission_id)
        except RetryLater:
            pipeline.clock.advance(minutes=10)
    raise AssertionError("it does not end")


@pytest.mark.parametrize(
    "sends", [[Sent.UNREACHABLE], [Sent.REFUSED]], ids=["the address", "the other way"]
)
async def test_upload_unreachable_is_not_counted(pipeline: Pipeline, sends: list[Sent]) -> None:
    """Runs that cannot connect do not count, however many they are."""
    submission_id = await pipeline.drop()
    for _ in range(3 * MAX_UPLOADS):
        pipeline.provider.states = [AssetState.WAITING]
        pipeline.provider.sends = list(sends)
        pipeline.provider.uploads = [Unreachable()]
        with pytest.raises(RetryLater):
            await pipeline.service.run(submission_id)
        pipeline.clock.advance(minutes=10)
    assert (await pipeline.entry(submission_id)).uploads == 0
    pipeline.provider.uploads, pipeline.provider.states = [], [AssetState.WAITING]
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


async def test_upload_interrupted_every_time_is_rejected(pipeline: Pipeline) -> None:
    """An upload is rejected after a bounded number of interrupted runs."""
    submission_id = await pipeline.drop()
    pipeline.provider.sends = [Sent.INTERRUPTED] * 99
    pipeline.provider.states = [AssetState.WAITING] * 99
    ended = await run_until_it_ends(pipeline, submission_id)
    assert (ended.state, ended.reason) == (State.REJECTED, "upload_failed")
    assert pipeline.objects.opened == MAX_UPLOADS


async def test_upload_complete_after_a_lost_answer_is_not_repeated(pipeline: Pipeline) -> None:
    """Mavi has all bytes of the asset."""
    submission_id = await pipeline.drop()
    pipeline.provider.sends = [Sent.INTERRUPTED]
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert (pipeline.objects.opened, pipeline.provider.submitted) == (1, ["re_1"])


@pytest.mark.parametrize(
    "state", [None, AssetState.UPLOADING, AssetState.UNKNOWN], ids=["no answer", "on", "new word"]
)
async def test_upload_of_a_crashed_holder_is_looked_up_first(
    pipeline: Pipeline, state: AssetState | None
) -> None:
    """No byte is sent before the asset's state is known."""
    submission_id = await pipeline.drop()
    await pipeline.sender_died(submission_id)
    pipeline.provider.states = [state]
    ended = await run_until_it_ends(pipeline, submission_id)
    assert (ended.state, pipeline.provider.submitted) == (State.SUBMITTED, ["re_7"])
    assert pipeline.objects.opened == 0


async def test_repetition_of_an_object_uses_its_asset(pipeline: Pipeline) -> None:
    """A lost read of the asset's state does not cause a second upload."""
    submission_id = await pipeline.drop()
    await pipeline.service.run(submission_id)
    stored, _ = pipeline.objects.content.pop(("uploads", "a/talk.mp4"))
    forced = SubmitObject("uploads", stored.name, None, {}, force=True)
    await pipeline.intake.enqueue_object(forced, stored)
    pipeline.provider.states = [None, AssetState.MISSING, AssetState.MISSING]
    ended = await run_until_it_ends(pipeline, submission_id)
    assert (ended.state, pipeline.provider.submitted) == (State.SUBMITTED, ["re_1", "re_1"])


async def test_submit_during_an_upload_does_not_finish_it(pipeline: Pipeline) -> None:
    """The next run sends the bytes."""
    submission_id = await pipeline.drop()
    pipeline.provider.sends = [Sent.INTERRUPTED]
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.WAITING]
    with pytest.raises(Exception, match="upload is not complete"):
        await pipeline.service.submit(SubmitAsset("re_1", {}))
    assert (await pipeline.entry(submission_id)).state is State.UPLOADING
    pipeline.provider.states = [AssetState.WAITING]
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert CONTENT in pipeline.provider.held.values()


@pytest.mark.parametrize("answer", [NotSent("ConnectionError"), Ambiguous()])
async def test_submit_refused_for_now_leaves_the_entry_queued(
    pipeline: Pipeline, answer: SubmitAnswer
) -> None:
    """The caller gets an error; the queue runs the entry again."""
    await pipeline.intake.enqueue_assets(SubmitAssets(("re_1",), {}))
    submission_id = submission_id_of_asset("re_1")
    pipeline.provider.answers = [answer] * 7
    with pytest.raises(Exception, match="Mavi refuses this request"):
        await pipeline.service.submit(SubmitAsset("re_1", {}))
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


async def test_run_of_a_missing_asset_is_rejected_after_a_day(pipeline: Pipeline) -> None:
    """Within the first day, the 400 may be rate limiting."""
    missing = AssetState.MISSING
    pipeline.provider.states = [missing] * 9
    one = await pipeline.drop("1.mp4")
    assert (await pipeline.service.run(one)).state is State.SUBMITTED
    pipeline.provider.answers = [NotSent("ConnectionError")] * 7
    two = await pipeline.drop("2.mp4")
    with pytest.raises(RetryLater):
        await pipeline.service.run(two)
    pipeline.clock.advance(hours=25)
    pipeline.provider.states = [missing] * 4
    assert await pipeline.service.run(two) == RunResult(
        two, State.REJECTED, reason="asset_not_found"
    )


async def test_run_of_a_new_asset_with_400_is_retried(pipeline: Pipeline) -> None:
    """The 400 may be rate limiting."""
    submission_id = await pipeline.drop()
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.READY, AssetState.MISSING, AssetState.MISSING]
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert pipeline.objects.opened == 1


async def test_run_with_a_failed_poll_continues(pipeline: Pipeline) -> None:
    """A failed poll does not reject an upload, even after a day."""
    pipeline.provider.answers = [RateLimited()] * 7
    submission_id = await pipeline.drop()
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    pipeline.clock.advance(hours=25)
    pipeline.provider.states = [None]
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


@pytest.mark.parametrize("answer", [RateLimited(), NotSent("ConnectionError")])
async def test_run_without_mavi_is_retried(pipeline: Pipeline, answer: Any) -> None:
    """An outage of Mavi rejects nothing."""
    pipeline.provider.answers = [answer] * 7
    submission_id = await pipeline.drop()
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    entry = await pipeline.entry(submission_id)
    assert (entry.state, entry.lease_expires_at) == (State.UPLOADED, None)
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


async def test_run_without_a_store_is_retried(pipeline: Pipeline) -> None:
    """An outage of the store rejects nothing."""
    submission_id = await pipeline.drop()
    pipeline.restart(retrier=TryOnce())
    pipeline.documents.before = Outage(10**6)
    with pytest.raises(StoreUnavailable):
        await pipeline.service.run(submission_id)
    pipeline.documents.before = lambda _: None
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


async def test_run_with_interrupted_storage_is_retried(pipeline: Pipeline) -> None:
    """An outage of the storage rejects nothing."""
    submission_id = await pipeline.drop()

    def broken(operation: str) -> None:
        if operation == "open":
            raise ObjectUnavailable("broken off")

    pipeline.objects.before = broken
    pipeline.provider.states = [AssetState.WAITING] * (MAX_UPLOADS + 1)
    for _ in range(MAX_UPLOADS + 1):
        with pytest.raises(RetryLater) as caught:
            await pipeline.service.run(submission_id)
        # A 503 would slow down the whole queue.
        assert caught.value.status == 409
    pipeline.objects.before = nothing
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


@pytest.mark.parametrize("answer", [RateLimited(), Unreachable()])
async def test_run_during_an_outage_uploads_nothing(
    pipeline: Pipeline, answer: UploadAnswer
) -> None:
    """An outage of an hour rejects nothing."""
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [answer] * (2 * MAX_UPLOADS)
    for _ in range(2 * MAX_UPLOADS):
        with pytest.raises(RetryLater):
            await pipeline.service.run(submission_id)
    assert (await pipeline.entry(submission_id)).uploads == 0
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


async def test_run_of_a_listed_missing_asset_is_rejected_at_once(pipeline: Pipeline) -> None:
    """This pipeline did not upload the asset, so the answer that it is missing is trusted."""
    await pipeline.intake.enqueue_assets(SubmitAssets(("re_1",), {}))
    submission_id = submission_id_of_asset("re_1")
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.MISSING, AssetState.MISSING]
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="asset_not_found")


@pytest.mark.parametrize(("hours", "rejected"), [(23, False), (25, True)])
async def test_run_of_an_uploaded_missing_asset_is_rejected_after_a_day(
    pipeline: Pipeline,
    hours: int,
    rejected: bool,  # noqa: FBT001 - parametrized
) -> None:
    """The answer that a fresh upload is missing may be rate limiting."""
    pipeline.provider.answers = [RateLimited()] * 7
    submission_id = await pipeline.drop()
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    pipeline.clock.advance(hours=hours)
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.READY, AssetState.MISSING, AssetState.MISSING]
    if rejected:
        ended = await pipeline.service.run(submission_id)
        assert ended == RunResult(submission_id, State.REJECTED, reason="asset_not_found")
    else:
        with pytest.raises(RetryLater):
            await pipeline.service.run(submission_id)
    assert len(pipeline.provider.submitted) == 8
