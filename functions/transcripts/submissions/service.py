"""Buying: right now for whoever waits, or from the queue, object and all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from transcripts.errors import (
    ObjectNotFound,
    ObjectUnavailable,
    RetryLater,
    SubmissionError,
    TransientError,
)
from transcripts.logs import Log
from transcripts.submissions import claims, transitions
from transcripts.submissions.claims import (
    AlreadyBought,
    AlreadyRejected,
    Change,
    ClaimDecision,
    InProgress,
    LeaseGranted,
    NotFound,
    OverSpendCap,
    PurchaseRequest,
    PurchaseUnknown,
)
from transcripts.submissions.lease import Lease
from transcripts.submissions.requests import SubmitAsset
from transcripts.submissions.store import DuplicateAsset, SubmissionStore
from transcripts.submissions.submission import SpendCounter, State, Submission
from transcripts.submissions.submitter import CallPolicy, Receipt, Submitter, submission_error
from transcripts.submissions.transitions import LeaseLost
from transcripts.submissions.uploader import Uploader, UploadFailed

R = TypeVar("R")
K = TypeVar("K")

DIRECT: Final = CallPolicy(max_wait_s=60.0, will_retry=False)
FROM_QUEUE: Final = CallPolicy(max_wait_s=120.0, will_retry=True)

RUN_FOR: Final = timedelta(minutes=25)
"""The queue waits half an hour for an answer."""

RETRY_AFTER_S: Final = 60
"""What the queue is told when the storage is in trouble: by 503 it would slow down altogether."""


@dataclass(frozen=True)
class RunResult:
    """How a run from the queue ended, with nothing left for the queue to do.

    The state, and the task or the reason.
    """

    submission_id: str
    state: State
    task_id: str | None = None
    reason: str | None = None


class SubmissionService:
    """Buys transcripts; identical requests that come together share one purchase."""

    def __init__(
        self,
        store: SubmissionStore,
        submitter: Submitter,
        uploader: Uploader,
        log: Log,
        *,
        clock: Callable[[], datetime],
        new_lease_id: Callable[[], str],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        cap_per_day: int = 0,
    ) -> None:
        """Take the ledger, who buys and who uploads, and what time and chance are."""
        self._store = store
        self._submitter = submitter
        self._uploader = uploader
        self._log = log
        self._clock = clock
        self._new_lease_id = new_lease_id
        self._sleep = sleep
        self._cap_per_day = cap_per_day
        self._submitting: dict[tuple[str, bool], asyncio.Task[Receipt]] = {}
        self._running: dict[str, asyncio.Task[RunResult]] = {}
        self._releasing: set[asyncio.Task[None]] = set()

    async def submit(self, order: SubmitAsset) -> Receipt:
        """Buy an asset now, or find out that it is bought.

        Raises ``SubmissionError`` with one of its codes, and ``StoreUnavailable`` if nothing was
        begun. A caller that hangs up does not stop a purchase that was begun.
        """
        submission_id = await self._store.submission_id_of(order.asset_id)
        key = (submission_id, order.force)
        follows = key in self._submitting
        receipt = await self._shared(
            self._submitting, key, lambda: self._submit(submission_id, order)
        )
        return replace(receipt, duplicate=receipt.duplicate or follows)

    async def run(self, submission_id: str) -> RunResult:
        """Bring what is on record to its end: upload, wait, buy.

        Raises a ``TransientError`` if it has to be asked for again; what is done by then is
        recorded.
        """
        return await self._shared(self._running, submission_id, lambda: self._run(submission_id))

    async def _shared(
        self,
        under_way: dict[K, asyncio.Task[R]],
        key: K,
        work: Callable[[], Coroutine[None, None, R]],
    ) -> R:
        task = under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(work())
            under_way[key] = task
            task.add_done_callback(partial(_finished, under_way, key))
        return await asyncio.shield(task)

    async def _submit(self, submission_id: str, order: SubmitAsset) -> Receipt:
        decision = await self._claim(
            self._purchase_request(
                submission_id, asset_id=order.asset_id, labels=order.labels, force=order.force
            )
        )
        match decision:
            case AlreadyBought(submission):
                return Receipt(submission.task_id or "", submission_id, duplicate=True)
            case LeaseGranted(submission):
                return await self._call(self._recording(submission), order)
            case InProgress(retry_after_s):
                raise _in_progress(retry_after_s)
            case PurchaseUnknown(reason):
                raise submission_error("submit_unknown", status=409, details={"reason": reason})
            case OverSpendCap(retry_after_s):
                raise submission_error("budget_exhausted", retry_after_s=retry_after_s)
            case NotFound() | AlreadyRejected():
                raise AssertionError("an order names its asset, and asks again what was rejected")

    async def _call(self, lease: Lease, order: SubmitAsset) -> Receipt:
        try:
            known = await self._find_late_result(lease)
            if known is not None:
                return Receipt(known, lease.submission_id, duplicate=True)
            return await self._submitter.submit(lease, order.asset_id, DIRECT)
        except DuplicateAsset as taken:
            # Somebody has brought this very asset to Mavi meanwhile, and buys it over there.
            await self._reject_duplicate(lease, taken)
            return await self._submit(taken.submission_id, order)
        except LeaseLost as error:
            raise _in_progress(claims.RETRY_AFTER_S) from error
        except TransientError:
            # Nothing was sent. The caller need not wait until that is on record.
            releasing = asyncio.ensure_future(lease.release())
            self._releasing.add(releasing)
            releasing.add_done_callback(self._releasing.discard)
            raise

    async def _run(self, submission_id: str) -> RunResult:
        decision = await self._claim(self._purchase_request(submission_id, retry_rejected=False))
        match decision:
            case LeaseGranted(submission):
                return await self._work(self._recording(submission))
            case AlreadyBought(submission):
                return RunResult(submission_id, State.SUBMITTED, task_id=submission.task_id)
            case AlreadyRejected(submission):
                return RunResult(submission_id, State.REJECTED, reason=submission.reason)
            case PurchaseUnknown(reason):
                return RunResult(submission_id, State.SUBMIT_UNKNOWN, reason=reason)
            case NotFound():
                self._log.warning("not_on_record", submission_id=submission_id)
                return RunResult(submission_id, State.REJECTED, reason="not_on_record")
            case InProgress(retry_after_s):
                raise RetryLater("Another instance is at it.", retry_after_s=retry_after_s)
            case OverSpendCap(_, state):
                # The sweep queues it retry_rejected: a task that came again all day would be in the way.
                self._log.warning("budget_exhausted", submission_id=submission_id)
                return RunResult(submission_id, state, reason="budget_exhausted")

    async def _work(self, lease: Lease) -> RunResult:
        """Upload if need be, then buy, in the name of a claim."""
        submission_id = lease.submission_id
        try:
            known = await self._find_late_result(lease)
            if known is not None:
                return RunResult(submission_id, State.SUBMITTED, task_id=known)
            asset_id = await self._asset(lease)
            receipt = await self._submitter.submit(lease, asset_id, FROM_QUEUE)
        except DuplicateAsset as taken:
            # Mavi gave an id that it had given before: it is bought, or will be, over there.
            return await self._reject_duplicate(lease, taken)
        except (UploadFailed, ObjectNotFound) as error:
            code = error.code
            await self._submitter.reject(lease, code)
            return RunResult(submission_id, State.REJECTED, reason=code)
        except SubmissionError as error:
            state = State.SUBMIT_UNKNOWN if error.code == "submit_unknown" else State.REJECTED
            return RunResult(submission_id, state, reason=error.code)
        except LeaseLost as error:
            raise RetryLater("Another instance took over.") from error
        except ObjectUnavailable as error:
            await lease.release()
            raise RetryLater(error.message, retry_after_s=RETRY_AFTER_S) from error
        except TransientError:
            await lease.release()
            raise
        return RunResult(submission_id, State.SUBMITTED, task_id=receipt.task_id)

    async def _find_late_result(self, lease: Lease) -> str | None:
        """Return an earlier task if this is to replace an overdue one, and a result has come."""
        claimed = lease.entry
        if claimed.replaces_task_id is None:
            return None
        previous = [
            attempt.task_id for attempt in claimed.previous_attempts if attempt.task_id is not None
        ]
        task_id = await self._store.first_with_result(previous)
        if task_id is not None:
            known = task_id

            def step(current: Submission | None, lease_id: str, now: datetime) -> Submission:
                return transitions.restore_previous(current, lease_id, now, known)

            await lease.record_outcome(step, uncount=True)
        return task_id

    async def _reject_duplicate(self, lease: Lease, taken: DuplicateAsset) -> RunResult:
        await self._submitter.reject(lease, "duplicate_asset", other=taken.submission_id)
        return RunResult(lease.submission_id, State.REJECTED, reason="duplicate_asset")

    async def _asset(self, lease: Lease) -> str:
        submission = lease.entry
        if submission.filename is not None:
            return await self._uploader.ensure_uploaded(lease, FROM_QUEUE, self._clock() + RUN_FOR)
        if submission.asset_id is None:
            raise UploadFailed("no_source")
        return submission.asset_id

    async def _claim(self, request: PurchaseRequest) -> ClaimDecision:
        def decide(
            current: Submission | None, counter: SpendCounter | None
        ) -> Change[ClaimDecision]:
            return claims.claim(current, counter, request)

        day = request.day if request.cap_per_day else None
        return await self._store.change(request.submission_id, decide, spend_day=day)

    def _purchase_request(
        self,
        submission_id: str,
        *,
        asset_id: str | None = None,
        labels: dict[str, str] | None = None,
        force: bool = False,
        retry_rejected: bool = True,
    ) -> PurchaseRequest:
        return PurchaseRequest(
            submission_id=submission_id,
            lease_id=self._new_lease_id(),
            now=self._clock(),
            asset_id=asset_id,
            labels=labels,
            force=force,
            retry_rejected=retry_rejected,
            cap_per_day=self._cap_per_day,
        )

    def _recording(self, claimed: Submission) -> Lease:
        return Lease(self._store, claimed, self._log, self._clock, self._sleep)


def _finished(under_way: dict[K, asyncio.Task[R]], key: K, task: asyncio.Task[R]) -> None:
    del under_way[key]
    if not task.cancelled():
        # Whoever asked may have hung up; then nobody else fetches the error.
        task.exception()


def _in_progress(retry_after_s: int) -> SubmissionError:
    return submission_error("submission_in_progress", retry_after_s=retry_after_s)
