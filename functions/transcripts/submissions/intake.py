"""What comes in to be queued: events of uploads, objects and lists that callers name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from transcripts.errors import RequestError, TransientError
from transcripts.logs import Log
from transcripts.objects.media import KnownAsset, Media, Reason, judge, labels_of
from transcripts.objects.stored_object import StoredObject
from transcripts.ports import SubmitQueue
from transcripts.submissions import ledger
from transcripts.submissions.ledger import (
    AlreadyBought,
    AlreadyRejected,
    Change,
    MaybeBought,
    Queued,
    RequestDecision,
    Wish,
)
from transcripts.submissions.orders import AssetsOrder, ObjectOrder
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.submission import Budget, Submission, submission_id_of_object
from transcripts.tasks.task import Source

AT_ONCE: Final = 16
"""Assets of one list that are recorded and queued at the same time."""


@dataclass
class Taken:
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
            case MaybeBought() | AlreadyRejected():
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
        """Take the ledger, the queue, and the size in bytes of the largest object taken."""
        self._store = store
        self._queue = queue
        self._log = log
        self._clock = clock
        self._max_object_bytes = max_object_bytes

    async def uploaded(self, stored: StoredObject) -> None:
        """Take an upload event: queue it, know it, or refuse it for a recorded reason.

        Safe for any number of deliveries, in any order. Raises ``StoreUnavailable`` and
        ``QueueUnavailable``.
        """
        verdict = judge(stored, self._max_object_bytes)
        labels = labels_of(stored)
        if isinstance(verdict, Reason):
            await self._refuse(stored, labels, verdict)
            return
        wish = await self._object_wish(stored, verdict, labels, again=False)
        decision = await self._request(wish)
        self._log.info(
            "upload_taken",
            submission_id=wish.submission_id,
            generation=stored.generation,
            decision=type(decision).__name__.lower(),
        )

    async def take_object(self, order: ObjectOrder, stored: StoredObject) -> Taken:
        """Queue the object that a caller names; raises ``RequestError`` for what is not taken."""
        verdict = judge(stored, self._max_object_bytes)
        if isinstance(verdict, Reason):
            raise RequestError(
                "The object is not taken; the reason is in details.",
                code="object_refused",
                details={"reason": verdict, "max_object_bytes": self._max_object_bytes},
            )
        labels = labels_of(stored) | order.labels
        wish = await self._object_wish(stored, verdict, labels, again=True, force=order.force)
        taken = Taken()
        taken.add(wish.submission_id, await self._request(wish))
        return taken

    async def take_assets(self, order: AssetsOrder) -> Taken:
        """Queue assets that a caller lists; raises ``TransientError`` if it worked for none."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def take(asset_id: str) -> tuple[str, RequestDecision | TransientError]:
            async with slots:
                try:
                    wish = await self._asset_wish(asset_id, order.labels, force=order.force)
                    return wish.submission_id, await self._request(wish)
                except TransientError as error:
                    return asset_id, error

        taken, outages = Taken(), []
        for name, decision in await asyncio.gather(*map(take, order.asset_ids)):
            if isinstance(decision, TransientError):
                outages.append(decision)
                taken.failed.append(name)
            else:
                taken.add(name, decision)
        if len(outages) == len(order.asset_ids):
            raise outages[0]
        if outages:
            self._log.warning("list_taken_in_part", failed=len(outages), reason=outages[0].message)
        return taken

    async def _request(self, wish: Wish) -> RequestDecision:
        def decide(current: Submission | None, _: Budget | None) -> Change[RequestDecision]:
            return ledger.request(current, wish)

        decision = await self._store.change(wish.submission_id, decide)
        if isinstance(decision, Queued):
            queued = decision.submission
            await self._queue.enqueue(queued.queue_name, queued.submission_id)
        return decision

    async def _refuse(self, stored: StoredObject, labels: dict[str, str], reason: Reason) -> None:
        """Put on record that an object will not be bought; said once, however often it comes."""
        submission_id = submission_id_of_object(stored.uri, stored.generation)
        wish = self._wish(submission_id, labels, source=_source(stored))

        def decide(current: Submission | None, _: Budget | None) -> Change[bool]:
            return ledger.refuse(current, wish, reason)

        if await self._store.change(submission_id, decide):
            self._log.warning("upload_refused", submission_id=submission_id, reason=reason)

    async def _object_wish(
        self,
        stored: StoredObject,
        verdict: Media | KnownAsset,
        labels: dict[str, str],
        *,
        again: bool,
        force: bool = False,
    ) -> Wish:
        """Wish for an object, or for the asset that it stands for."""
        if isinstance(verdict, KnownAsset):
            submission_id = await self._store.submission_id_of(verdict.asset_id)
            asset_id, filename = verdict.asset_id, None
        else:
            submission_id = submission_id_of_object(stored.uri, stored.generation)
            asset_id, filename = None, verdict.filename
        return self._wish(
            submission_id,
            labels,
            asset_id=asset_id,
            source=_source(stored),
            filename=filename,
            again=again,
            force=force,
        )

    async def _asset_wish(self, asset_id: str, labels: dict[str, str], *, force: bool) -> Wish:
        submission_id = await self._store.submission_id_of(asset_id)
        return self._wish(submission_id, labels, asset_id=asset_id, force=force)

    def _wish(
        self,
        submission_id: str,
        labels: dict[str, str],
        *,
        asset_id: str | None = None,
        source: Source | None = None,
        filename: str | None = None,
        again: bool = True,
        force: bool = False,
    ) -> Wish:
        return Wish(
            submission_id=submission_id,
            claim_id="",
            now=self._clock(),
            asset_id=asset_id,
            source=source,
            filename=filename,
            labels=labels,
            again=again,
            force=force,
        )


def _source(stored: StoredObject) -> Source:
    return Source(stored.uri, stored.generation, stored.content_type, stored.size)
