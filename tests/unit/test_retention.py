"""What expires, and when: never what is open, never a purchase before its task."""

from __future__ import annotations

from datetime import timedelta

from tests.shops import Yard
from transcripts.mavi.answers import Refusal, Refused
from transcripts.submissions.orders import ObjectOrder, Order
from transcripts.submissions.submission import State, submission_path


def expire(yard: Yard) -> set[str]:
    """Delete what Firestore would have by now; return its collections."""
    gone = [
        path
        for path, content in yard.documents.content.items()
        if content.get("expires_at") is not None and content["expires_at"] <= yard.clock.now
    ]
    for path in gone:
        del yard.documents.content[path]
    return {path.partition("/")[0] for path in gone}


async def test_a_purchase_is_kept_as_long_as_its_task() -> None:
    """From the day it was made, not from the day it was wished for."""
    yard = Yard(retention_days=30, cap_per_day=1)
    one, two = await yard.drop("1.mp4"), await yard.drop("2.mp4")
    await yard.purchaser.run(one)
    yard.clock.advance(days=29)
    assert (await yard.entry(two)).expires_at is None
    assert (await yard.purchaser.run(two)).state is State.SUBMITTED
    bought_at = yard.clock.now
    assert (await yard.entry(two)).expires_at == bought_at + timedelta(days=30)
    assert (await yard.task("task-2")).expires_at == bought_at + timedelta(days=30)
    yard.clock.advance(days=2)
    expire(yard)
    await yard.intake.uploaded(yard.objects.content["uploads", "2.mp4"][0])
    assert (await yard.purchaser.run(two)).task_id == "task-2"
    assert len(yard.provider.submitted) == 2


async def test_what_waits_for_the_cap_is_not_forgotten() -> None:
    """A backlog may be older than what is kept."""
    yard = Yard(retention_days=2, cap_per_day=1)
    waiting = [await yard.drop(f"{number}.mp4") for number in range(5)]
    for _ in waiting:
        for submission_id in waiting:
            if submission_path(submission_id) in yard.documents.content:
                await yard.purchaser.run(submission_id)
        yard.clock.advance(days=1)
        expire(yard)
    assert len(yard.provider.submitted) == len(waiting)


async def test_an_asset_is_its_owners_as_long_as_the_purchase_is_there() -> None:
    """Else whoever submits it by its id would buy it again."""
    yard = Yard(retention_days=30)
    submission_id = await yard.drop()
    yard.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    assert (await yard.purchaser.run(submission_id)).state is State.REJECTED
    yard.clock.advance(days=29)
    stored = yard.objects.content["uploads", "a/talk.mp4"][0]
    await yard.intake.take_object(ObjectOrder("uploads", stored.name, None, {}), stored)
    assert expire(yard) == set()
    assert (await yard.purchaser.run(submission_id)).task_id == "task-2"
    yard.clock.advance(days=29)
    assert expire(yard) <= {"budgets"}
    receipt = await yard.purchaser.buy(Order("re_1", {}))
    assert (receipt.duplicate, receipt.task_id) == (True, "task-2")
    yard.clock.advance(days=2)
    assert expire(yard) == {"submissions", "tasks", "assets"}


async def test_a_refused_upload_expires_too() -> None:
    """It ends as soon as it begins."""
    yard = Yard(retention_days=30)
    submission_id = await yard.drop("notes.txt", content_type="text/plain")
    assert (await yard.entry(submission_id)).expires_at == yard.clock.now + timedelta(days=30)
