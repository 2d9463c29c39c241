"""Requesting the transcript of an asset at Mavi: call until it accepts or rejects."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from transcripts.callbacks.kinds import Kind
from transcripts.errors import DocumentRefused, RetryLater, StoreUnavailable, SubmissionError
from transcripts.labels import label_pairs
from transcripts.logs import Log
from transcripts.mavi.answers import (
    Accepted,
    Ambiguous,
    AnswerLost,
    AssetState,
    NotSent,
    RateLimited,
    Refusal,
    Refused,
    SubmitAnswer,
)
from transcripts.mavi.client import Provider
from transcripts.mavi.rate_limit import RateLimitTimeout
from transcripts.retention import expiry
from transcripts.submissions.answers import Receipt
from transcripts.submissions.lease import Lease
from transcripts.submissions.remedies import REMEDIES
from transcripts.submissions.transitions import PROCESSING_TIMEOUT, Event
from transcripts.tasks.task import Status, Task

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 32.0
MAX_RETRIES: Final = 6
"""1, 2, 4, 8, 16 and 32 seconds, as the provider asks."""

METADATA_ATTEMPTS: Final = 3

RETRY_AFTER_S: Final = 60
"""``Retry-After`` when the provider's rate limit is reached."""


class CallPolicy(msgspec.Struct, frozen=True):
    """How long a caller waits for a slot, in seconds, and whether it will run the entry again.

    A caller that does not gets an error instead of ``RetryLater``. Its failure must not reject an
    entry that is queued: the queue may still succeed, so such an entry is deferred.
    """

    max_wait_s: float
    will_retry: bool


def submission_error(
    code: str,
    *,
    status: int | None = None,
    details: Mapping[str, object] | None = None,
    retry_after_s: int | None = None,
) -> SubmissionError:
    """Return the error of that code, with the sentence that tells the remedy."""
    return SubmissionError(
        code, REMEDIES[code], status=status, details=details, retry_after_s=retry_after_s
    )


