"""From an object to a bought transcript, run from the queue."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import LogLines, MemoryQueue, Outage, Sleeper, TryOnce
from tests.unit.test_purchase import Shop
from transcripts.errors import (
    NotYet,
    ObjectUnavailable,
    QueueUnavailable,
    RequestError,
    StoreUnavailable,
)
from transcripts.mavi.answers import (
    Ambiguous,
    AssetState,
    Lost,
    NotSent,
    RateLimited,
    Refusal,
    Refused,
    Sent,
    SignedUrl,
    Unreachable,
    UploadAnswer,
)
from transcripts.objects.media import Reason
from transcripts.ports import Write
from transcripts.retry import Retrier
from transcripts.submissions.intake import Intake
from transcripts.submissions.orders import AssetsOrder, ObjectOrder, Order
from transcripts.submissions.purchase import Ended
from transcripts.submissions.recording import Recording
from transcripts.submissions.steps import LEASE, ClaimLost
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.submission import (
    State,
    Submission,
    submission_id_of_asset,
    submission_id_of_object,
    submission_path,
)
from transcripts.submissions.uploader import MAX_UPLOADS
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Source

CONTENT = b"a recording of a meeting"


class Depot(Shop):
    """A shop with a bucket and a queue."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.queue = MemoryQueue()
        self.store = SubmissionStore(self.documents, Retrier(20.0, Sleeper()), self.retention_days)
        self.intake = Intake(
            self.store,
            self.queue,
            self.lines.log,
            clock=self.clock,
            max_object_bytes=1000,
        )

    async def drop(self, name: str = "a/talk.mp4", content: bytes = CONTENT, **more: Any) -> str:
        """Put an object into the bucket, let its event come, and return its submission."""
        stored = self.objects.put(name, content, **more)
        await self.intake.uploaded(stored)
        return submission_id_of_object(stored.uri, stored.generation)

    async def entry(self, submission_id: str) -> Submission:
        found = await self.store.read(submission_id)
        assert found is not None
        return found


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


async def test_events_may_be_repeated_at_any_time(depot: Depot) -> None:
    """Before the run, during it, after it: one task of the queue, one upload, one purchase."""
    submission_id = await depot.drop()
    stored = depot.objects.content["uploads", "a/talk.mp4"][0]
    for _ in range(3):
        await depot.intake.uploaded(stored)
    running = asyncio.ensure_future(depot.purchaser.run(submission_id))
    await asyncio.sleep(0)
    await depot.intake.uploaded(stored)
    await running
    await depot.intake.uploaded(stored)
    assert len(depot.queue.tasks) == 1
    assert depot.provider.submitted == ["re_1"]
    again = await depot.purchaser.run(submission_id)
    assert again == Ended(submission_id, State.SUBMITTED, task_id="task-1")


async def test_a_replaced_object_is_another_purchase(depot: Depot) -> None:
    """The first generation is gone and said to be; the second is bought."""
    first = await depot.drop(generation="1")
    second = await depot.drop(generation="2")
    assert first != second
    ended = await depot.purchaser.run(first)
    assert ended == Ended(first, State.REJECTED, reason="object_not_found")
    assert (await depot.purchaser.run(second)).state is State.SUBMITTED
    assert depot.provider.submitted == ["re_1"]


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("folder/", {}, Reason.FOLDER),
        ("a.txt", {"content_type": "text/plain"}, Reason.NOT_MEDIA),
        ("a.mp4", {"content": b""}, Reason.EMPTY),
        ("a.mp4", {"content": b"x" * 1001}, Reason.TOO_LARGE),
        ("a.mp4", {"metadata": {"mavi-skip": "1"}}, Reason.SKIPPED),
    ],
)
async def test_what_is_refused_is_on_record(
    depot: Depot, name: str, more: dict[str, Any], reason: Reason
) -> None:
    """With its reason, once, and not on the queue."""
    submission_id = await depot.drop(name, **more)
    await depot.drop(name, **more)
    entry = await depot.entry(submission_id)
    assert (entry.state, entry.reason) == (State.REJECTED, reason)
    assert depot.queue.tasks == {}
    assert len(depot.lines.named("upload_refused")) == 1


async def test_an_object_that_stands_for_an_asset_is_not_uploaded(depot: Depot) -> None:
    """And shares the asset's purchase with whoever submits it by its id."""
    stored = depot.objects.put("x.txt", b"", metadata={"mavi-asset-id": "re_9"})
    await depot.intake.uploaded(stored)
    submission_id = submission_id_of_asset("re_9")
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert (depot.provider.held, depot.provider.submitted) == ({}, ["re_9"])
    receipt = await depot.purchaser.buy(Order("re_9", {}))
    assert (receipt.duplicate, receipt.task_id) == (True, "task-1")


