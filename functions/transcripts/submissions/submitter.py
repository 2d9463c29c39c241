"""Requesting the transcript of an asset at Mavi: call until it accepts or rejects."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from transcripts.callbacks.kinds import Kind
from transcripts.errors import (
    DocumentRefused,
    RetryLater,
    StoreUnavailable,
    SubmissionError,
    TransientError,
)
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
)
from transcripts.mavi.client import MaviApi
from transcripts.mavi.rate_limit import RateLimitTimeout
from transcripts.ports import Announce
from transcripts.retention import expiry
from transcripts.retry import RetryPolicy
from transcripts.submissions.answers import Receipt
from transcripts.submissions.lease import Lease
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.transitions import PROCESSING_TIMEOUT, Event
from transcripts.tasks.task import Status, Task

CALLS: Final = RetryPolicy(first_pause_s=1.0, max_pause_s=32.0)
MAX_RETRIES: Final = 6
"""1, 2, 4, 8, 16 and 32 seconds, as the provider asks."""

METADATA_ATTEMPTS: Final = 3

BUSY_RETRY_AFTER_S: Final = 60
"""``Retry-After`` after the last attempt, if Mavi asks for no longer pause."""


class CallPolicy(msgspec.Struct, frozen=True):
    """How long a caller waits for a slot, in seconds, and whether it will run the entry again.

    A caller that does not gets an error instead of ``RetryLater``. Its failure must not reject an
    entry that is queued: the queue may still succeed, so such an entry is deferred.
    """

    max_wait_s: float
    will_retry: bool


class _NotBought(msgspec.Struct, frozen=True):
    """Why nothing was bought: the code and details of the error.

    ``retry_after_s`` is set if a later run may succeed. ``definite``: Mavi has refused this very
    request, so even a queued entry is rejected.
    """

    code: str
    details: dict[str, object] = {}
    retry_after_s: int | None = None
    definite: bool = False


class Submitter:
    """Makes the one request that costs money, and records what came of it.

    A task is kept for ``retention_days`` days, 0 for ever. ``announce`` is called for a task whose
    result came before its submission was recorded.
    """

    def __init__(
        self,
        provider: MaviApi,
        log: Log,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        retention_days: int = 0,
        announce: Announce | None = None,
    ) -> None:
        self._provider = provider
        self._log = log
        self._clock = clock
        self._sleep = sleep
        self._retention_days = retention_days
        self._announce = announce

    async def submit(self, lease: Lease, asset_id: str, policy: CallPolicy) -> Receipt:
        """Buy the transcript of an asset under a lease.

        Raises ``SubmissionError`` with one of its codes, ``RetryLater`` if the policy allows it,
        ``LeaseLost``, and ``StoreUnavailable`` if nothing was sent.
        """
        answer = await self._call(lease, asset_id, policy)
        match answer:
            case Accepted(task_id):
                return await self._record_purchase(lease, asset_id, task_id)
            case AnswerLost(reason):
                await lease.record_outcome(Event.ANSWER_LOST, reason=reason)
                self._log.error("answer_lost", submission_id=lease.submission_id, reason=reason)
                raise SubmissionError("submit_unknown", details={"reason": reason})
            case _NotBought(code, details, retry_after_s, definite):
                if policy.will_retry and retry_after_s is not None:
                    raise RetryLater("Mavi has no time for this now.", retry_after_s=retry_after_s)
                await self.reject(lease, code, defer=not (policy.will_retry or definite), **details)
                raise SubmissionError(code, details=details, retry_after_s=retry_after_s)

    async def reject(
        self, lease: Lease, code: str, *, defer: bool = False, **details: object
    ) -> None:
        """Record that nothing was bought, and why; with ``defer`` a queued entry is released."""
        await lease.record_outcome(Event.DEFERRED if defer else Event.REJECTED, reason=code)
        self._log.warning("rejected", submission_id=lease.submission_id, code=code, **details)

    async def announce_early(self, ledger: Ledger, task_id: str) -> None:
        """Tell of a result that came before its submission was recorded: it had no submission then.

        Raises nothing; a result that is not announced is logged.
        """
        if self._announce is None:
            return
        try:
            if await ledger.first_with_result([task_id]) is not None:
                await self._announce(task_id)
        except TransientError as error:
            self._log.error("result_not_announced", task_id=task_id, reason=error.message)

    async def _call(
        self, lease: Lease, asset_id: str, policy: CallPolicy
    ) -> Accepted | AnswerLost | _NotBought:
        """Request the transcript until Mavi accepts or refuses, or no retry is left."""
        pauses_s = CALLS.pauses_s()
        asset_checked = False
        for retries_left in range(MAX_RETRIES, -1, -1):
            try:
                answer = await self._provider.submit(
                    asset_id, policy.max_wait_s, partial(lease.record_intent, Event.CALL_STARTED)
                )
            except RateLimitTimeout as waiting:
                return _NotBought("provider_rate_limited", retry_after_s=math.ceil(waiting.wait_s))
            self._log.info(
                "mavi_answered",
                submission_id=lease.submission_id,
                asset_id=asset_id,
                answer=type(answer).__name__.lower(),
                retries_left=retries_left,
            )
            match answer:
                case Accepted() | AnswerLost():
                    return answer
                case Refused(refusal, http_status):
                    return _NotBought(refusal, {"http_status": http_status}, definite=True)
            await lease.record_outcome(Event.CALL_REFUSED)
            if isinstance(answer, Ambiguous) and not asset_checked:
                asset_checked = True
                asset_refusal = await self._asset_refusal(lease, asset_id, policy)
                if asset_refusal is not None:
                    return asset_refusal
            asked_s = answer.retry_after_s if isinstance(answer, RateLimited) else 0.0
            if not retries_left or asked_s > policy.max_wait_s:
                return _last_refusal(answer, policy)
            await self._sleep(max(next(pauses_s), asked_s))
        raise AssertionError("the loop ends by returning or raising")

    async def _record_purchase(self, lease: Lease, asset_id: str, task_id: str) -> Receipt:
        now = self._clock()
        entry = lease.entry
        task = Task(
            task_id=task_id,
            kind=Kind.MULTI_SPEAKER,
            status=Status.SUBMITTED,
            submission_id=entry.submission_id,
            asset_id=asset_id,
            source=entry.source,
            created_at=now,
            submitted_at=now,
            expires_at=expiry(now, self._retention_days),
        )
        try:
            await lease.record_purchase(task)
        except (StoreUnavailable, DocumentRefused) as error:
            self._log.error(
                "bought_but_not_recorded",
                submission_id=entry.submission_id,
                task_id=task_id,
                reason=error.log_text,
            )
            raise SubmissionError("submit_unknown", details={"task_id": task_id}) from error
        self._log.info("submitted", submission_id=entry.submission_id, task_id=task_id)
        await self.announce_early(lease.ledger, task_id)
        return Receipt(task_id, entry.submission_id, duplicate=False, labels=lease.entry.labels)

    async def _asset_refusal(
        self, lease: Lease, asset_id: str, policy: CallPolicy
    ) -> _NotBought | None:
        """Read in the asset's metadata why Mavi answered 400; None if the asset is no reason.

        Even here a 400 may be rate limiting, so only the same answer twice counts. That an asset is
        missing which this pipeline uploaded less than a day ago is most likely rate limiting too.
        """
        state: AssetState | None = None
        for _ in range(METADATA_ATTEMPTS):
            before = state
            try:
                state = await self._provider.asset_state(asset_id, policy.max_wait_s)
            except RateLimitTimeout:
                return None
            if state is AssetState.MISSING and before is AssetState.MISSING:
                entry = lease.entry
                sent_at = entry.sent_at or self._clock()
                is_new = self._clock() - sent_at < PROCESSING_TIMEOUT
                if policy.will_retry and entry.filename is not None and is_new:
                    return _NotBought("provider_rate_limited", retry_after_s=BUSY_RETRY_AFTER_S)
                return _NotBought("asset_not_found", {"asset_id": asset_id})
            if state in (AssetState.WAITING, AssetState.UPLOADING, AssetState.FAILED):
                return _NotBought("asset_not_ready", {"asset_id": asset_id, "upload_status": state})
            if state is AssetState.READY:
                return None
        return None


def _last_refusal(answer: RateLimited | NotSent | Ambiguous, policy: CallPolicy) -> _NotBought:
    """Return why nothing was bought in the last of all attempts."""
    match answer:
        case RateLimited(asked_s):
            retry_after_s = max(math.ceil(asked_s), BUSY_RETRY_AFTER_S)
            return _NotBought("provider_rate_limited", retry_after_s=retry_after_s)
        case NotSent(reason):
            later_s = BUSY_RETRY_AFTER_S if policy.will_retry else None
            return _NotBought(Refusal.ERROR, {"reason": reason}, later_s)
        case Ambiguous():
            return _NotBought(Refusal.ERROR, {"reason": "http_400"})
