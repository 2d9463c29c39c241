"""From an object to a bought transcript, run from the queue."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import LogLines, Outage, TryOnce
from tests.pipeline import CONTENT, Pipeline
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
from transcripts.submissions.lease import Lease
from transcripts.submissions.requests import SubmitAsset, SubmitObject
from transcripts.submissions.service import RunResult
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.submission import (
    State,
    submission_path,
)
from transcripts.submissions.transitions import LEASE, LeaseLost
from transcripts.submissions.uploader import MAX_UPLOADS
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Source


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


async def test_an_object_goes_all_the_way(pipeline: Pipeline) -> None:
    """Recorded, queued, streamed to a signed address, bought; with its source and labels."""
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


async def test_the_way_without_signed_addresses(pipeline: Pipeline) -> None:
    """If one is refused, or what is sent there is, the object goes in one request."""
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
async def test_an_account_that_is_refused_is_not_tried_another_way(
    pipeline: Pipeline, refusal: Refusal
) -> None:
    """It is on record, and asking again tries again."""
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
async def test_what_did_not_work_this_time_is_handed_back(
    pipeline: Pipeline, prepare: dict[str, Any]
) -> None:
    """503 for the queue; open at once, and the next run brings it to its end."""
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


async def test_uploading_is_tried_so_often_and_no_more(pipeline: Pipeline) -> None:
    """An object that Mavi can't take is rejected in the end."""
    submission_id = await pipeline.drop()
    pipeline.provider.states = [AssetState.FAILED] * (MAX_UPLOADS + 1)
    for _ in range(MAX_UPLOADS):
        with pytest.raises(RetryLater):
            await pipeline.service.run(submission_id)
    ended = await pipeline.service.run(submission_id)
    assert ended == RunResult(submission_id, State.REJECTED, reason="upload_failed")


async def test_waiting_for_mavi_to_take_it_in(pipeline: Pipeline) -> None:
    """Until SUCCESS, with growing pauses."""
    pipeline.provider.states = [AssetState.UPLOADING, None, AssetState.WAITING, AssetState.READY]
    submission_id = await pipeline.drop()
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert pipeline.sleeper.slept == [2.0, 4.0, 8.0]


async def test_an_uploaded_object_is_never_uploaded_again(pipeline: Pipeline) -> None:
    """When waiting takes too long, the next run goes on where this one stopped."""
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
async def test_an_upload_whose_end_was_not_recorded(
    pipeline: Pipeline, state: AssetState, uploads: int
) -> None:
    """The next holder looks whether the bytes are there before it sends them again."""
    submission_id = await pipeline.drop()
    await pipeline.sender_died(submission_id)
    pipeline.provider.states = [state]
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert pipeline.objects.opened == uploads
    assert pipeline.provider.submitted == (["re_1"] if uploads else ["re_7"])


async def test_a_lost_answer_ends_the_run(pipeline: Pipeline) -> None:
    """It is not repeated by the queue either, and the upload is not in vain."""
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


async def test_who_waits_is_told_how_long(pipeline: Pipeline) -> None:
    """429 with the seconds; the asset may be submitted again without force."""
    pipeline.provider.busy_s = 90.5
    error = await pipeline.refused()
    assert (error.code, error.retry_after_s) == ("provider_rate_limited", 91)
    pipeline.provider.busy_s = 0.0
    assert (await pipeline.service.submit(SubmitAsset("re_1", {}))).duplicate is False


async def test_two_runs_of_one_submission_share_it(pipeline: Pipeline) -> None:
    """In one instance; in another one the second is told to come again."""
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


async def test_the_cap_holds_for_the_queue_too() -> None:
    """Put off: neither the queue nor the sweep comes with it again and again."""
    pipeline = Pipeline(cap_per_day=1)
    one, two = await pipeline.drop("1.mp4"), await pipeline.drop("2.mp4")
    assert (await pipeline.service.run(one)).state is State.SUBMITTED
    pipeline.clock.advance(hours=3)
    ended = await pipeline.service.run(two)
    assert ended == RunResult(two, State.PENDING, reason="budget_exhausted")
    assert (await pipeline.entry(two)).updated_at == pipeline.clock.now
    pipeline.clock.advance(days=1)
    assert (await pipeline.service.run(two)).state is State.SUBMITTED


async def test_a_run_of_what_nobody_knows_ends(pipeline: Pipeline) -> None:
    """The queue has no use in repeating it."""
    ended = await pipeline.service.run("0" * 32)
    assert ended.reason == "not_on_record"


