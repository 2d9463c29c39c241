"""What comes in to be queued: events, lists, and objects that callers name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.shops import Depot
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
from transcripts.objects.media import Reason
from transcripts.submissions.orders import AssetsOrder, ObjectOrder, Order
from transcripts.submissions.purchase import Ended
from transcripts.submissions.submission import (
    State,
    submission_id_of_asset,
    submission_id_of_object,
)


@pytest.fixture
def depot() -> Depot:
    return Depot()


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
