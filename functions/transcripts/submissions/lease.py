"""The exclusive right to work on one entry of the ledger, and what its holder records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final, TypeVar

from transcripts.errors import StoreUnavailable
from transcripts.logs import Log
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.submission import Submission
from transcripts.submissions.transitions import RENEW_EVERY, Event, LeaseLost
from transcripts.tasks.task import Task

W = TypeVar("W")

PERSIST_FOR: Final = timedelta(minutes=3)
"""How long recording an outcome is retried; with the call before it, less than a lease lasts."""


class Lease:
    """One holder of one entry. ``entry`` is what the ledger last said, after each record."""

    def __init__(self, ledger: Ledger, entry: Submission, log: Log) -> None:
        self.ledger = ledger
        self._log = log
        self.submission_id = entry.submission_id
        self.lease_id = entry.lease_id
        self.entry = entry

    async def record_intent(self, event: Event, *, asset_id: str | None = None) -> None:
        """Record what happens next; if this raises, it must not happen.

        Raises ``LeaseLost``, ``DuplicateSubmission`` and ``StoreUnavailable``.
        """
        self.entry = await self.ledger.record(
            self.submission_id, self.lease_id, event, asset_id=asset_id
        )

    async def record_outcome(
        self, event: Event, *, reason: str | None = None, within: timedelta = PERSIST_FOR
    ) -> None:
        """Record what has happened, trying for ``within``; raises nothing.

        The entry is unchanged if the outcome could not be recorded, which is logged.
        """
        await self._keep(
            self.ledger.record(
                self.submission_id, self.lease_id, event, reason=reason, within=within
            )
        )

    async def release(self, within: timedelta = PERSIST_FOR) -> None:
        """Release the entry, so that another holder can continue at once; raises nothing."""
        await self.record_outcome(Event.RELEASED, within=within)

    async def reject(self, reason: str) -> None:
        """Record that nothing was bought, and uncount it from the spend cap; raises nothing."""
        await self.record_outcome(Event.REJECTED, reason=reason)

    async def defer(self, reason: str) -> None:
        """Do the same, but release a queued entry for its next run instead; raises nothing."""
        await self._keep(
            self.ledger.defer(self.submission_id, self.lease_id, reason, within=PERSIST_FOR)
        )

    async def restore_previous(self, task_id: str) -> None:
        """End a repetition because that previous task has its result; raises nothing."""
        await self._keep(
            self.ledger.restore_previous(
                self.submission_id, self.lease_id, task_id, within=PERSIST_FOR
            )
        )

    async def record_purchase(self, task: Task) -> None:
        """Record the job that was bought, even if the lease is lost by now.

        Raises ``StoreUnavailable`` after ``PERSIST_FOR``, and ``DocumentRefused``.
        """
        self.entry = await self.ledger.record_purchase(self.entry, task, within=PERSIST_FOR)

    async def extend_during(self, work: Awaitable[W]) -> W:
        """Return the result of ``work``, renewing the lease meanwhile.

        Raises ``LeaseLost`` as soon as the lease is lost, and cancels the work.
        """
        working = asyncio.ensure_future(work)
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if renewing.done():
                renewing.result()
            return await working
        finally:
            renewing.cancel()
            working.cancel()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY.total_seconds())
            try:
                await self.record_intent(Event.LEASE_RENEWED)
            except StoreUnavailable as error:
                # The lease outlasts several renewals.
                self._log.warning(
                    "lease_not_renewed", submission_id=self.submission_id, reason=error.log_text
                )

    async def _keep(self, recording: Awaitable[Submission]) -> None:
        try:
            self.entry = await recording
        except LeaseLost:
            self._log.warning("lease_lost", submission_id=self.submission_id)
        except StoreUnavailable as error:
            self._log.error(
                "outcome_not_recorded", submission_id=self.submission_id, reason=error.log_text
            )
