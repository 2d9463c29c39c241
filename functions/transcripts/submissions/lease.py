"""Lease what the holder of a claim does: steps before an effect, and outcomes after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from transcripts.errors import StoreUnavailable
from transcripts.logs import Log
from transcripts.submissions import claims, transitions
from transcripts.submissions.claims import Change
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.submission import SpendCounter, Submission
from transcripts.submissions.transitions import RENEW_EVERY, LeaseLost
from transcripts.tasks.task import Task

W = TypeVar("W")

PERSIST_FOR: Final = timedelta(minutes=3)
"""How long an outcome is tried to be recorded: with the call before it, less than the lease."""

PAUSE_S: Final = 1.0

Step = Callable[[Submission | None, str, datetime], Submission]


class Lease:
    """What one holder writes about one claim."""

    def __init__(
        self,
        store: SubmissionStore,
        claimed: Submission,
        log: Log,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        """Take the ledger and the entry as it was when it was claimed."""
        self._store = store
        self._log = log
        self._clock = clock
        self._sleep = sleep
        self.entry = claimed

    @property
    def submission_id(self) -> str:
        """The entry's id."""
        return self.entry.submission_id

    async def record_intent(self, step: Step) -> None:
        """Record what will be done next; without it on record, it must not be done.

        Raises ``LeaseLost``, ``DuplicateAsset`` and ``StoreUnavailable``.
        """
        lease_id = self.entry.lease_id

        def decide(current: Submission | None, _: SpendCounter | None) -> Change[None]:
            return Change(None, step(current, lease_id, self._clock()))

        await self._store.change(self.submission_id, decide)

    async def record_outcome(self, step: Step, *, uncount: bool = False) -> None:
        """Record what came of it, insisting: what is not recorded, nobody knows of.

        What can't be recorded is logged. Nothing is raised: the outcome stands either way.
        """
        lease_id = self.entry.lease_id
        day = self.entry.spend_day if uncount else None

        def decide(current: Submission | None, counter: SpendCounter | None) -> Change[None]:
            changed = step(current, lease_id, self._clock())
            freed = current is not None and current.spend_day == day and not changed.spend_day
            if changed == current:
                return Change(None)
            return Change(None, changed, claims.uncounted(counter) if day and freed else None)

        try:
            await self._persist(
                lambda: self._store.change(self.submission_id, decide, spend_day=day)
            )
        except LeaseLost:
            self._log.warning("lease_lost", submission_id=self.submission_id)
        except StoreUnavailable as error:
            self._log.error(
                "outcome_not_recorded", submission_id=self.submission_id, reason=error.message
            )

    async def release(self) -> None:
        """Let another go on at once; like ``after``."""
        await self.record_outcome(transitions.release, uncount=True)

    async def record_purchase(self, task: Task, now: datetime) -> None:
        """Record the job that was bought, whatever became of the claim.

        Raises ``StoreUnavailable`` after minutes of trying.
        """

        def decide(current: Submission | None, _: SpendCounter | None) -> Change[None]:
            return Change(None, transitions.accept(current, self.entry, now, task.task_id))

        await self._persist(lambda: self._store.change(self.submission_id, decide, task=task))

    async def _persist(self, change: Callable[[], Awaitable[None]]) -> None:
        deadline = self._clock() + PERSIST_FOR
        while True:
            try:
                return await change()
            except StoreUnavailable:
                if self._clock() >= deadline:
                    raise
                await self._sleep(PAUSE_S)

    async def extend_during(self, work: Awaitable[W]) -> W:
        """Return what ``work`` does, renewing the lease meanwhile.

        Raises ``LeaseLost`` as soon as the claim is, and gives the work up.
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
                await self.record_intent(transitions.renew)
            except StoreUnavailable as error:
                # The lease outlasts several renewals.
                self._log.warning(
                    "not_renewed", submission_id=self.submission_id, reason=error.message
                )
