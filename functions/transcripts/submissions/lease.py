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
from transcripts.submissions.transitions import RENEW_EVERY, Event, Facts, LeaseLost
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
            self.submission_id, self.lease_id, event, Facts(asset_id)
        )

    async def record_outcome(
        self,
        event: Event,
        *,
        reason: str | None = None,
        task_id: str | None = None,
        within: timedelta = PERSIST_FOR,
    ) -> None:
        """Record what has happened, trying for ``within``; raises nothing.

        The entry is unchanged if the outcome could not be recorded, which is logged.
        """
        facts = Facts(reason=reason, task_id=task_id)
        try:
            self.entry = await self.ledger.record(
                self.submission_id, self.lease_id, event, facts, within=within
            )
        except LeaseLost:
            self._log.warning("lease_lost", submission_id=self.submission_id)
        except StoreUnavailable as error:
            self._log.error(
                "outcome_not_recorded", submission_id=self.submission_id, reason=error.log_text
            )

    async def release(self, within: timedelta = PERSIST_FOR) -> None:
        """Release the entry, so that another holder can continue at once; raises nothing."""
        await self.record_outcome(Event.RELEASED, within=within)

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