async def test_an_uploaded_asset_is_not_bought_again_by_its_id(depot: Depot) -> None:
    """Whoever submits the asset of an object is led to the object's purchase."""
    submission_id = await depot.drop()
    await depot.purchaser.run(submission_id)
    receipt = await depot.purchaser.buy(Order("re_1", {}))
    assert (receipt.submission_id, receipt.duplicate) == (submission_id, True)
    taken = await depot.intake.take_assets(AssetsOrder(("re_1", "re_2"), {}))
    assert taken.duplicates == [submission_id]
    assert taken.queued == [submission_id_of_asset("re_2")]
    assert depot.provider.submitted == ["re_1"]


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
    entry = replace(
        await depot.entry(submission_id),
        state=State.UPLOADING,
        asset_id="re_7",
        claim_id="gone",
        lease_expires_at=depot.clock.now,
        sent_at=depot.clock.now,
    )
    await depot.documents.commit(Write(submission_path(submission_id), entry))
    depot.provider.states = [state]
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED
    assert depot.objects.opened == uploads
    assert depot.provider.submitted == (["re_1"] if uploads else ["re_7"])


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


async def test_a_queue_that_is_down_is_said_and_the_wish_is_on_record(depot: Depot) -> None:
    """The event comes again; the sweep finds the rest."""
    depot.queue.down = True
    with pytest.raises(QueueUnavailable):
        await depot.drop()
    stored = depot.objects.content["uploads", "a/talk.mp4"][0]
    submission_id = submission_id_of_object(stored.uri, "1")
    assert (await depot.entry(submission_id)).state is State.CLAIMED
    depot.queue.down = False
    await depot.intake.uploaded(stored)
    assert list(depot.queue.tasks) == [f"{submission_id}-0"]


async def test_an_object_that_a_caller_names_is_judged_too(depot: Depot) -> None:
    """400, with the reason."""
    stored = depot.objects.put("a.txt", content_type="text/plain")
    with pytest.raises(RequestError) as caught:
        await depot.intake.take_object(ObjectOrder("uploads", "a.txt", None, {}), stored)
    assert caught.value.details["reason"] == "not_media"


async def test_a_thousand_assets_are_queued(depot: Depot) -> None:
    """Each once, under its own name."""
    assets = tuple(f"re_{n}" for n in range(1000))
    taken = await depot.intake.take_assets(AssetsOrder(assets, {"batch": "1"}))
    assert len(taken.queued) == len(set(taken.queued)) == len(depot.queue.tasks) == 1000
    again = await depot.intake.take_assets(AssetsOrder(assets, {}))
    assert again.queued == taken.queued
    assert len(depot.queue.tasks) == 1000
    ended = await depot.purchaser.run(taken.queued[7])
    assert ended.state is State.SUBMITTED
    assert depot.provider.submitted == ["re_7"]
    assert (await depot.entry(taken.queued[7])).labels == {"batch": "1"}


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


async def test_a_signed_address_belongs_to_the_submission_before_its_bytes(depot: Depot) -> None:
    """So that nobody buys the asset by its id in between."""
    submission_id = await depot.drop()
    depot.provider.signed = [SignedUrl("re_77", "https://signed/re_77")]
    owners: list[str] = []
    send = depot.provider.send

    async def looking(url: str, file: Any) -> Sent:
        owners.append(await depot.store.submission_id_of("re_77"))
        return await send(url, file)

    depot.provider.send = looking  # type: ignore[method-assign] # one test's own provider
    await depot.purchaser.run(submission_id)
    assert owners == [submission_id]


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


async def test_a_direct_order_takes_nothing_from_the_queue(depot: Depot) -> None:
    """It meets a busy Mavi, or an asset that is not ready: the queue goes on all the same."""
    await depot.intake.take_assets(AssetsOrder(("re_1",), {}))
    submission_id = submission_id_of_asset("re_1")
    depot.provider.busy_s = 90.0
    assert (await depot.refused()).code == "provider_rate_limited"
    depot.provider.busy_s = 0.0
    depot.provider.answers = [Ambiguous()]
    depot.provider.states = [AssetState.UPLOADING]
    assert (await depot.refused()).code == "asset_not_ready"
    assert (await depot.entry(submission_id)).state is State.CLAIMED
    assert (await depot.purchaser.run(submission_id)).state is State.SUBMITTED


