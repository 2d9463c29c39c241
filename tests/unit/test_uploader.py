"""Runs of the queue that upload an object and buy its transcript."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import LogLines, Outage, TryOnce
from tests.pipeline import CONTENT, Pipeline
from tests.polling import eventually
from transcripts.errors import (
    RetryLater,
)
from transcripts.mavi.answers import (
    AnswerLost,
    AssetState,
    RateLimited,
    Refusal,
    Refused,
    Sent,
)
from transcripts.ports import Write
from transcripts.retry import Retrier
from transcripts.submissions.answers import RunResult
from transcripts.submissions.lease import Lease
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.requests import SubmitAsset, SubmitObject
from transcripts.submissions.submission import (
    State,
    submission_path,
)
from transcripts.submissions.transitions import LEASE, LeaseLost
from transcripts.submissions.uploader import MAX_UPLOADS
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Source


async def test_run_uploads_and_buys_the_object(pipeline: Pipeline) -> None:
    """The object is recorded, queued, streamed to a signed address and bought, with its labels."""
    submission_id = await pipeline.drop(metadata={"mavi-label-case": "7"})
    assert pipeline.queue.tasks == {f"{submission_id}-0": submission_id}
    waiting = await pipeline.entry(submission_id)
    assert (waiting.state, waiting.source, waiting.filename) == (
        State.PENDING,
        Source("gs://uploads/a/talk.mp4", "1", "video/mp4", len(CONTENT)),
        "talk.mp4",
    )
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.SUBMITTED, task_id="task-1")
    assert pipeline.provider.held == {"re_1": CONTENT}
    task = await TaskStore(pipeline.documents, Retrier()).read_task("task-1")
    assert task is not None
    assert (task.source, task.labels, task.asset_id) == (waiting.source, {"case": "7"}, "re_1")


async def test_run_without_a_signed_address_uploads_in_one_request(pipeline: Pipeline) -> None:
    """One request has the object if no address is given or the address rejects the bytes."""
    pipeline.provider.signed = [Refused(Refusal.ERROR, 405)]
    one = await pipeline.drop("1.mp4")
    assert (await pipeline.service.run(one)).state is State.SUBMITTED
    pipeline.provider.sends = [Sent.REFUSED]
    two = await pipeline.drop("2.mp4")
    assert (await pipeline.service.run(two)).state is State.SUBMITTED
    assert pipeline.provider.submitted == ["re_1", "re_3"]
    assert pipeline.provider.held["re_3"] == CONTENT
    assert (await pipeline.entry(two)).asset_id == "re_3"


@pytest.mark.parametrize("refusal", [Refusal.AUTH, Refusal.NO_CREDIT])
async def test_run_refused_for_the_account_does_not_upload(
    pipeline: Pipeline, refusal: Refusal
) -> None:
    """The refusal is recorded, and a new request tries again."""
    pipeline.provider.signed = [Refused(refusal, 402)]
    submission_id = await pipeline.drop()
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason=refusal)
    assert await pipeline.service.run(submission_id) == ended
    stored = pipeline.objects.content["uploads", "a/talk.mp4"][0]
    order = SubmitObject("uploads", stored.name, None, {})
    taken = await pipeline.intake.enqueue_object(order, stored)
    assert taken.queued == [submission_id]
    assert f"{submission_id}-1" in pipeline.queue.tasks
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED


@pytest.mark.parametrize(
    "prepare",
    [
        {"signed": [RateLimited(7.0)]},
        {"signed": [None], "uploads": [None]},
        {"signed": [None], "uploads": [RateLimited()]},
        {"states": [AssetState.FAILED]},
        {"busy_s": 500.0},
    ],
)
async def test_run_that_fails_for_now_is_released_for_the_next(
    pipeline: Pipeline, prepare: dict[str, Any]
) -> None:
    """The queue gets an error, and the next run completes the purchase."""
    submission_id = await pipeline.drop()
    for name, value in prepare.items():
        setattr(pipeline.provider, name, value)
    with pytest.raises(RetryLater) as caught:
        await pipeline.service.run(submission_id)
    assert caught.value.retry_after_s
    entry = await pipeline.entry(submission_id)
    assert entry.lease_expires_at is None
    assert entry.state in (State.PENDING, State.UPLOADING)
    pipeline.provider.busy_s = 0.0
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert len(pipeline.provider.submitted) == 1


async def test_run_of_a_failing_upload_is_rejected_after_max_uploads(pipeline: Pipeline) -> None:
    """An object that Mavi cannot process is rejected in the end."""
    submission_id = await pipeline.drop()
    pipeline.provider.states = [AssetState.FAILED] * (MAX_UPLOADS + 1)
    for _ in range(MAX_UPLOADS):
        with pytest.raises(RetryLater):
            await pipeline.service.run(submission_id)
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="upload_failed")


async def test_run_polls_until_the_upload_is_processed(pipeline: Pipeline) -> None:
    """The pauses between the polls grow."""
    pipeline.provider.states = [AssetState.UPLOADING, None, AssetState.WAITING, AssetState.READY]
    submission_id = await pipeline.drop()
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert pipeline.sleeper.slept == [2.0, 4.0, 8.0]


async def test_run_after_a_long_processing_does_not_upload_again(pipeline: Pipeline) -> None:
    """The next run continues where this one stopped."""
    pipeline.provider.states = [AssetState.UPLOADING] * 100
    submission_id = await pipeline.drop()
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    assert sum(pipeline.sleeper.slept) <= 25 * 60
    entry = await pipeline.entry(submission_id)
    assert (entry.state, entry.asset_id) == (State.UPLOADED, "re_1")
    pipeline.provider.states = []
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert pipeline.objects.opened == 1


@pytest.mark.parametrize(
    ("state", "uploads"),
    [(AssetState.READY, 0), (AssetState.UPLOADING, 0), (AssetState.WAITING, 1)],
)
async def test_run_after_an_unrecorded_upload_checks_the_asset_first(
    pipeline: Pipeline, state: AssetState, uploads: int
) -> None:
    """The next holder checks whether the bytes have arrived before it sends them again."""
    submission_id = await pipeline.drop()
    await pipeline.sender_died(submission_id)
    pipeline.provider.states = [state]
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert pipeline.objects.opened == uploads
    assert pipeline.provider.submitted == (["re_1"] if uploads else ["re_7"])


async def test_run_with_a_lost_answer_ends(pipeline: Pipeline) -> None:
    """The queue does not repeat it, and the upload stays usable."""
    pipeline.provider.answers = [AnswerLost("timeout")]
    submission_id = await pipeline.drop()
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.SUBMIT_UNKNOWN, reason="timeout")
    assert (await pipeline.service.run(submission_id)).state is State.SUBMIT_UNKNOWN
    assert pipeline.provider.submitted == ["re_1"]
    stored = pipeline.objects.content["uploads", "a/talk.mp4"][0]
    plain = await pipeline.intake.enqueue_object(SubmitObject("uploads", "a", None, {}), stored)
    assert plain.unknown == [submission_id]
    forced = SubmitObject("uploads", "a", None, {}, force=True)
    assert (await pipeline.intake.enqueue_object(forced, stored)).queued == [submission_id]
    assert (await pipeline.service.run(submission_id)).task_id == "task-2"
    assert pipeline.objects.opened == 1


async def test_submit_during_rate_limiting_returns_retry_after(pipeline: Pipeline) -> None:
    """The answer is 429 with the seconds; the asset may be submitted again without force."""
    pipeline.provider.busy_s = 90.5
    error = await pipeline.refused()
    assert (error.code, error.retry_after_s) == ("provider_rate_limited", 91)
    pipeline.provider.busy_s = 0.0
    assert (await pipeline.service.submit(SubmitAsset("re_1", {}))).duplicate is False


async def test_two_runs_of_one_submission_share_one_purchase(pipeline: Pipeline) -> None:
    """Two runs in one instance share it; a run in another instance gets ``RetryLater``."""
    submission_id = await pipeline.drop()
    other = pipeline.instance()
    results = await asyncio.gather(
        pipeline.service.run(submission_id),
        pipeline.service.run(submission_id),
        other.run(submission_id),
        return_exceptions=True,
    )
    assert results[0] == results[1]
    assert isinstance(results[2], RetryLater)
    assert pipeline.objects.opened == 1
    assert pipeline.provider.submitted == ["re_1"]


async def test_run_at_the_spend_cap_waits_until_midnight() -> None:
    """Neither the queue nor the sweep retries the entry before."""
    pipeline = Pipeline(cap_per_day=1)
    one, two = await pipeline.drop("1.mp4"), await pipeline.drop("2.mp4")
    assert (await pipeline.service.run(one)).state is State.SUBMITTED
    pipeline.clock.advance(hours=3)
    ended = await pipeline.service.run(two)
    assert ended == RunResult(two, State.PENDING, reason="budget_exhausted")
    assert (await pipeline.entry(two)).updated_at == pipeline.clock.now
    pipeline.clock.advance(days=1)
    assert (await pipeline.service.run(two)).state is State.SUBMITTED


async def test_run_of_an_unknown_submission_ends(pipeline: Pipeline) -> None:
    """Repeating the task would not help."""
    ended = await pipeline.service.run("0" * 32)
    assert ended.reason == "not_on_record"


async def test_run_of_a_long_upload_keeps_its_lease(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is renewed meanwhile; an outage of the store does not end the upload."""
    monkeypatch.setattr("transcripts.submissions.lease.RENEW_EVERY", timedelta(seconds=0.01))
    submission_id = await pipeline.drop()
    leases: list[Any] = []

    async def is_renewed() -> bool:
        entry = await pipeline.entry(submission_id)
        return entry.lease_expires_at == pipeline.clock.now + LEASE

    async def slow(url: str, file: Any) -> None:
        for _ in range(5):
            pipeline.clock.advance(minutes=1)
            await eventually(is_renewed)
            leases.append((await pipeline.entry(submission_id)).lease_expires_at)

    pipeline.provider.on_send = slow
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert leases == sorted(set(leases))
    assert leases[-1] == pipeline.clock.now + LEASE


