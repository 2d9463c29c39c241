"""What only time mends, and what looks like it, rejects nothing and sends nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.test_uploading import CONTENT, Depot
from transcripts.errors import NotYet
from transcripts.mavi.answers import (
    Ambiguous,
    AssetState,
    NotSent,
    Sent,
    SubmitAnswer,
    Unreachable,
)
from transcripts.ports import Write
from transcripts.submissions.orders import AssetsOrder, ObjectOrder, Order
from transcripts.submissions.submission import State, submission_id_of_asset, submission_path
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
    died = replace(
        await depot.entry(submission_id),
        state=State.UPLOADING,
        asset_id="re_7",
        claim_id="gone",
        lease_expires_at=depot.clock.now,
        sent_at=depot.clock.now,
        uploads=1,
    )
    await depot.documents.commit(Write(submission_path(submission_id), died))
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
