"""What comes in to be queued: events of uploads, objects and lists that callers name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from transcripts.errors import RequestError, TransientError
from transcripts.logs import Log
from transcripts.ports import SubmitQueue
from transcripts.submissions import claims
from transcripts.submissions.claims import (
    AlreadyBought,
    AlreadyRejected,
    Change,
    PurchaseRequest,
    PurchaseUnknown,
    Queued,
    RequestDecision,
)
from transcripts.submissions.requests import SubmitAssets, SubmitObject
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.submission import SpendCounter, Submission, submission_id_of_object
from transcripts.tasks.task import Source
from transcripts.uploads.media import KnownAsset, Media, RejectReason, classify, labels_of
from transcripts.uploads.stored_object import StoredObject

CONCURRENCY: Final = 16
"""Assets of one list that are recorded and queued at the same time."""


@dataclass
class EnqueueResult:
    """What became of a list: ids of submissions, by what was decided.

    ``failed`` are ids of assets for which it did not work this time: just these may be asked for
    again. With ``force`` the whole list, asked for again, would buy the others once more.
    """

    queued: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, submission_id: str, decision: RequestDecision) -> None:
        """Sort one in."""
        match decision:
            case Queued():
                self.queued.append(submission_id)
            case AlreadyBought():
                self.duplicates.append(submission_id)
            case PurchaseUnknown() | AlreadyRejected():
                self.unknown.append(submission_id)


class Intake:
    """Records what is wanted, then queues it; in this order, so that the sweep finds the rest."""

    def __init__(
        self,
        store: SubmissionStore,
        queue: SubmitQueue,
        log: Log,
        *,
        clock: Callable[[], datetime],
        max_object_bytes: int,
    ) -> None:
        """Take the ledger, the queue, and the size in bytes of the largest object result."""
        self._store = store
        self._queue = queue
        self._log = log
        self._clock = clock
        self._max_object_bytes = max_object_bytes

    async def enqueue_upload(self, stored: StoredObject) -> None:
        """Take an upload event: queue it, know it, or refuse it for a recorded reason.

        Safe for any number of deliveries, in any order. Raises ``StoreUnavailable`` and
        ``QueueUnavailable``.
        """
        verdict = classify(stored, self._max_object_bytes)
        labels = labels_of(stored)
        if isinstance(verdict, RejectReason):
            await self._refuse(stored, labels, verdict)
            return
        request = await self._object_request(stored, verdict, labels, retry_rejected=False)
        decision = await self._request(request)
        self._log.info(
            "upload_enqueued",
            submission_id=request.submission_id,
            generation=stored.generation,
            decision=type(decision).__name__.lower(),
        )

    async def enqueue_object(self, order: SubmitObject, stored: StoredObject) -> EnqueueResult:
        """Queue the object that a caller names; raises ``RequestError`` for what is not result."""
        verdict = classify(stored, self._max_object_bytes)
        if isinstance(verdict, RejectReason):
            raise RequestError(
                "The object is not result; the reason is in details.",
                code="object_refused",
                details={"reason": verdict, "max_object_bytes": self._max_object_bytes},
            )
        labels = labels_of(stored) | order.labels
        request = await self._object_request(
            stored, verdict, labels, retry_rejected=True, force=order.force
        )
        result = EnqueueResult()
        result.add(request.submission_id, await self._request(request))
        return result

    async def enqueue_assets(self, order: SubmitAssets) -> EnqueueResult:
        """Queue assets that a caller lists; raises ``TransientError`` if it worked for none."""
        slots = asyncio.Semaphore(CONCURRENCY)

        async def take(asset_id: str) -> tuple[str, RequestDecision | TransientError]:
            async with slots:
                try:
                    request = await self._asset_request(asset_id, order.labels, force=order.force)
                    return request.submission_id, await self._request(request)
                except TransientError as error:
                    return asset_id, error

        result, outages = EnqueueResult(), []
        for name, decision in await asyncio.gather(*map(take, order.asset_ids)):
            if isinstance(decision, TransientError):
                outages.append(decision)
                result.failed.append(name)
            else:
                result.add(name, decision)
        if len(outages) == len(order.asset_ids):
            raise outages[0]
        if outages:
            self._log.warning(
                "list_partly_enqueued", failed=len(outages), reason=outages[0].message
            )
        return result

    async def _request(self, request: PurchaseRequest) -> RequestDecision:
        def decide(current: Submission | None, _: SpendCounter | None) -> Change[RequestDecision]:
            return claims.enqueue(current, request)

        decision = await self._store.change(request.submission_id, decide)
        if isinstance(decision, Queued):
            queued = decision.submission
            await self._queue.enqueue(queued.queue_task_name, queued.submission_id)
        return decision

    async def _refuse(
        self, stored: StoredObject, labels: dict[str, str], reason: RejectReason
    ) -> None:
        """Put on record that an object will not be bought; said once, however often it comes."""
        submission_id = submission_id_of_object(stored.uri, stored.generation)
        request = self._purchase_request(submission_id, labels, source=_source(stored))

        def decide(current: Submission | None, _: SpendCounter | None) -> Change[bool]:
            return claims.refuse(current, request, reason)

        if await self._store.change(submission_id, decide):
            self._log.warning("upload_refused", submission_id=submission_id, reason=reason)

    async def _object_request(
        self,
        stored: StoredObject,
        verdict: Media | KnownAsset,
        labels: dict[str, str],
        *,
        retry_rejected: bool,
        force: bool = False,
    ) -> PurchaseRequest:
        """PurchaseRequest for an object, or for the asset that it stands for."""
        if isinstance(verdict, KnownAsset):
            submission_id = await self._store.submission_id_of(verdict.asset_id)
            asset_id, filename = verdict.asset_id, None
        else:
            submission_id = submission_id_of_object(stored.uri, stored.generation)
            asset_id, filename = None, verdict.filename
        return self._purchase_request(
            submission_id,
            labels,
            asset_id=asset_id,
            source=_source(stored),
            filename=filename,
            retry_rejected=retry_rejected,
            force=force,
        )

    async def _asset_request(
        self, asset_id: str, labels: dict[str, str], *, force: bool
    ) -> PurchaseRequest:
        submission_id = await self._store.submission_id_of(asset_id)
        return self._purchase_request(submission_id, labels, asset_id=asset_id, force=force)

    def _purchase_request(
        self,
        submission_id: str,
        labels: dict[str, str],
        *,
        asset_id: str | None = None,
        source: Source | None = None,
        filename: str | None = None,
        retry_rejected: bool = True,
        force: bool = False,
    ) -> PurchaseRequest:
        return PurchaseRequest(
            submission_id=submission_id,
            lease_id="",
            now=self._clock(),
            asset_id=asset_id,
            source=source,
            filename=filename,
            labels=labels,
            retry_rejected=retry_rejected,
            force=force,
        )


def _source(stored: StoredObject) -> Source:
    return Source(stored.uri, stored.generation, stored.content_type, stored.size)
