"""What only time mends, and what looks like it, rejects nothing and sends nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import (
    Outage,
    TryOnce,
)
from tests.shops import CONTENT, Depot
from transcripts.errors import (
    NotYet,
    ObjectUnavailable,
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
from transcripts.submissions.orders import AssetsOrder, ObjectOrder, Order
from transcripts.submissions.purchase import Ended
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.submission import (
    State,
    submission_id_of_asset,
)
from transcripts.submissions.uploader import MAX_UPLOADS


@pytest.fixture
def depot() -> Depot:
    return Depot()


async def run_until_it_ends(depot: Depot, submission_id: str) -> Any:
    """Come again as the queue does, for at most three days."""
    for _ in range(432):
        try:
            return await depot.purchaser.run(submission_id)
        except NotYet:
            depot.clock.advance(minutes=10)
    raise AssertionError("it does not end")


@pytest.mark.parametrize(
    "sends", [[Sent.UNREACHED], [Sent.REFUSED]], ids=["the address", "the other way"]
)
async def test_an_outage_of_the_upload_hosts_counts_as_no_try(
    depot: Depot, sends: list[Sent]
) -> None:
    """However many runs meet it."""
    submission_id = await depot.drop()
    for _ in range(3 * MAX_UPLOADS):
        depot.provider.states = [AssetState.WAITING]
        depot.provider.sends = list(sends)
        depot.provider.uploads = [Unreachable()]
        with pytest.raises(NotYet):
            await depot.purchaser.run(submission_id)
        depot.clock.advance(minutes=10)
    assert (await depot.entry(submission_id)).uploads == 0
    depot.provider.uploads, depot.provider.states = [], [AssetState.WAITING]
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED


async def test_uploads_that_always_break_off_end(depot: Depot) -> None:
    """Each time bytes are sent, which is not for ever."""
    submission_id = await depot.drop()
    depot.provider.sends = [Sent.BROKEN] * 99
    depot.provider.states = [AssetState.WAITING] * 99
    ended = await run_until_it_ends(depot, submission_id)
    assert (ended.state, ended.reason) == (State.REJECTED, "upload_failed")
    assert depot.objects.opened == MAX_UPLOADS


async def test_what_broke_off_after_its_last_byte_is_not_sent_again(depot: Depot) -> None:
    """The answer was lost; the asset is complete."""
    submission_id = await depot.drop()
    depot.provider.sends = [Sent.BROKEN]
    with pytest.raises(NotYet):
        await depot.purchaser.run(submission_id)
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert (depot.objects.opened, depot.provider.submitted) == (1, ["re_1"])


@pytest.mark.parametrize(
    "state", [None, AssetState.UPLOADING, AssetState.UNKNOWN], ids=["no answer", "on", "new word"]
)
async def test_an_upload_whose_sender_died_is_looked_for_first(
    depot: Depot, state: AssetState | None
) -> None:
    """One answer that does not come, or tells nothing, sends no byte."""
    submission_id = await depot.drop()
    await depot.sender_died(submission_id)
    depot.provider.states = [state]
    ended = await run_until_it_ends(depot, submission_id)
    assert (ended.state, depot.provider.submitted) == (State.SUBMITTED, ["re_7"])
    assert depot.objects.opened == 0


async def test_a_repetition_needs_no_object(depot: Depot) -> None:
    """Its asset is at Mavi, though one answer about it did not come."""
    submission_id = await depot.drop()
    await depot.purchaser.run(submission_id)
    stored, _ = depot.objects.content.pop(("uploads", "a/talk.mp4"))
    forced = ObjectOrder("uploads", stored.name, None, {}, force=True)
    await depot.intake.take_object(forced, stored)
    depot.provider.states = [None, AssetState.MISSING, AssetState.MISSING]
    ended = await run_until_it_ends(depot, submission_id)
    assert (ended.state, depot.provider.submitted) == (State.SUBMITTED, ["re_1", "re_1"])


async def test_an_order_does_not_make_a_half_upload_whole(depot: Depot) -> None:
    """Somebody submits the asset by its id before its bytes are there; they are sent anyway."""
    submission_id = await depot.drop()
    depot.provider.sends = [Sent.BROKEN]
    with pytest.raises(NotYet):
        await depot.purchaser.run(submission_id)
    depot.provider.answers = [Ambiguous()]
    depot.provider.states = [AssetState.WAITING]
    with pytest.raises(Exception, match="upload is not complete"):
        await depot.purchaser.buy(Order("re_1", {}))
    assert (await depot.entry(submission_id)).state is State.UPLOADING
    depot.provider.states = [AssetState.WAITING]
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert CONTENT in depot.provider.held.values()


@pytest.mark.parametrize("answer", [NotSent("ConnectionError"), Ambiguous()])
async def test_an_order_takes_nothing_away_from_the_queue(
    depot: Depot, answer: SubmitAnswer
) -> None:
    """Who waits is told that it did not work; the queue comes again all the same."""
    await depot.intake.take_assets(AssetsOrder(("re_1",), {}))
    submission_id = submission_id_of_asset("re_1")
    depot.provider.answers = [answer] * 7
    with pytest.raises(Exception, match="Mavi refuses this request"):
        await depot.purchaser.buy(Order("re_1", {}))
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED


async def test_an_asset_that_is_gone_after_its_upload(depot: Depot) -> None:
    """It was there, so that Mavi says 400 may be its rate limit; a day later it is believed."""
    missing = AssetState.MISSING
    depot.provider.states = [missing] * 9
    one = await depot.drop("1.mp4")
    assert (await depot.purchaser.run(one)).state is State.SUBMITTED
    depot.provider.answers = [NotSent("ConnectionError")] * 7
    two = await depot.drop("2.mp4")
    with pytest.raises(NotYet):
        await depot.purchaser.run(two)
    depot.clock.advance(hours=25)
    depot.provider.states = [missing] * 4
    assert await depot.purchaser.run(two) == Ended(two, State.REJECTED, reason="asset_not_found")


async def test_a_new_asset_that_mavi_refuses_to_know_is_not_rejected(depot: Depot) -> None:
    """400 to the call, and twice to the question why: at another's pace that is rate limiting."""
    submission_id = await depot.drop()
    depot.provider.answers = [Ambiguous()]
    depot.provider.states = [AssetState.READY, AssetState.MISSING, AssetState.MISSING]
    with pytest.raises(NotYet):
        await depot.purchaser.run(submission_id)
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert depot.objects.opened == 1


