"""The counter of paid submissions: purchases that count, and refused ones that are uncounted."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.fakes import NOW
from tests.pipeline import ID, REQUEST, Pipeline
from transcripts.errors import RetryLater, StoreUnavailable, SubmissionError
from transcripts.mavi.answers import AnswerLost, Refusal, Refused
from transcripts.ports import Read, Write
from transcripts.submissions.lease import Lease
from transcripts.submissions.requests import SubmitAsset
from transcripts.submissions.submission import (
    SpendCounter,
    State,
    Submission,
    spend_counter_path,
    submission_path,
)
from transcripts.submissions.transitions import LEASE, Event

TODAY, TOMORROW = "2026-01-02", "2026-01-03"


async def spent(pipeline: Pipeline, day: str = TODAY) -> int | None:
    """Return the counter of a day, or None if it does not exist."""
    (found,) = await pipeline.documents.read(Read(spend_counter_path(day), SpendCounter))
    return found.value.submissions if found else None


async def test_submit_in_two_instances_keeps_the_cap() -> None:
    """The counter is written against the version that was read."""
    pipeline = Pipeline(cap_per_day=3)
    instances = [pipeline.service, pipeline.instance()]
    results = await asyncio.gather(
        *(instances[number % 2].submit(SubmitAsset(f"re_{number}", {})) for number in range(10)),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, SubmissionError)]
    assert {error.code for error in refused} == {"budget_exhausted"}
    assert (len(refused), len(pipeline.provider.submitted)) == (7, 3)
    assert await spent(pipeline) == 3


async def test_reject_after_midnight_uncounts_on_the_day_of_the_purchase() -> None:
    """The counter of the new day is not changed."""
    pipeline = Pipeline(cap_per_day=5)
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    pipeline.provider.on_submit = lambda _: pipeline.clock.advance(hours=22)
    assert (await pipeline.refused()).code == "provider_no_credit"
    assert (await spent(pipeline), await spent(pipeline, TOMORROW)) == (0, None)


async def test_release_keeps_the_purchase_counted() -> None:
    """The next run does not count the purchase again."""
    pipeline = Pipeline(cap_per_day=1)
    one, two = await pipeline.drop("1.mp4"), await pipeline.drop("2.mp4")
    pipeline.provider.busy_s = 500.0
    with pytest.raises(RetryLater):
        await pipeline.service.run(one)
    assert await spent(pipeline) == 1
    pipeline.provider.busy_s = 0.0
    assert (await pipeline.service.run(two)).reason == "budget_exhausted"
    assert (await pipeline.service.run(one)).state is State.SUBMITTED
    assert await spent(pipeline) == 1


async def test_answer_lost_keeps_the_purchase_counted() -> None:
    """The job may have been paid for."""
    pipeline = Pipeline(cap_per_day=5)
    pipeline.provider.answers = [AnswerLost("timeout")]
    assert (await pipeline.refused()).code == "submit_unknown"
    assert await spent(pipeline) == 1


async def counted_entry(pipeline: Pipeline, day: str | None) -> tuple[Lease, Submission]:
    """Store an entry that counts on ``day``, and return its holder, who counted it today."""
    entry = Submission(
        submission_id=ID,
        state=State.SUBMITTING,
        asset_id="re_1",
        lease_id="me",
        created_at=NOW,
        updated_at=NOW,
        lease_expires_at=NOW + LEASE,
        spend_day=TODAY,
    )
    stored = replace(entry, spend_day=day)
    await pipeline.documents.commit(
        Write(submission_path(ID), stored),
        Write(spend_counter_path(TODAY), SpendCounter(2)),
        Write(spend_counter_path(TOMORROW), SpendCounter(2)),
    )
    return Lease(pipeline.ledger, entry, pipeline.lines.log), stored


@pytest.mark.parametrize(("day", "left"), [(TOMORROW, (2, 1)), (None, (2, 2))])
async def test_reject_uncounts_on_the_day_that_is_stored(
    day: str | None, left: tuple[int, int]
) -> None:
    """What the holder believes of the entry does not matter."""
    pipeline = Pipeline(cap_per_day=5)
    lease, _ = await counted_entry(pipeline, day)
    await lease.record_outcome(Event.REJECTED, reason="provider_no_credit")
    assert (await spent(pipeline), await spent(pipeline, TOMORROW)) == left


async def test_reject_twice_uncounts_once() -> None:
    """At the second time the entry counts on no day."""
    pipeline = Pipeline(cap_per_day=5)
    lease, _ = await counted_entry(pipeline, TODAY)
    await lease.record_outcome(Event.REJECTED, reason="provider_no_credit")
    lease.entry = replace(lease.entry, spend_day=TODAY)
    await lease.record_outcome(Event.REJECTED, reason="provider_no_credit")
    assert await spent(pipeline) == 1


async def test_outcome_of_a_lost_answer_uncounts_nothing() -> None:
    """A lost answer may have been paid for."""
    pipeline = Pipeline(cap_per_day=5)
    lease, _ = await counted_entry(pipeline, TODAY)
    await lease.record_outcome(Event.ANSWER_LOST, reason="timeout")
    assert await spent(pipeline) == 2


async def test_counter_expires_a_week_after_its_last_purchase() -> None:
    """The counter of a past day is never read."""
    pipeline = Pipeline(cap_per_day=5)
    await pipeline.service.submit(REQUEST)
    (found,) = await pipeline.documents.read(Read(spend_counter_path(TODAY), SpendCounter))
    assert found is not None
    assert found.value.expires_at == pipeline.clock.now + timedelta(days=7)


async def test_repetition_refused_uncounts_once() -> None:
    """The previous attempt is restored although the acknowledgement is lost."""
    pipeline = Pipeline(cap_per_day=5)
    await pipeline.service.submit(REQUEST)
    seen = 0

    def after(operation: str) -> None:
        nonlocal seen
        restored = any(
            isinstance(write.value, Submission) and write.value.state is State.SUBMITTED
            for write in pipeline.documents.commits[-1]
        )
        if operation == "commit" and restored:
            seen += 1
            if seen == 1:
                raise StoreUnavailable("the answer was lost")

    pipeline.documents.after = after
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.refused(SubmitAsset("re_1", {}, force=True))
    assert seen == 1
    assert await spent(pipeline) == 1


async def test_repetition_forced_on_the_same_day_is_counted() -> None:
    """A forced repetition is a second purchase."""
    pipeline = Pipeline(cap_per_day=2)
    forced = SubmitAsset("re_1", {}, force=True)
    await pipeline.service.submit(REQUEST)
    await pipeline.service.submit(forced)
    assert await spent(pipeline) == 2
    assert (await pipeline.refused(forced)).code == "budget_exhausted"
    assert len(pipeline.provider.submitted) == 2
