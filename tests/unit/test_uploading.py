"""From an object to a bought transcript, run from the queue."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import LogLines, Outage, TryOnce
from tests.shops import CONTENT, Depot
from transcripts.errors import (
    NotYet,
)
from transcripts.mavi.answers import (
    AssetState,
    Lost,
    RateLimited,
    Refusal,
    Refused,
    Sent,
)
from transcripts.ports import Write
from transcripts.retry import Retrier
from transcripts.submissions.orders import ObjectOrder, Order
from transcripts.submissions.purchase import Ended
from transcripts.submissions.recording import Recording
from transcripts.submissions.steps import LEASE, ClaimLost
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.submission import (
    State,
    submission_path,
)
from transcripts.submissions.uploader import MAX_UPLOADS
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Source


@pytest.fixture
def depot() -> Depot:
    return Depot()


async def test_an_object_goes_all_the_way(depot: Depot) -> None:
    """Recorded, queued, streamed to a signed address, bought; with its source and labels."""
    submission_id = await depot.drop(metadata={"mavi-label-case": "7"})
    assert depot.queue.tasks == {f"{submission_id}-0": submission_id}
    waiting = await depot.entry(submission_id)
    assert (waiting.state, waiting.source, waiting.filename) == (
        State.CLAIMED,
        Source("gs://uploads/a/talk.mp4", "1", "video/mp4", len(CONTENT)),
        "talk.mp4",
    )
    ended = await depot.purchaser.run(submission_id)
    assert ended == Ended(submission_id, State.SUBMITTED, task_id="task-1")
    assert depot.provider.held == {"re_1": CONTENT}
    task = await TaskStore(depot.documents, Retrier()).read_task("task-1")
    assert task is not None
    assert (task.source, task.labels, task.asset_id) == (waiting.source, {"case": "7"}, "re_1")


async def test_the_way_without_signed_addresses(depot: Depot) -> None:
    """If one is refused, or what is sent there is, the object goes in one request."""
    depot.provider.signed = [Refused(Refusal.ERROR, 405)]
    one = await depot.drop("1.mp4")
    assert (await depot.purchaser.run(one)).state is State.SUBMITTED
    depot.provider.sends = [Sent.REFUSED]
    two = await depot.drop("2.mp4")
    assert (await depot.purchaser.run(two)).state is State.SUBMITTED
    assert depot.provider.submitted == ["re_1", "re_3"]
    assert depot.provider.held["re_3"] == CONTENT
    assert (await depot.entry(two)).asset_id == "re_3"


@pytest.mark.parametrize("refusal", [Refusal.AUTH, Refusal.NO_CREDIT])
async def test_an_account_that_is_refused_is_not_tried_another_way(
    depot: Depot, refusal: Refusal
) -> None:
    """It is on record, and asking again tries again."""
    depot.provider.signed = [Refused(refusal, 402)]
    submission_id = await depot.drop()
    ended = await depot.purchaser.run(submission_id)
    assert ended == Ended(submission_id, State.REJECTED, reason=refusal)
    assert await depot.purchaser.run(submission_id) == ended
    stored = depot.objects.content["uploads", "a/talk.mp4"][0]
    order = ObjectOrder("uploads", stored.name, None, {})
    taken = await depot.intake.take_object(order, stored)
    assert taken.queued == [submission_id]
    assert f"{submission_id}-1" in depot.queue.tasks
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED


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
    depot: Depot, prepare: dict[str, Any]
) -> None:
    """503 for the queue; open at once, and the next run brings it to its end."""
    submission_id = await depot.drop()
    for name, value in prepare.items():
        setattr(depot.provider, name, value)
    with pytest.raises(NotYet) as caught:
        await depot.purchaser.run(submission_id)
    assert caught.value.retry_after_s
    entry = await depot.entry(submission_id)
    assert entry.lease_expires_at is None
    assert entry.state in (State.CLAIMED, State.UPLOADING)
    depot.provider.busy_s = 0.0
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert len(depot.provider.submitted) == 1


async def test_uploading_is_tried_so_often_and_no_more(depot: Depot) -> None:
    """An object that Mavi can't take is rejected in the end."""
    submission_id = await depot.drop()
    depot.provider.states = [AssetState.FAILED] * (MAX_UPLOADS + 1)
    for _ in range(MAX_UPLOADS):
        with pytest.raises(NotYet):
            await depot.purchaser.run(submission_id)
    ended = await depot.purchaser.run(submission_id)
    assert ended == Ended(submission_id, State.REJECTED, reason="upload_failed")


async def test_waiting_for_mavi_to_take_it_in(depot: Depot) -> None:
    """Until SUCCESS, with growing pauses."""
    depot.provider.states = [AssetState.UPLOADING, None, AssetState.WAITING, AssetState.READY]
    submission_id = await depot.drop()
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert depot.sleeper.slept == [2.0, 4.0, 8.0]