class Submitter:
    """Makes the one request that costs money, and records what came of it."""

    def __init__(
        self,
        provider: Provider,
        log: Log,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        retention_days: int = 0,
    ) -> None:
        self._provider = provider
        self._log = log
        self._clock = clock
        self._sleep = sleep
        self._retention_days = retention_days

    async def submit(self, lease: Lease, asset_id: str, policy: CallPolicy) -> Receipt:
        """Buy the transcript of an asset under a lease.

        Raises ``SubmissionError`` with one of its codes, ``RetryLater`` if the policy allows it,
        ``LeaseLost``, and ``StoreUnavailable`` if nothing was sent.
        """
        pause_s = FIRST_PAUSE_S
        asset_checked = False
        for retries_left in range(MAX_RETRIES, -1, -1):
            try:
                answer = await self._provider.submit(
                    asset_id, policy.max_wait_s, lambda: lease.record_intent(Event.CALL_STARTED)
                )
            except RateLimitTimeout as waiting:
                raise await self._unavailable(lease, policy, math.ceil(waiting.wait_s)) from waiting
            self._log.info(
                "mavi_answered",
                submission_id=lease.submission_id,
                asset_id=asset_id,
                answer=type(answer).__name__.lower(),
                retries_left=retries_left,
            )
            match answer:
                case Accepted(task_id):
                    return await self._accepted(lease, asset_id, task_id)
                case Refused(refusal, http_status):
                    raise await self._rejected(lease, refusal, {"http_status": http_status})
                case AnswerLost(reason):
                    raise await self._lost(lease, reason)
            await lease.record_outcome(Event.CALL_REFUSED)
            if isinstance(answer, Ambiguous) and not asset_checked:
                asset_checked = True
                why = await self._why_refused(asset_id, policy)
                if why is not None:
                    code, details = why
                    if code == "asset_not_found" and policy.will_retry and self._is_new(lease):
                        # The asset was there a moment ago, and rate limiting looks the same.
                        raise await self._unavailable(lease, policy, RETRY_AFTER_S)
                    raise await self._rejected(lease, code, details, defer=not policy.will_retry)
            if not retries_left:
                raise await self._gave_up(lease, policy, answer)
            await self._sleep(max(pause_s, _asked_pause_s(answer)))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        raise AssertionError("the loop ends by returning or raising")

    async def _accepted(self, lease: Lease, asset_id: str, task_id: str) -> Receipt:
        now = self._clock()
        entry = lease.entry
        task = Task(
            task_id=task_id,
            kind=Kind.MULTI_SPEAKER,
            status=Status.SUBMITTED,
            submission_id=entry.submission_id,
            asset_id=asset_id,
            source=entry.source,
            labels=entry.labels,
            label_pairs=label_pairs(entry.labels),
            created_at=now,
            submitted_at=now,
            expires_at=expiry(now, self._retention_days),
        )
        try:
            await lease.record_purchase(task, now)
        except (StoreUnavailable, DocumentRefused) as error:
            self._log.error(
                "bought_but_not_recorded",
                submission_id=entry.submission_id,
                task_id=task_id,
                reason=error.message,
            )
            raise submission_error("submit_unknown", details={"task_id": task_id}) from error
        self._log.info("submitted", submission_id=entry.submission_id, task_id=task_id)
        return Receipt(task_id, entry.submission_id, duplicate=False)

    async def reject(self, lease: Lease, code: str, **details: object) -> None:
        """Record that nothing was bought, and why."""
        await lease.reject(code)
        self._log_rejected(lease, code, details)

    def _log_rejected(self, lease: Lease, code: str, details: Mapping[str, object]) -> None:
        self._log.warning("rejected", submission_id=lease.submission_id, code=code, **details)

    async def _rejected(
        self, lease: Lease, code: str, details: Mapping[str, object], *, defer: bool = False
    ) -> SubmissionError:
        await (lease.defer(code) if defer else lease.reject(code))
        self._log_rejected(lease, code, details)
        return submission_error(code, details=details)

    async def _lost(self, lease: Lease, reason: str) -> SubmissionError:
        await lease.record_outcome(Event.ANSWER_LOST, reason=reason)
        self._log.error("answer_lost", submission_id=lease.submission_id, reason=reason)
        return submission_error("submit_unknown", details={"reason": reason})

    async def _unavailable(self, lease: Lease, policy: CallPolicy, retry_after_s: int) -> Exception:
        """End a purchase that got no slot, or did not reach Mavi: nothing was bought."""
        if policy.will_retry:
            return RetryLater("Mavi has no time for this now.", retry_after_s=retry_after_s)
        error = await self._rejected(lease, "provider_rate_limited", {}, defer=True)
        error.retry_after_s = retry_after_s
        return error

    async def _gave_up(self, lease: Lease, policy: CallPolicy, answer: SubmitAnswer) -> Exception:
        if isinstance(answer, RateLimited):
            return await self._unavailable(lease, policy, RETRY_AFTER_S)
        if isinstance(answer, NotSent) and policy.will_retry:
            return await self._unavailable(lease, policy, RETRY_AFTER_S)
        reason = answer.reason if isinstance(answer, NotSent) else "http_400"
        return await self._rejected(
            lease, Refusal.ERROR, {"reason": reason}, defer=not policy.will_retry
        )

    def _is_new(self, lease: Lease) -> bool:
        """Tell whether this pipeline uploaded the asset less than a day ago."""
        entry = lease.entry
        sent_at = entry.sent_at or self._clock()
        return entry.filename is not None and self._clock() - sent_at < PROCESSING_TIMEOUT

    async def _why_refused(
        self, asset_id: str, policy: CallPolicy
    ) -> tuple[str, dict[str, object]] | None:
        """Read in the asset's metadata why Mavi answered 400; None if the asset is no reason.

        Even here a 400 may be rate limiting, so only the same answer twice counts.
        """
        state: AssetState | None = None
        for _ in range(METADATA_ATTEMPTS):
            before = state
            try:
                state = await self._provider.asset_state(asset_id, policy.max_wait_s)
            except RateLimitTimeout:
                return None
            if state is AssetState.MISSING and before is AssetState.MISSING:
                return "asset_not_found", {"asset_id": asset_id}
            if state in (AssetState.WAITING, AssetState.UPLOADING, AssetState.FAILED):
                return "asset_not_ready", {"asset_id": asset_id, "upload_status": state}
            if state is AssetState.READY:
                return None
        return None


def _asked_pause_s(answer: SubmitAnswer) -> float:
    asked_s = answer.retry_after_s if isinstance(answer, RateLimited) else 0.0
    return min(asked_s, LONGEST_PAUSE_S)