async def test_run_that_loses_its_lease_stops_the_upload(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another holder works on the entry; this run buys nothing."""
    monkeypatch.setattr("transcripts.submissions.lease.RENEW_EVERY", timedelta(seconds=0.01))
    submission_id = await pipeline.drop()

    async def taken_over(url: str, file: Any) -> None:
        entry = await pipeline.entry(submission_id)
        other = replace(entry, lease_id="other")
        await pipeline.documents.commit(Write(submission_path(submission_id), other))
        await asyncio.Event().wait()

    pipeline.provider.on_send = taken_over
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    assert pipeline.provider.submitted == []


async def test_renewal_after_an_outage_continues(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease lasts longer than several renewals."""
    monkeypatch.setattr("transcripts.submissions.lease.RENEW_EVERY", timedelta(seconds=0.01))
    lines = LogLines()
    submission_id = await pipeline.drop()
    ledger = Ledger(pipeline.documents, TryOnce(), clock=pipeline.clock)
    lease = Lease(ledger, await pipeline.entry(submission_id), lines.log)
    pipeline.documents.before = Outage(3)

    async def work() -> str:
        await eventually(lambda: bool(lines.named("lease_not_renewed")))
        return "done"

    assert await lease.extend_during(work()) == "done"
    taken = replace(await pipeline.entry(submission_id), lease_id="other")
    await pipeline.documents.commit(Write(submission_path(submission_id), taken))
    with pytest.raises(LeaseLost):
        await lease.extend_during(asyncio.sleep(60))


async def test_run_after_an_abandoned_upload_sends_it_again(pipeline: Pipeline) -> None:
    """The sender died; after an hour Mavi does not complete the upload any more."""
    submission_id = await pipeline.drop()
    entry = replace(
        await pipeline.entry(submission_id),
        state=State.UPLOADING,
        asset_id="re_7",
        uploads=1,
        sent_at=pipeline.clock.now,
    )
    await pipeline.documents.commit(Write(submission_path(submission_id), entry))
    pipeline.clock.advance(hours=1)
    pipeline.provider.states = [AssetState.UPLOADING]
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert pipeline.provider.submitted == ["re_1"]
    assert (await pipeline.entry(submission_id)).uploads == 2


async def test_run_of_an_upload_never_processed_is_rejected_after_a_day(pipeline: Pipeline) -> None:
    """Mavi has all bytes, so they are not sent again; an operator must ask Mavi."""
    submission_id = await pipeline.drop()
    for _ in range(100):
        pipeline.provider.states = [AssetState.UPLOADING] * 200
        try:
            ended = await pipeline.service.run(submission_id)
        except RetryLater:
            pipeline.clock.advance(minutes=10)
        else:
            break
    assert ended == RunResult(submission_id, State.REJECTED, reason="upload_stalled")
    assert pipeline.objects.opened == 1


async def test_run_waiting_for_mavi_keeps_its_lease(pipeline: Pipeline) -> None:
    """Processing may take longer than a lease lasts."""
    submission_id = await pipeline.drop()
    pipeline.provider.states = [AssetState.UPLOADING] * 20
    other = pipeline.instance()
    refused: list[Any] = []

    async def run_elsewhere(asset_id: str) -> None:
        with pytest.raises(RetryLater) as caught:
            await other.run(submission_id)
        refused.append(caught.value.message)

    pipeline.provider.on_poll = run_elsewhere
    begin = pipeline.clock.now
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert pipeline.clock.now - begin > LEASE
    assert set(refused) == {"Another instance holds the lease."}


async def test_run_counted_yesterday_is_counted_again_today() -> None:
    """A purchase counts on the day of its call, whenever it was begun."""
    pipeline = Pipeline(cap_per_day=1)
    one, two = await pipeline.drop("1.mp4"), await pipeline.drop("2.mp4")
    pipeline.provider.states = [None]
    pipeline.provider.sends = [Sent.INTERRUPTED]
    with pytest.raises(RetryLater):
        await pipeline.service.run(one)
    pipeline.clock.advance(days=1)
    assert (await pipeline.service.run(two)).state is State.SUBMITTED
    assert (await pipeline.service.run(one)).reason == "budget_exhausted"
    assert len(pipeline.provider.submitted) == 1


@pytest.mark.parametrize("retry_after_s", [7.0, 0.0])
async def test_run_passes_on_mavis_retry_after(pipeline: Pipeline, retry_after_s: float) -> None:
    """The answer has Mavi's ``Retry-After``, if Mavi sends one."""
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [RateLimited(retry_after_s)]
    with pytest.raises(RetryLater) as caught:
        await pipeline.service.run(submission_id)
    assert caught.value.retry_after_s == max(retry_after_s, 1)


async def test_run_logs_no_signed_address(pipeline: Pipeline) -> None:
    """The address lets anyone upload bytes."""
    pipeline.provider.sends = [Sent.REFUSED]
    await pipeline.service.run(await pipeline.drop())
    assert pipeline.lines.named("signed_url_failed")
    assert b"https://signed" not in b"".join(pipeline.lines.raw)


@pytest.mark.parametrize(
    ("refusal", "status"),
    [(Refusal.ERROR, 415), (Refusal.AUTH, 401), (Refusal.NO_CREDIT, 402)],
)
async def test_upload_in_one_request_that_is_refused_buys_nothing(
    pipeline: Pipeline, refusal: Refusal, status: int
) -> None:
    """The refusal is the recorded reason, and no asset is submitted."""
    pipeline.provider.signed = [Refused(Refusal.ERROR, 405)]
    pipeline.provider.uploads = [Refused(refusal, status)]
    submission_id = await pipeline.drop()
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason=refusal)
    entry = await pipeline.entry(submission_id)
    assert (entry.state, entry.asset_id) == (State.REJECTED, None)
    assert pipeline.provider.submitted == []