async def test_an_uploaded_object_is_never_uploaded_again(depot: Depot) -> None:
    """When waiting takes too long, the next run goes on where this one stopped."""
    depot.provider.states = [AssetState.UPLOADING] * 100
    submission_id = await depot.drop()
    with pytest.raises(NotYet):
        await depot.purchaser.run(submission_id)
    assert sum(depot.sleeper.slept) <= 25 * 60
    entry = await depot.entry(submission_id)
    assert (entry.state, entry.asset_id) == (State.UPLOADED, "re_1")
    depot.provider.states = []
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert depot.objects.opened == 1


@pytest.mark.parametrize(
    ("state", "uploads"),
    [(AssetState.READY, 0), (AssetState.UPLOADING, 0), (AssetState.WAITING, 1)],
)
async def test_an_upload_whose_end_was_not_recorded(
    depot: Depot, state: AssetState, uploads: int
) -> None:
    """The next holder looks whether the bytes are there before it sends them again."""
    submission_id = await depot.drop()
    await depot.sender_died(submission_id)
    depot.provider.states = [state]
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert depot.objects.opened == uploads
    assert depot.provider.submitted == (["re_1"] if uploads else ["re_7"])


async def test_a_lost_answer_ends_the_run(depot: Depot) -> None:
    """It is not repeated by the queue either, and the upload is not in vain."""
    depot.provider.answers = [Lost("ReadTimeout")]
    submission_id = await depot.drop()
    ended = await depot.purchaser.run(submission_id)
    assert ended == Ended(submission_id, State.SUBMIT_UNKNOWN, reason="submit_unknown")
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMIT_UNKNOWN
    assert depot.provider.submitted == ["re_1"]
    stored = depot.objects.content["uploads", "a/talk.mp4"][0]
    plain = await depot.intake.take_object(ObjectOrder("uploads", "a", None, {}), stored)
    assert plain.unknown == [submission_id]
    forced = ObjectOrder("uploads", "a", None, {}, force=True)
    assert (await depot.intake.take_object(forced, stored)).queued == [submission_id]
    assert (await depot.purchaser.run(submission_id)).task_id == "task-2"
    assert depot.objects.opened == 1


async def test_who_waits_is_told_how_long(depot: Depot) -> None:
    """429 with the seconds; the asset may be submitted again without force."""
    depot.provider.busy_s = 90.5
    error = await depot.refused()
    assert (error.code, error.retry_after_s) == ("provider_rate_limited", 91)
    depot.provider.busy_s = 0.0
    assert (await depot.purchaser.buy(Order("re_1", {}))).duplicate is False


async def test_two_runs_of_one_submission_share_it(depot: Depot) -> None:
    """In one instance; in another one the second is told to come again."""
    submission_id = await depot.drop()
    other = depot.instance()
    results = await asyncio.gather(
        depot.purchaser.run(submission_id),
        depot.purchaser.run(submission_id),
        other.run(submission_id),
        return_exceptions=True,
    )
    assert results[0] == results[1]
    assert isinstance(results[2], NotYet)
    assert depot.objects.opened == 1
    assert depot.provider.submitted == ["re_1"]


async def test_the_cap_holds_for_the_queue_too() -> None:
    """Put off: neither the queue nor the sweep comes with it again and again."""
    depot = Depot(cap_per_day=1)
    one, two = await depot.drop("1.mp4"), await depot.drop("2.mp4")
    assert (await depot.purchaser.run(one)).state is State.SUBMITTED
    depot.clock.advance(hours=3)
    ended = await depot.purchaser.run(two)
    assert ended == Ended(two, State.CLAIMED, reason="budget_exhausted")
    assert (await depot.entry(two)).updated_at == depot.clock.now
    depot.clock.advance(days=1)
    assert (await depot.purchaser.run(two)).state is State.SUBMITTED


async def test_a_run_of_what_nobody_knows_ends(depot: Depot) -> None:
    """The queue has no use in repeating it."""
    ended = await depot.purchaser.run("0" * 32)
    assert ended.reason == "not_on_record"