async def test_a_poll_that_fails_ends_nothing(depot: Depot) -> None:
    """Not even when a day has gone by, and the asset is ready."""
    depot.provider.answers = [RateLimited()] * 7
    submission_id = await depot.drop()
    with pytest.raises(NotYet):
        await depot.purchaser.run(submission_id)
    depot.clock.advance(hours=25)
    depot.provider.states = [None]
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED


@pytest.mark.parametrize("answer", [RateLimited(), NotSent("ConnectionError")])
async def test_a_run_that_finds_no_mavi_comes_again(depot: Depot, answer: Any) -> None:
    """Nothing is rejected for it, and nothing lost."""
    depot.provider.answers = [answer] * 7
    submission_id = await depot.drop()
    with pytest.raises(NotYet):
        await depot.purchaser.run(submission_id)
    entry = await depot.entry(submission_id)
    assert (entry.state, entry.lease_expires_at) == (State.UPLOADED, None)
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED


async def test_a_store_that_is_down_ends_no_run_for_good(depot: Depot) -> None:
    """The queue sends it again."""
    submission_id = await depot.drop()
    depot.purchaser._store = SubmissionStore(depot.documents, TryOnce())
    depot.documents.before = Outage(10**6)
    with pytest.raises(StoreUnavailable):
        await depot.purchaser.run(submission_id)
    depot.documents.before = lambda _: None
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED


async def test_storage_that_breaks_off_is_tried_again(depot: Depot) -> None:
    """Transient, so the queue sends it again."""
    submission_id = await depot.drop()
    real_open = depot.objects.open

    def broken(_: Any) -> Any:
        raise ObjectUnavailable("broken off")

    depot.objects.open = broken  # type: ignore[method-assign,assignment] # one test's own storage
    depot.provider.states = [AssetState.WAITING] * (MAX_UPLOADS + 1)
    for _ in range(MAX_UPLOADS + 1):
        with pytest.raises(NotYet) as caught:
            await depot.purchaser.run(submission_id)
        # By 503 the queue would slow down for everybody.
        assert caught.value.status == 409
    depot.objects.open = real_open  # type: ignore[method-assign] # see above
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED


@pytest.mark.parametrize("answer", [RateLimited(), Unreachable()])
async def test_what_only_time_mends_costs_no_upload(depot: Depot, answer: UploadAnswer) -> None:
    """An outage of an hour rejects nothing."""
    submission_id = await depot.drop()
    depot.provider.signed = [answer] * (2 * MAX_UPLOADS)
    for _ in range(2 * MAX_UPLOADS):
        with pytest.raises(NotYet):
            await depot.purchaser.run(submission_id)
    assert (await depot.entry(submission_id)).uploads == 0
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
