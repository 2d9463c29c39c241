"""Enqueueing purchases: uploaded objects, and objects and assets that callers name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from transcripts.errors import RequestError, TransientError
from transcripts.logs import Log, bind
from transcripts.ports import SubmitQueue
from transcripts.settings import ObjectLimits
from transcripts.submissions import claims
from transcripts.submissions.answers import EnqueueResult
from transcripts.submissions.ledger import DuplicateSubmission, Ledger
from transcripts.submissions.requests import SubmitAssets, SubmitObject
from transcripts.submissions.submission import submission_id_of_object
from transcripts.tasks.task import Source
from transcripts.uploads.rejections import KnownAsset, Media, RejectReason, classify
from transcripts.uploads.stored_object import StoredObject, labels_of, recording_id

CONCURRENCY: Final = 16
"""How many assets of one list are recorded at the same time."""


class Intake:
    """Records a purchase before it is enqueued, so that the sweep finds what was not enqueued."""

    def __init__(
        self,
        ledger: Ledger,
        queue: SubmitQueue,
        log: Log,
        *,
        clock: Callable[[], datetime],
        limits: ObjectLimits,
    ) -> None:
        self._ledger = ledger
        self._queue = queue
        self._log = log
        self._clock = clock
        self._limits = limits

    async def enqueue_upload(self, stored: StoredObject) -> None:
        """Handle an upload event: enqueue the object, recognize it, or record why it is rejected.

        Safe for repeated and reordered events. Raises ``StoreUnavailable`` and
        ``QueueUnavailable``.
        """
        media = classify(stored, self._limits)
        labels = labels_of(stored)
        bind(submission_id=submission_id_of_object(stored.uri, stored.generation))
        if isinstance(media, RejectReason):
            submission_id = submission_id_of_object(stored.uri, stored.generation)
            purchase = claims.PurchaseRequest(
                submission_id, self._clock(), labels=labels, source=_source(stored)
            )
            if await self._ledger.reject(purchase, media):
                # Logged once, however often the event is delivered.
                self._log.warning("upload_rejected", submission_id=submission_id, code=media)
            return
        purchase = await self._purchase_of_object(stored, media, labels, retry_rejected=False)
        submission_id, decision = await self._enqueue_once(purchase)
        if submission_id != purchase.submission_id:
            await self._ledger.reject(purchase, claims.DUPLICATE_RECORDING, submission_id)
        self._log.info(
            "upload_enqueued",
            submission_id=submission_id,
            generation=stored.generation,
            decision=type(decision).__name__.lower(),
        )

    async def enqueue_object(self, request: SubmitObject, stored: StoredObject) -> EnqueueResult:
        """Enqueue the object that a caller names; raises ``RequestError`` if it is rejected."""
        media = classify(stored, self._limits)
        if isinstance(media, RejectReason):
            raise RequestError(
                f"This object can't be transcribed: {media}.",
                code="object_refused",
                details={"reason": media, "max_object_bytes": self._limits.max_object_bytes},
            )
        labels = labels_of(stored) | request.labels
        purchase = await self._purchase_of_object(
            stored, media, labels, retry_rejected=True, force=request.force
        )
        result = EnqueueResult()
        _add(result, *await self._enqueue_once(purchase))
        return result

    async def enqueue_assets(self, request: SubmitAssets) -> EnqueueResult:
        """Enqueue the assets that a caller lists; raises ``TransientError`` if every one failed."""
        slots = asyncio.Semaphore(CONCURRENCY)

        async def enqueue(asset_id: str) -> tuple[str, claims.EnqueueDecision | TransientError]:
            async with slots:
                try:
                    purchase = claims.PurchaseRequest(
                        await self._ledger.submission_id_of(asset_id),
                        self._clock(),
                        asset_id=asset_id,
                        labels=request.labels,
                        force=request.force,
                    )
                    return purchase.submission_id, await self._enqueue(purchase)
                except TransientError as error:
                    return asset_id, error

        result, outages = EnqueueResult(), []
        for name, decision in await asyncio.gather(*map(enqueue, request.asset_ids)):
            if isinstance(decision, TransientError):
                outages.append(decision)
                result.failed.append(name)
            else:
                _add(result, name, decision)
        if len(outages) == len(request.asset_ids):
            raise outages[0]
        if outages:
            self._log.warning(
                "list_partly_enqueued", failed=len(outages), reason=outages[0].log_text
            )
        return result

    async def _enqueue_once(
        self, purchase: claims.PurchaseRequest
    ) -> tuple[str, claims.EnqueueDecision]:
        """Enqueue a purchase, or that of the same recording; returns its submission too."""
        while True:
            try:
                return purchase.submission_id, await self._enqueue(purchase)
            except DuplicateSubmission as duplicate:
                same = replace(purchase, submission_id=duplicate.submission_id)
                decision = await self._enqueue(same)
                if not isinstance(decision, claims.AlreadyRejected):
                    return same.submission_id, decision

    async def _enqueue(self, purchase: claims.PurchaseRequest) -> claims.EnqueueDecision:
        decision = await self._ledger.enqueue(purchase)
        if isinstance(decision, claims.Queued):
            queued = decision.submission
            await self._queue.enqueue(queued.queue_task_name, queued.submission_id)
        return decision

    async def _purchase_of_object(
        self,
        stored: StoredObject,
        media: Media | KnownAsset,
        labels: dict[str, str],
        *,
        retry_rejected: bool,
        force: bool = False,
    ) -> claims.PurchaseRequest:
        """Return the purchase of an object, or of the asset that its metadata name."""
        if isinstance(media, KnownAsset):
            submission_id = await self._ledger.submission_id_of(media.asset_id)
            asset_id, filename, recording = media.asset_id, None, None
        else:
            submission_id = submission_id_of_object(stored.uri, stored.generation)
            asset_id, filename = None, media.filename
            recording = recording_id(stored, any_name=self._limits.match_content)
        return claims.PurchaseRequest(
            submission_id,
            self._clock(),
            asset_id=asset_id,
            source=_source(stored),
            filename=filename,
            recording_id=recording,
            labels=labels,
            retry_rejected=retry_rejected,
            force=force,
        )


def _add(result: EnqueueResult, submission_id: str, decision: claims.EnqueueDecision) -> None:
    if not isinstance(decision, claims.PurchaseUnknown) and decision.submission.labels:
        result.labels[submission_id] = decision.submission.labels
    match decision:
        case claims.Queued():
            result.queued.append(submission_id)
        case claims.AlreadyBought():
            result.duplicates.append(submission_id)
        case claims.BoughtAndDeleted():
            result.deleted.append(submission_id)
        case claims.PurchaseUnknown() | claims.AlreadyRejected():
            result.unknown.append(submission_id)


def _source(stored: StoredObject) -> Source:
    return Source(stored.uri, stored.generation, stored.content_type, stored.size)