async def test_a_long_upload_keeps_its_claim(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is renewed meanwhile; an outage of the store does not end the upload."""
    monkeypatch.setattr("transcripts.submissions.recording.RENEW_EVERY", timedelta(seconds=0.01))
    submission_id = await depot.drop()
    send = depot.provider.send
    leases: list[Any] = []

    async def slow(url: str, file: Any) -> Sent:
        for _ in range(5):
            depot.clock.advance(minutes=1)
            await asyncio.sleep(0.03)
            leases.append((await depot.entry(submission_id)).lease_expires_at)
        return await send(url, file)

    depot.provider.send = slow  # type: ignore[method-assign] # one test's own provider
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert leases == sorted(set(leases))
    assert leases[-1] == depot.clock.now + LEASE


async def test_an_upload_whose_claim_is_lost_is_given_up(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another holds it now; this one buys nothing."""
    monkeypatch.setattr("transcripts.submissions.recording.RENEW_EVERY", timedelta(seconds=0.01))
    submission_id = await depot.drop()

    async def taken_over(url: str, file: Any) -> Sent:
        entry = await depot.entry(submission_id)
        other = replace(entry, claim_id="other")
        await depot.documents.commit(Write(submission_path(submission_id), other))
        await asyncio.Event().wait()
        return Sent.TAKEN

    depot.provider.send = taken_over  # type: ignore[method-assign] # one test's own provider
    with pytest.raises(NotYet):
        await depot.purchaser.run(submission_id)
    assert depot.provider.submitted == []


async def test_an_outage_does_not_end_a_renewal(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease outlasts several."""
    monkeypatch.setattr("transcripts.submissions.recording.RENEW_EVERY", timedelta(seconds=0.01))
    lines = LogLines()
    submission_id = await depot.drop()
    store = SubmissionStore(depot.documents, TryOnce())
    recording = Recording(
        store, await depot.entry(submission_id), lines.log, depot.clock, depot.sleeper
    )
    depot.documents.before = Outage(3)
    assert await recording.keep_claim(asyncio.sleep(0.2, "done")) == "done"
    assert lines.named("not_renewed")
    recording.claimed = replace(recording.claimed, claim_id="not ours")
    with pytest.raises(ClaimLost):
        await recording.keep_claim(asyncio.sleep(60))


async def test_an_upload_that_nobody_ends_is_sent_again(depot: Depot) -> None:
    """Its sender died; after an hour it will not come to its end by itself."""
    submission_id = await depot.drop()
    entry = replace(
        await depot.entry(submission_id),
        state=State.UPLOADING,
        asset_id="re_7",
        uploads=1,
        sent_at=depot.clock.now,
    )
    await depot.documents.commit(Write(submission_path(submission_id), entry))
    depot.clock.advance(hours=1)
    depot.provider.states = [AssetState.UPLOADING]
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert depot.provider.submitted == ["re_1"]
    assert (await depot.entry(submission_id)).uploads == 2


async def test_what_mavi_never_takes_in_is_given_up_after_a_day(depot: Depot) -> None:
    """It has all its bytes, so it is not sent again; somebody has to ask."""
    submission_id = await depot.drop()
    for _ in range(100):
        depot.provider.states = [AssetState.UPLOADING] * 200
        try:
            ended = await depot.purchaser.run(submission_id)
        except NotYet:
            depot.clock.advance(minutes=10)
        else:
            break
    assert ended == Ended(submission_id, State.REJECTED, reason="upload_stalled")
    assert depot.objects.opened == 1


async def test_waiting_for_mavi_keeps_the_claim(depot: Depot) -> None:
    """It may take longer than the lease."""
    submission_id = await depot.drop()
    depot.provider.states = [AssetState.UPLOADING] * 20
    other = depot.instance()
    asked = depot.provider.asset_state
    refused: list[Any] = []

    async def asking(asset_id: str, patience_s: float) -> AssetState | None:
        with pytest.raises(NotYet) as caught:
            await other.run(submission_id)
        refused.append(caught.value.message)
        return await asked(asset_id, patience_s)

    depot.provider.asset_state = asking  # type: ignore[method-assign] # one test's own provider
    begin = depot.clock.now
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert depot.clock.now - begin > LEASE
    assert set(refused) == {"Another instance is at it."}


async def test_what_was_counted_yesterday_is_counted_again_today() -> None:
    """The cap is a day's: what is bought today counts today, whenever it was begun."""
    depot = Depot(cap_per_day=1)
    one, two = await depot.drop("1.mp4"), await depot.drop("2.mp4")
    depot.provider.states = [None]
    depot.provider.sends = [Sent.BROKEN]
    with pytest.raises(NotYet):
        await depot.purchaser.run(one)
    depot.clock.advance(days=1)
    assert (await depot.purchaser.run(two)).state is State.SUBMITTED
    assert (await depot.purchaser.run(one)).reason == "budget_exhausted"
    assert len(depot.provider.submitted) == 1


@pytest.mark.parametrize("retry_after_s", [7.0, 0.0])
async def test_what_mavi_asks_for_is_passed_on(depot: Depot, retry_after_s: float) -> None:
    """Its Retry-After, if it sends one."""
    submission_id = await depot.drop()
    depot.provider.signed = [RateLimited(retry_after_s)]
    with pytest.raises(NotYet) as caught:
        await depot.purchaser.run(submission_id)
    assert caught.value.retry_after_s == max(retry_after_s, 1)


async def test_no_line_holds_a_signed_address(depot: Depot) -> None:
    """Who has it may put bytes there."""
    depot.provider.sends = [Sent.REFUSED]
    await depot.purchaser.run(await depot.drop())
    assert depot.lines.named("signed_url_failed")
    assert b"https://signed" not in b"".join(depot.lines.raw)