async def test_run_of_an_unknown_submission_is_logged(pipeline: Pipeline) -> None:
    """The log is the only trace of the queue's task."""
    await pipeline.service.run("0" * 32)
    (event,) = pipeline.lines.named("not_on_record")
    assert (event["severity"], event["submission_id"]) == ("WARNING", "0" * 32)


async def test_failed_signed_address_is_logged_with_how_it_failed(pipeline: Pipeline) -> None:
    """The log tells why the object was sent in one request."""
    pipeline.provider.sends = [Sent.REFUSED]
    submission_id = await pipeline.drop()
    await pipeline.service.run(submission_id)
    (event,) = pipeline.lines.named("signed_url_failed")
    assert (event["how"], event["submission_id"]) == ("refused", submission_id)


async def test_run_asks_four_times_before_it_believes_that_an_upload_is_missing(
    pipeline: Pipeline,
) -> None:
    """Rate limiting looks like a missing asset, and sending the bytes again costs time."""
    submission_id = await pipeline.drop()
    await pipeline.sender_died(submission_id)
    pipeline.provider.states = [AssetState.MISSING] * 3
    await pipeline.service.run(submission_id)
    assert pipeline.provider.asked[:4] == ["re_7"] * 4
    assert pipeline.provider.submitted == ["re_7"]
    assert pipeline.sleeper.slept[:3] == [1.0, 2.0, 4.0]