async def test_a_list_after_a_direct_order_has_a_name_of_its_own(depot: Depot) -> None:
    """The queue remembers the names it has had."""
    await depot.intake.take_assets(AssetsOrder(("re_1",), {}))
    submission_id = submission_id_of_asset("re_1")
    depot.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await depot.purchaser.run(submission_id)
    depot.lose_the_store_after_the_claim()
    with pytest.raises(StoreUnavailable):
        await depot.purchaser.buy(Order("re_1", {}))
    depot.documents.before = lambda _: None
    await depot.intake.take_assets(AssetsOrder(("re_1",), {}))
    assert len(depot.queue.tasks) == 2


async def test_an_asset_that_mavi_gave_before_is_not_bought_again(depot: Depot) -> None:
    """Two objects of the same content: if Mavi knows it again, the second is a duplicate."""
    one, two = await depot.drop("1.mp4"), await depot.drop("2.mp4")
    signed = SignedUrl("re_1", "https://signed/re_1")
    depot.provider.signed = [signed, signed]
    assert (await depot.purchaser.run(one)).state is State.SUBMITTED
    assert await depot.purchaser.run(two) == Ended(two, State.REJECTED, reason="duplicate_asset")
    assert depot.provider.submitted == ["re_1"]
    (event,) = [each for each in depot.lines.named("rejected") if each["submission_id"] == two]
    assert event["other"] == one


async def test_an_asset_that_was_ordered_by_its_id_is_not_bought_again(depot: Depot) -> None:
    """Nor where the order was there first."""
    await depot.purchaser.buy(Order("re_1", {}))
    submission_id = await depot.drop()
    depot.provider.signed = [SignedUrl("re_1", "https://signed/re_1")]
    ended = await depot.purchaser.run(submission_id)
    assert ended == Ended(submission_id, State.REJECTED, reason="duplicate_asset")
    assert depot.provider.submitted == ["re_1"]


async def test_of_two_who_want_the_same_asset_one_buys_it(depot: Depot) -> None:
    """Somebody orders it by its id in the moment in which an upload is given that id."""
    submission_id = await depot.drop()
    depot.provider.signed = [SignedUrl("re_1", "https://signed/re_1")]
    commit = depot.documents.commit
    ordered: list[Any] = []

    async def between(*writes: Write) -> None:
        if not ordered and any(write.path == "assets/re_1" for write in writes):
            ordered.append(None)
            ordered.append(await depot.instance().buy(Order("re_1", {})))
        await commit(*writes)

    depot.documents.commit = between  # type: ignore[method-assign] # one test's own store
    ended = await depot.purchaser.run(submission_id)
    assert ended == Ended(submission_id, State.REJECTED, reason="duplicate_asset")
    assert ordered[1].submission_id == submission_id_of_asset("re_1")
    assert depot.provider.submitted == ["re_1"]


async def test_an_order_for_what_is_brought_meanwhile_is_led_there(depot: Depot) -> None:
    """The other way round: the order is on record, and the asset has become the object's."""
    submission_id = await depot.drop()
    depot.provider.signed = [SignedUrl("re_1", "https://signed/re_1")]
    buy = depot.purchaser._buyer.buy
    first = True

    async def after_the_upload(recording: Recording, *arguments: Any) -> Any:
        nonlocal first
        if first:
            first = False
            await depot.instance().run(submission_id)
        return await buy(recording, *arguments)

    depot.purchaser._buyer.buy = after_the_upload  # type: ignore[method-assign,assignment]
    receipt = await depot.purchaser.buy(Order("re_1", {}))
    assert (receipt.submission_id, receipt.duplicate) == (submission_id, True)
    assert depot.provider.submitted == ["re_1"]
    given_up = await depot.entry(submission_id_of_asset("re_1"))
    assert (given_up.state, given_up.reason) == (State.REJECTED, "duplicate_asset")


async def test_a_list_is_taken_as_far_as_it_can_be(depot: Depot) -> None:
    """Who forces it and is told to come again with all of it would buy most of it once more."""
    enqueue = depot.queue.enqueue

    async def flaky(name: str, submission_id: str) -> None:
        if submission_id == submission_id_of_asset("re_2"):
            raise QueueUnavailable("no queue")
        await enqueue(name, submission_id)

    depot.queue.enqueue = flaky  # type: ignore[method-assign] # one test's own queue
    taken = await depot.intake.take_assets(AssetsOrder(("re_1", "re_2"), {}, force=True))
    assert taken.queued == [submission_id_of_asset("re_1")]
    assert taken.failed == ["re_2"]
    depot.queue.enqueue = enqueue  # type: ignore[method-assign] # see above
    again = await depot.intake.take_assets(AssetsOrder(tuple(taken.failed), {}, force=True))
    assert (again.queued, again.failed) == ([submission_id_of_asset("re_2")], [])


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
