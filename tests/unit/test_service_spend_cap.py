"""The spend cap of submissions: refused requests, and rejected purchases that are uncounted."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from tests.pipeline import ASSET, ID, REQUEST, Pipeline
from transcripts.errors import StoreUnavailable, SubmissionError
from transcripts.mavi.answers import (
    Refusal,
    Refused,
)
from transcripts.ports import Read
from transcripts.submissions.answers import Receipt
from transcripts.submissions.lease import Lease
from transcripts.submissions.requests import SubmitAsset
from transcripts.submissions.submission import (
    SpendCounter,
    State,
)
from transcripts.submissions.submitter import CallPolicy, Submitter
from transcripts.submissions.transitions import Event


async def test_submit_at_the_spend_cap_is_refused() -> None:
    """Requests are refused until midnight UTC; a rejected purchase does not count."""
    pipeline = Pipeline(cap_per_day=2)
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.refused()
    for number in range(2):
        await pipeline.service.submit(SubmitAsset(f"re_{number + 10}", {}))
    error = await pipeline.refused()
    assert (error.code, error.status, error.retry_after_s) == ("budget_exhausted", 429, 75355)
    pipeline.clock.advance(days=1)
    assert (await pipeline.service.submit(REQUEST)).duplicate is False


async def test_reject_repeated_uncounts_once() -> None:
    """A lost acknowledgement does not uncount the purchase twice."""
    pipeline = Pipeline(cap_per_day=2)
    await pipeline.service.submit(SubmitAsset("re_2", {}))
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    rejections = 0

    def after(operation: str) -> None:
        nonlocal rejections
        writes = pipeline.documents.commits[-1] if operation == "commit" else ()
        if any(getattr(write.value, "state", None) is State.REJECTED for write in writes):
            rejections += 1
            if rejections == 1:
                raise StoreUnavailable("the answer was lost")

    pipeline.documents.after = after
    await pipeline.refused()
    assert rejections == 1
    (budget,) = await pipeline.documents.read(Read("spend_counters/2026-01-02", SpendCounter))
    assert budget is not None
    assert budget.value.submissions == 1


async def counted(pipeline: Pipeline, day: str = "2026-01-02") -> int:
    """Return the count of a day against the spend cap."""
    (counter,) = await pipeline.documents.read(Read(f"spend_counters/{day}", SpendCounter))
    return counter.value.submissions if counter else 0


async def test_submit_two_assets_at_once_at_the_cap_buys_one() -> None:
    """The counter is written against the version that was read."""
    pipeline = Pipeline(cap_per_day=1)
    answers = await asyncio.gather(
        *(pipeline.instance().submit(SubmitAsset(f"re_{n}", {})) for n in range(2)),
        return_exceptions=True,
    )
    codes = [each.code for each in answers if isinstance(each, SubmissionError)]
    assert codes == ["budget_exhausted"]
    assert len(pipeline.provider.submitted) == 1
    assert await counted(pipeline) == 1


async def test_reject_with_a_lost_acknowledgement_uncounts_once() -> None:
    """The repeated commit finds the entry that the first commit has written."""
    pipeline = Pipeline(cap_per_day=9)
    await pipeline.service.submit(SubmitAsset("re_2", {}))
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    lost: list[str] = []

    def lose_the_rejection(operation: str) -> None:
        entry = pipeline.documents.content.get(f"submissions/{ID}", {})
        if operation == "commit" and entry.get("state") == "rejected" and not lost:
            lost.append(operation)
            raise StoreUnavailable("the acknowledgement is lost")

    pipeline.documents.after = lose_the_rejection
    assert (await pipeline.refused()).code == "provider_no_credit"
    assert lost
    assert await counted(pipeline) == 1


async def test_reject_on_the_next_day_uncounts_on_the_day_of_the_purchase() -> None:
    """The counter of the new day does not change."""
    pipeline = Pipeline(cap_per_day=9)

    def midnight(asset_id: str) -> None:
        if asset_id == ASSET:
            pipeline.clock.advance(days=1)

    pipeline.provider.on_submit = midnight
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.refused()
    await pipeline.service.submit(SubmitAsset("re_2", {}))
    assert await counted(pipeline, "2026-01-02") == 0
    assert await counted(pipeline, "2026-01-03") == 1


class RejectsTwice(Submitter):
    """Rejects, and once more with the entry as it was before."""

    async def submit(self, lease: Lease, asset_id: str, policy: CallPolicy) -> Receipt:
        day = lease.entry.spend_day
        await lease.record_outcome(Event.REJECTED, reason="first")
        # The store looks as if another process had rejected the entry meanwhile.
        lease.entry = replace(lease.entry, spend_day=day)
        await lease.record_outcome(Event.REJECTED, reason="second")
        raise SubmissionError("provider_error")


async def test_lease_rejected_twice_uncounts_once() -> None:
    """The second rejection finds an entry that does not count."""
    pipeline = Pipeline(cap_per_day=9)
    await pipeline.service.submit(SubmitAsset("re_2", {}))
    submitter = RejectsTwice(pipeline.provider, pipeline.lines.log, clock=pipeline.clock)
    pipeline.restart(submitter=submitter)
    await pipeline.refused()
    assert await counted(pipeline) == 1
