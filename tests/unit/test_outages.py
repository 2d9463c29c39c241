"""What only time mends, and what looks like it, rejects nothing and sends nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import (
    Outage,
    TryOnce,
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
from transcripts.submissions.requests import SubmitAsset, SubmitAssets, SubmitObject
from transcripts.submissions.service import RunResult
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.submission import (
    State,
    submission_id_of_asset,
)
from transcripts.submissions.uploader import MAX_UPLOADS


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


async def run_until_it_ends(pipeline: Pipeline, submission_id: str) -> Any:
    """Come again as the queue does, for at most three days."""
    for _ in range(432):
        try:
            return await pipeline.service.run(submission_id)
        except RetryLater:
            pipeline.clock.advance(minutes=10)
    raise AssertionError("it does not end")


@pytest.mark.parametrize(
    "sends", [[Sent.UNREACHABLE], [Sent.REFUSED]], ids=["the address", "the other way"]
)
async def test_an_outage_of_the_upload_hosts_counts_as_no_try(
    pipeline: Pipeline, sends: list[Sent]
) -> None:
    """However many runs meet it."""
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


async def test_uploads_that_always_break_off_end(pipeline: Pipeline) -> None:
    """Each time bytes are sent, which is not for ever."""
    submission_id = await pipeline.drop()
    pipeline.provider.sends = [Sent.INTERRUPTED] * 99
    pipeline.provider.states = [AssetState.WAITING] * 99
    ended = await run_until_it_ends(pipeline, submission_id)
    assert (ended.state, ended.reason) == (State.REJECTED, "upload_failed")
    assert pipeline.objects.opened == MAX_UPLOADS


async def test_what_broke_off_after_its_last_byte_is_not_sent_again(pipeline: Pipeline) -> None:
    """The answer was lost; the asset is complete."""
    submission_id = await pipeline.drop()
    pipeline.provider.sends = [Sent.INTERRUPTED]
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert (pipeline.objects.opened, pipeline.provider.submitted) == (1, ["re_1"])


@pytest.mark.parametrize(
    "state", [None, AssetState.UPLOADING, AssetState.UNKNOWN], ids=["no answer", "on", "new word"]
)
async def test_an_upload_whose_sender_died_is_looked_for_first(
    pipeline: Pipeline, state: AssetState | None
) -> None:
    """One answer that does not come, or tells nothing, sends no byte."""
    submission_id = await pipeline.drop()
    await pipeline.sender_died(submission_id)
    pipeline.provider.states = [state]
    ended = await run_until_it_ends(pipeline, submission_id)
    assert (ended.state, pipeline.provider.submitted) == (State.SUBMITTED, ["re_7"])
    assert pipeline.objects.opened == 0


async def test_a_repetition_needs_no_object(pipeline: Pipeline) -> None:
    """Its asset is at Mavi, though one answer about it did not come."""
    submission_id = await pipeline.drop()
    await pipeline.service.run(submission_id)
    stored, _ = pipeline.objects.content.pop(("uploads", "a/talk.mp4"))
    forced = SubmitObject("uploads", stored.name, None, {}, force=True)
    await pipeline.intake.enqueue_object(forced, stored)
    pipeline.provider.states = [None, AssetState.MISSING, AssetState.MISSING]
    ended = await run_until_it_ends(pipeline, submission_id)
    assert (ended.state, pipeline.provider.submitted) == (State.SUBMITTED, ["re_1", "re_1"])


async def test_an_order_does_not_make_a_half_upload_whole(pipeline: Pipeline) -> None:
    """Somebody submits the asset by its id before its bytes are there; they are sent anyway."""
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
async def test_an_order_takes_nothing_away_from_the_queue(
    pipeline: Pipeline, answer: SubmitAnswer
) -> None:
    """Who waits is told that it did not work; the queue comes again all the same."""
    await pipeline.intake.enqueue_assets(SubmitAssets(("re_1",), {}))
    submission_id = submission_id_of_asset("re_1")
    pipeline.provider.answers = [answer] * 7
    with pytest.raises(Exception, match="Mavi refuses this request"):
        await pipeline.service.submit(SubmitAsset("re_1", {}))
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


async def test_an_asset_that_is_gone_after_its_upload(pipeline: Pipeline) -> None:
    """It was there, so that Mavi says 400 may be its rate limit; a day later it is believed."""
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


async def test_a_new_asset_that_mavi_refuses_to_know_is_not_rejected(pipeline: Pipeline) -> None:
    """400 to the call, and twice to the question why: at another's pace that is rate limiting."""
    submission_id = await pipeline.drop()
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.READY, AssetState.MISSING, AssetState.MISSING]
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert pipeline.objects.opened == 1


async def test_a_poll_that_fails_ends_nothing(pipeline: Pipeline) -> None:
    """Not even when a day has gone by, and the asset is ready."""
    pipeline.provider.answers = [RateLimited()] * 7
    submission_id = await pipeline.drop()
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    pipeline.clock.advance(hours=25)
    pipeline.provider.states = [None]
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


@pytest.mark.parametrize("answer", [RateLimited(), NotSent("ConnectionError")])
async def test_a_run_that_finds_no_mavi_comes_again(pipeline: Pipeline, answer: Any) -> None:
    """Nothing is rejected for it, and nothing lost."""
    pipeline.provider.answers = [answer] * 7
    submission_id = await pipeline.drop()
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    entry = await pipeline.entry(submission_id)
    assert (entry.state, entry.lease_expires_at) == (State.UPLOADED, None)
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


async def test_a_store_that_is_down_ends_no_run_for_good(pipeline: Pipeline) -> None:
    """The queue sends it again."""
    submission_id = await pipeline.drop()
    pipeline.service._store = SubmissionStore(pipeline.documents, TryOnce())
    pipeline.documents.before = Outage(10**6)
    with pytest.raises(StoreUnavailable):
        await pipeline.service.run(submission_id)
    pipeline.documents.before = lambda _: None
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


async def test_storage_that_breaks_off_is_tried_again(pipeline: Pipeline) -> None:
    """Transient, so the queue sends it again."""
    submission_id = await pipeline.drop()
    real_open = pipeline.objects.open

    def broken(_: Any) -> Any:
        raise ObjectUnavailable("broken off")

    pipeline.objects.open = broken  # type: ignore[method-assign,assignment] # one test's own storage
    pipeline.provider.states = [AssetState.WAITING] * (MAX_UPLOADS + 1)
    for _ in range(MAX_UPLOADS + 1):
        with pytest.raises(RetryLater) as caught:
            await pipeline.service.run(submission_id)
        # By 503 the queue would slow down for everybody.
        assert caught.value.status == 409
    pipeline.objects.open = real_open  # type: ignore[method-assign] # see above
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


@pytest.mark.parametrize("answer", [RateLimited(), Unreachable()])
async def test_what_only_time_mends_costs_no_upload(
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