async def test_a_long_upload_keeps_its_claim(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is renewed meanwhile; an outage of the store does not end the upload."""
    monkeypatch.setattr("transcripts.submissions.lease.RENEW_EVERY", timedelta(seconds=0.01))
    submission_id = await pipeline.drop()
    send = pipeline.provider.send
    leases: list[Any] = []

    async def slow(url: str, file: Any) -> Sent:
        for _ in range(5):
            pipeline.clock.advance(minutes=1)
            await asyncio.sleep(0.03)
            leases.append((await pipeline.entry(submission_id)).lease_expires_at)
        return await send(url, file)

    pipeline.provider.send = slow  # type: ignore[method-assign] # one test's own provider
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert leases == sorted(set(leases))
    assert leases[-1] == pipeline.clock.now + LEASE


async def test_an_upload_whose_claim_is_lost_is_given_up(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another holds it now; this one buys nothing."""
    monkeypatch.setattr("transcripts.submissions.lease.RENEW_EVERY", timedelta(seconds=0.01))
    submission_id = await pipeline.drop()

    async def taken_over(url: str, file: Any) -> Sent:
        entry = await pipeline.entry(submission_id)
        other = replace(entry, lease_id="other")
        await pipeline.documents.commit(Write(submission_path(submission_id), other))
        await asyncio.Event().wait()
        return Sent.ACCEPTED

    pipeline.provider.send = taken_over  # type: ignore[method-assign] # one test's own provider
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    assert pipeline.provider.submitted == []


async def test_an_outage_does_not_end_a_renewal(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease outlasts several."""
    monkeypatch.setattr("transcripts.submissions.lease.RENEW_EVERY", timedelta(seconds=0.01))
    lines = LogLines()
    submission_id = await pipeline.drop()
    store = SubmissionStore(pipeline.documents, TryOnce())
    lease = Lease(
        store, await pipeline.entry(submission_id), lines.log, pipeline.clock, pipeline.sleeper
    )
    pipeline.documents.before = Outage(3)
    assert await lease.extend_during(asyncio.sleep(0.2, "done")) == "done"
    assert lines.named("lease_not_renewed")
    taken = replace(await pipeline.entry(submission_id), lease_id="other")
    await pipeline.documents.commit(Write(submission_path(submission_id), taken))
    with pytest.raises(LeaseLost):
        await lease.extend_during(asyncio.sleep(60))


async def test_an_upload_that_nobody_ends_is_sent_again(pipeline: Pipeline) -> None:
    """Its sender died; after an hour it will not come to its end by itself."""
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


async def test_what_mavi_never_takes_in_is_given_up_after_a_day(pipeline: Pipeline) -> None:
    """It has all its bytes, so it is not sent again; somebody has to ask."""
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


async def test_waiting_for_mavi_keeps_the_claim(pipeline: Pipeline) -> None:
    """It may take longer than the lease."""
    submission_id = await pipeline.drop()
    pipeline.provider.states = [AssetState.UPLOADING] * 20
    other = pipeline.instance()
    asked = pipeline.provider.asset_state
    refused: list[Any] = []

    async def asking(asset_id: str, max_wait_s: float) -> AssetState | None:
        with pytest.raises(RetryLater) as caught:
            await other.run(submission_id)
        refused.append(caught.value.message)
        return await asked(asset_id, max_wait_s)

    pipeline.provider.asset_state = asking  # type: ignore[method-assign] # one test's own provider
    begin = pipeline.clock.now
    assert (await pipeline.service.run(submission_id)).state is State.SUBMITTED
    assert pipeline.clock.now - begin > LEASE
    assert set(refused) == {"Another instance holds the lease."}


async def test_what_was_counted_yesterday_is_counted_again_today() -> None:
    """The cap is a day's: what is bought today counts today, whenever it was begun."""
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
async def test_what_mavi_asks_for_is_passed_on(pipeline: Pipeline, retry_after_s: float) -> None:
    """Its Retry-After, if it sends one."""
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [RateLimited(retry_after_s)]
    with pytest.raises(RetryLater) as caught:
        await pipeline.service.run(submission_id)
    assert caught.value.retry_after_s == max(retry_after_s, 1)


async def test_no_line_holds_a_signed_address(pipeline: Pipeline) -> None:
    """Who has it may put bytes there."""
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
    """The task of the queue is the only trace of it."""
    await pipeline.service.run("0" * 32)
    (event,) = pipeline.lines.named("not_on_record")
    assert (event["severity"], event["submission_id"]) == ("WARNING", "0" * 32)


async def test_failed_signed_address_is_logged_with_how_it_failed(pipeline: Pipeline) -> None:
    """That tells whether the way without signed addresses was taken."""
    pipeline.provider.sends = [Sent.REFUSED]
    submission_id = await pipeline.drop()
    await pipeline.service.run(submission_id)
    (event,) = pipeline.lines.named("signed_url_failed")
    assert (event["how"], event["submission_id"]) == ("refused", submission_id)
