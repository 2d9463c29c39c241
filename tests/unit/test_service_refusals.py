"""Purchases that Mavi refuses: retries, statuses, remedies and logs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pipeline import ASSET, FORCED, ID, REQUEST, Pipeline
from transcripts.errors import RetryLater, SubmissionError
from transcripts.mavi.answers import (
    Ambiguous,
    AnswerLost,
    AssetState,
    NotSent,
    RateLimited,
    Refusal,
    Refused,
    SubmitAnswer,
)
from transcripts.submissions import claims
from transcripts.submissions.answers import Receipt
from transcripts.submissions.requests import SubmitAssets
from transcripts.submissions.submission import (
    State,
)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Refused(Refusal.AUTH, 401), "provider_auth"),
        (Refused(Refusal.NO_CREDIT, 402), "provider_no_credit"),
        (Refused(Refusal.NO_WEBHOOK, 400), "provider_no_webhook"),
        (Refused(Refusal.ERROR, 409), "provider_error"),
    ],
)
async def test_submit_refused_is_recorded_and_can_be_repeated(
    pipeline: Pipeline, answer: Refused, code: str
) -> None:
    """Once the cause is repaired, the asset is bought."""
    pipeline.provider.answers = [answer]
    error = await pipeline.refused()
    assert (error.code, error.status, error.message) == (code, 502, SubmissionError.REMEDIES[code])
    submission = await pipeline.submission()
    assert (submission.state, submission.reason) == (State.REJECTED, code)
    assert pipeline.sleeper.slept == []
    assert (await pipeline.service.submit(REQUEST)).duplicate is False


@pytest.mark.parametrize("answer", [RateLimited(), NotSent("refused")])
async def test_submit_that_bought_nothing_is_retried(pipeline: Pipeline, answer: Any) -> None:
    """The pauses are 1, 2, 4 … seconds; meanwhile the entry is ``pending``."""
    pipeline.provider.answers = [answer, answer, answer]
    states: list[str] = []
    sleep = pipeline.sleeper

    async def sleeping(seconds: float) -> None:
        states.append(pipeline.documents.content[f"submissions/{ID}"]["state"])
        await sleep(seconds)

    pipeline.restart(sleep=sleeping)
    assert (await pipeline.service.submit(REQUEST)).task_id == "task-4"
    assert sleep.slept == [1.0, 2.0, 4.0]
    assert states == ["pending"] * 3


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (RateLimited(), "provider_rate_limited", 429),
        (NotSent("ConnectionError"), "provider_error", 502),
        (Ambiguous(), "provider_error", 502),
    ],
)
async def test_submit_retries_are_bounded(
    pipeline: Pipeline, answer: Any, code: str, status: int
) -> None:
    """After six retries, the asset may be submitted again without ``force``."""
    pipeline.provider.answers = [answer] * 7
    error = await pipeline.refused()
    assert (error.code, error.status) == (code, status)
    assert (error.retry_after_s is not None) == (status == 429)
    assert pipeline.sleeper.slept == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert len(pipeline.provider.submitted) == 7
    assert (await pipeline.submission()).state is State.REJECTED
    assert (await pipeline.service.submit(REQUEST)).duplicate is False


async def test_submit_with_retry_after_waits_as_long(pipeline: Pipeline) -> None:
    """A pause that Mavi asks for is kept, up to how long the caller waits for a slot."""
    pipeline.provider.answers = [RateLimited(5.0), RateLimited(60.0)]
    await pipeline.service.submit(REQUEST)
    assert pipeline.sleeper.slept == [5.0, 60.0]


async def test_submit_with_a_long_retry_after_is_not_repeated(pipeline: Pipeline) -> None:
    """The caller gets the time; more requests in it may suspend the key."""
    pipeline.provider.answers = [RateLimited(9999.0)]
    error = await pipeline.refused()
    assert (error.code, error.retry_after_s) == ("provider_rate_limited", 9999)
    assert (len(pipeline.provider.submitted), pipeline.sleeper.slept) == (1, [])
    assert (await pipeline.service.submit(REQUEST)).duplicate is False


async def test_run_with_a_long_retry_after_is_deferred(pipeline: Pipeline) -> None:
    """Cloud Tasks gets the time, and the entry is still open."""
    await pipeline.intake.enqueue_assets(SubmitAssets((ASSET,), {}))
    pipeline.provider.answers = [RateLimited(9999.0)]
    with pytest.raises(RetryLater) as caught:
        await pipeline.service.run(ID)
    assert caught.value.retry_after_s == 9999
    assert (await pipeline.submission()).state is State.PENDING
    assert len(pipeline.provider.submitted) == 1


@pytest.mark.parametrize(
    ("states", "code", "status"),
    [
        ([AssetState.MISSING, AssetState.MISSING], "asset_not_found", 404),
        ([None, AssetState.MISSING, AssetState.MISSING], "asset_not_found", 404),
        ([AssetState.WAITING], "asset_not_ready", 409),
        ([AssetState.UPLOADING], "asset_not_ready", 409),
        ([AssetState.FAILED], "asset_not_ready", 409),
    ],
)
async def test_submit_with_400_reads_the_metadata(
    pipeline: Pipeline, states: list[AssetState | None], code: str, status: int
) -> None:
    """The metadata tell that the asset is unknown or its upload is not complete."""
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = list(states)
    error = await pipeline.refused()
    assert (error.code, error.status) == (code, status)
    assert pipeline.provider.asked == [ASSET] * len(states)
    assert (await pipeline.submission()).state is State.REJECTED


@pytest.mark.parametrize(
    "states",
    [
        [AssetState.READY],
        [AssetState.MISSING, AssetState.READY],
        [None, None, None],
        [AssetState.UNKNOWN] * 3,
    ],
)
async def test_submit_with_400_for_a_ready_asset_is_retried(
    pipeline: Pipeline, states: list[AssetState | None]
) -> None:
    """The 400 was rate limiting; the metadata are read once."""
    pipeline.provider.answers = [Ambiguous(), Ambiguous()]
    pipeline.provider.states = list(states)
    assert (await pipeline.service.submit(REQUEST)).duplicate is False
    assert len(pipeline.provider.asked) == len(states)


async def test_every_error_code_has_a_remedy() -> None:
    """Every error tells an operator what to do."""
    assert set(SubmissionError.REMEDIES) == set(SubmissionError.STATUSES)
    assert all(len(mend) > 30 for mend in SubmissionError.REMEDIES.values())


@pytest.mark.parametrize("refusal", [Refused(Refusal.NO_CREDIT, 402), RateLimited()])
async def test_submit_forced_and_refused_restores_the_purchase(
    pipeline: Pipeline, refusal: SubmitAnswer
) -> None:
    """The next request finds the previous purchase."""
    await pipeline.service.submit(REQUEST)
    pipeline.provider.answers = [refusal] * 8
    await pipeline.refused(FORCED)
    entry = await pipeline.submission()
    assert (entry.state, entry.task_id, entry.previous_attempts) == (State.SUBMITTED, "task-1", [])
    assert (entry.reason or "").startswith("repetition: provider_")
    pipeline.provider.answers = []
    again = await pipeline.service.submit(REQUEST)
    assert again == Receipt("task-1", ID, duplicate=True, labels=REQUEST.labels)


async def test_submit_forced_and_refused_restores_the_unknown_purchase(
    pipeline: Pipeline,
) -> None:
    """The next request without ``force`` still buys nothing."""
    pipeline.provider.answers = [AnswerLost("gone"), Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.refused()
    await pipeline.refused(FORCED)
    assert (await pipeline.submission()).state is State.SUBMIT_UNKNOWN
    error = await pipeline.refused()
    assert (error.code, error.status) == ("submit_unknown", 409)
    assert len(pipeline.provider.submitted) == 2


async def test_run_of_a_listed_asset_that_is_missing_is_rejected() -> None:
    """Only an asset that this pipeline uploaded today may be missing because of rate limiting."""
    pipeline = Pipeline()
    await pipeline.intake.enqueue_assets(SubmitAssets((ASSET,), {}))
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.MISSING, AssetState.MISSING]
    result = await pipeline.service.run(ID)
    assert (result.state, result.reason) == (State.REJECTED, "asset_not_found")


async def test_run_of_an_uploaded_asset_that_is_missing_is_retried() -> None:
    """The asset existed a moment ago, so the answer means rate limiting."""
    pipeline = Pipeline()
    submission_id = await pipeline.drop()
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.READY, AssetState.MISSING, AssetState.MISSING]
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    pipeline.clock.advance(days=2)
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.READY, AssetState.MISSING, AssetState.MISSING]
    result = await pipeline.service.run(submission_id)
    assert (result.state, result.reason) == (State.REJECTED, "asset_not_found")


async def test_run_of_an_upload_that_is_refused_is_rejected() -> None:
    """Neither way of uploading works, so nothing is submitted."""
    pipeline = Pipeline()
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [Refused(Refusal.ERROR, 405)]
    pipeline.provider.uploads = [Refused(Refusal.ERROR, 415)]
    result = await pipeline.service.run(submission_id)
    assert (result.state, result.reason) == (State.REJECTED, "provider_error")
    assert pipeline.provider.submitted == []


async def test_refusal_is_logged_with_its_code_and_submission(pipeline: Pipeline) -> None:
    """The log alone tells which submission was refused, and why."""
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.refused()
    (event,) = pipeline.lines.named("rejected")
    assert (event["severity"], event["submission_id"]) == ("WARNING", ID)
    assert (event["code"], event["http_status"]) == ("provider_no_credit", 402)


async def test_run_of_an_ambiguous_refusal_that_stays_is_rejected(pipeline: Pipeline) -> None:
    """The asset is there, so no later run would get another answer."""
    await pipeline.intake.enqueue_assets(SubmitAssets((ASSET,), {}))
    pipeline.provider.answers = [Ambiguous()] * 7
    result = await pipeline.service.run(ID)
    assert (result.state, result.reason) == (State.REJECTED, "provider_error")


async def test_run_during_another_run_is_repeated_when_its_lease_may_have_ended(
    pipeline: Pipeline,
) -> None:
    """Cloud Tasks gets the time to wait."""
    await pipeline.intake.enqueue_assets(SubmitAssets((ASSET,), {}))
    other = pipeline.instance()
    told: list[int | None] = []

    async def run_beside(_: str) -> None:
        with pytest.raises(RetryLater) as caught:
            await other.run(ID)
        told.append(caught.value.retry_after_s)

    pipeline.provider.on_submit = run_beside
    await pipeline.service.run(ID)
    assert told == [claims.LEASED_RETRY_AFTER_S]
