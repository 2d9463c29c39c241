"""Buys transcripts: at once for a waiting caller, or from the queue after the upload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from msgspec.structs import replace

from transcripts.errors import (
    ObjectNotFound,
    ObjectUnavailable,
    RetryLater,
    SubmissionError,
    TransientError,
)
from transcripts.logs import Log, bind
from transcripts.submissions import claims
from transcripts.submissions.answers import Receipt, RunResult
from transcripts.submissions.lease import Lease
from transcripts.submissions.ledger import DuplicateSubmission, Ledger
from transcripts.submissions.requests import SubmitAsset
from transcripts.submissions.submission import State
from transcripts.submissions.submitter import CallPolicy, Submitter
from transcripts.submissions.transitions import Event, LeaseLost
from transcripts.submissions.uploader import MAX_WAIT_S, Uploader, UploadFailed

R = TypeVar("R")
K = TypeVar("K")

DIRECT: Final = CallPolicy(max_wait_s=60.0, will_retry=False)
FROM_QUEUE: Final = CallPolicy(max_wait_s=MAX_WAIT_S, will_retry=True)

RUN_FOR: Final = timedelta(minutes=25)
"""The queue waits half an hour for an answer."""

RELEASE_WITHIN: Final = timedelta(seconds=5)
"""How long a caller that gets an error may wait until the lease is released."""

STORAGE_RETRY_AFTER_S: Final = 60
"""``Retry-After`` for Cloud Tasks if Cloud Storage fails: a 503 would slow down the whole queue."""


class SubmissionService:
    """Buys transcripts; identical requests that come together share one purchase."""

    def __init__(
        self,
        ledger: Ledger,
        submitter: Submitter,
        uploader: Uploader,
        log: Log,
        *,
        clock: Callable[[], datetime],
        new_lease_id: Callable[[], str],
        cap_per_day: int = 0,
    ) -> None:
        self._ledger = ledger
        self._submitter = submitter
        self._uploader = uploader
        self._log = log
        self._clock = clock
        self._new_lease_id = new_lease_id
        self._cap_per_day = cap_per_day
        self._submitting: dict[tuple[str, bool], asyncio.Task[Receipt]] = {}
        self._running: dict[str, asyncio.Task[RunResult]] = {}

    async def submit(self, request: SubmitAsset) -> Receipt:
        """Buy the transcript of an asset now, or return the task that was bought before.

        Raises ``SubmissionError`` with one of its codes, and ``StoreUnavailable`` if nothing was
        sent. A caller that closes the connection does not stop the purchase.
        """
        submission_id = await self._ledger.submission_id_of(request.asset_id)
        bind(submission_id=submission_id)
        key = (submission_id, request.force)
        follows = key in self._submitting
        receipt = await self._shared(
            self._submitting, key, lambda: self._submit(submission_id, request)
        )
        if follows and not request.labels.items() <= receipt.labels.items():
            # The request that it follows has other labels; now its own ones are added.
            receipt = await self._submit(submission_id, replace(request, force=False))
        return replace(receipt, duplicate=receipt.duplicate or follows)

    async def run(self, submission_id: str) -> RunResult:
        """Work on an entry of the ledger to its end: upload, wait, submit.

        Raises a ``TransientError`` if the caller has to run it again; the steps done so far are
        recorded.
        """
        bind(submission_id=submission_id)
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

    async def _submit(self, submission_id: str, request: SubmitAsset) -> Receipt:
        decision = await self._ledger.claim(
            claims.PurchaseRequest(
                submission_id,
                self._clock(),
                self._new_lease_id(),
                asset_id=request.asset_id,
                labels=request.labels,
                force=request.force,
                cap_per_day=self._cap_per_day,
            )
        )
        match decision:
            case claims.AlreadyBought(submission):
                return Receipt(
                    submission.task_id or "",
                    submission_id,
                    duplicate=True,
                    labels=submission.labels,
                )
            case claims.LeaseGranted(submission):
                return await self._call(Lease(self._ledger, submission, self._log), request)
            case claims.BoughtAndDeleted():
                raise SubmissionError("transcript_deleted")
            case claims.InProgress(retry_after_s):
                raise SubmissionError("submission_in_progress", retry_after_s=retry_after_s)
            case claims.PurchaseUnknown(reason):
                raise SubmissionError("submit_unknown", status=409, details={"reason": reason})
            case claims.OverSpendCap(retry_after_s):
                raise SubmissionError("budget_exhausted", retry_after_s=retry_after_s)
            case claims.NotFound() | claims.AlreadyRejected():
                raise AssertionError("a request names its asset and retries what was rejected")

    async def _call(self, lease: Lease, request: SubmitAsset) -> Receipt:
        try:
            known = await self._find_late_result(lease)
            if known is not None:
                return Receipt(
                    known, lease.submission_id, duplicate=True, labels=lease.entry.labels
                )
            return await self._submitter.submit(lease, request.asset_id, DIRECT)
        except DuplicateSubmission as duplicate:
            # An upload got this asset id meanwhile: its submission buys the asset.
            await self._submitter.reject(
                lease, claims.DUPLICATE_ASSET, other=duplicate.submission_id
            )
            return await self._submit(duplicate.submission_id, request)
        except LeaseLost as error:
            raise SubmissionError(
                "submission_in_progress", retry_after_s=claims.LEASED_RETRY_AFTER_S
            ) from error
        except TransientError:
            # Nothing was sent. If the store is down, the lease is not released but expires.
            await lease.release(within=RELEASE_WITHIN)
            raise

    async def _run(self, submission_id: str) -> RunResult:
        decision = await self._ledger.claim(
            claims.PurchaseRequest(
                submission_id,
                self._clock(),
                self._new_lease_id(),
                retry_rejected=False,
                cap_per_day=self._cap_per_day,
            )
        )
        match decision:
            case claims.LeaseGranted(submission):
                return await self._work(Lease(self._ledger, submission, self._log))
            case claims.AlreadyBought(submission):
                # The run before this one may have died before it told of an early result.
                await self._submitter.announce_early(self._ledger, submission.task_id or "")
                return RunResult.of(submission)
            case claims.BoughtAndDeleted(submission) | claims.AlreadyRejected(submission):
                return RunResult.of(submission)
            case claims.PurchaseUnknown(reason):
                return RunResult(submission_id, State.SUBMIT_UNKNOWN, reason=reason)
            case claims.NotFound():
                self._log.warning("not_on_record", submission_id=submission_id)
                return RunResult(submission_id, State.REJECTED, reason="not_on_record")
            case claims.InProgress(retry_after_s):
                raise RetryLater("Another instance holds the lease.", retry_after_s=retry_after_s)
            case claims.OverSpendCap(_, state):
                # The sweep enqueues it again after midnight: a retried task would block others.
                self._log.warning("budget_exhausted", submission_id=submission_id)
                return RunResult(submission_id, state, reason="budget_exhausted")

    async def _work(self, lease: Lease) -> RunResult:
        """Upload the object if there is one, then submit its asset, under a lease."""
        try:
            if await self._find_late_result(lease) is None:
                asset_id = await self._asset(lease)
                await self._submitter.submit(lease, asset_id, FROM_QUEUE)
        except DuplicateSubmission as duplicate:
            # Mavi returned an asset id that another submission has: that one buys it.
            await self._submitter.reject(
                lease, claims.DUPLICATE_ASSET, other=duplicate.submission_id
            )
            return RunResult.of(lease.entry, claims.DUPLICATE_ASSET)
        except (UploadFailed, ObjectNotFound) as error:
            await self._submitter.reject(lease, error.code)
            return RunResult.of(lease.entry, error.code)
        except SubmissionError as error:
            return RunResult.of(lease.entry, error.code)
        except LeaseLost as error:
            raise RetryLater("Another instance took over.") from error
        except ObjectUnavailable as error:
            await lease.release()
            raise RetryLater(error.message, retry_after_s=STORAGE_RETRY_AFTER_S) from error
        except TransientError:
            await lease.release()
            raise
        return RunResult.of(lease.entry)

    async def _find_late_result(self, lease: Lease) -> str | None:
        """Return the previous task whose late result makes this repetition unnecessary."""
        if lease.entry.replaces_task_id is None:
            return None
        task_id = await self._ledger.first_with_result(lease.entry.task_ids)
        if task_id is not None:
            await lease.record_outcome(Event.LATE_RESULT_FOUND, task_id=task_id)
        return task_id

    async def _asset(self, lease: Lease) -> str:
        entry = lease.entry
        if entry.filename is not None:
            return await self._uploader.ensure_uploaded(lease, self._clock() + RUN_FOR)
        if entry.asset_id is None:
            raise UploadFailed("no_source")
        return entry.asset_id


def _finished(under_way: dict[K, asyncio.Task[R]], key: K, task: asyncio.Task[R]) -> None:
    del under_way[key]
    if not task.cancelled():
        # Every caller may have closed its connection; then nothing else retrieves the error.
        task.exception()
