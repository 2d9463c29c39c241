"""The exclusive right to work on one entry of the ledger, and what its holder records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from msgspec.structs import replace

from transcripts.errors import StoreUnavailable
from transcripts.logs import Log
from transcripts.submissions import claims, transitions
from transcripts.submissions.claims import Change
from transcripts.submissions.store import Decide, SubmissionStore
from transcripts.submissions.submission import SpendCounter, Submission
from transcripts.submissions.transitions import (
    RENEW_EVERY,
    TRANSITIONS,
    Event,
    Facts,
    LeaseLost,
)
from transcripts.tasks.task import Task

W = TypeVar("W")

PERSIST_FOR: Final = timedelta(minutes=3)
"""How long recording an outcome is retried; with the call before it, less than a lease lasts."""

PAUSE_S: Final = 1.0

Step = Callable[[Submission | None, datetime], Submission]


class Lease:
    """One holder of one entry. ``entry`` is what the ledger last said, after each record."""

    def __init__(
        self,
        store: SubmissionStore,
        entry: Submission,
        log: Log,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._store = store
        self._lease_id = entry.lease_id
        self._log = log
        self._clock = clock
        self._sleep = sleep
        self.entry = entry

    @property
    def submission_id(self) -> str:
        """The entry's id."""
        return self.entry.submission_id

    async def record_intent(self, event: Event, *, asset_id: str | None = None) -> Submission:
        """Record what happens next; if this raises, it must not happen.

        Raises ``LeaseLost``, ``DuplicateAsset`` and ``StoreUnavailable``.
        """
        decide = self._decide(self._step(event, Facts(asset_id=asset_id)))
        self.entry = await self._store.change(self.submission_id, decide)
        return self.entry

    async def record_outcome(self, event: Event, *, reason: str | None = None) -> Submission:
        """Record what has happened, trying for ``PERSIST_FOR``; raises nothing.

        Returns the entry; it is unchanged if the outcome could not be recorded, which is logged.
        """
        return await self._record_outcome(
            self._step(event, Facts(reason=reason)), ends=TRANSITIONS[event].restores
        )

    async def release(self, within: timedelta = PERSIST_FOR) -> Submission:
        """Release the entry, so that another holder can continue at once; raises nothing."""
        return await self._record_outcome(self._step(Event.RELEASED, Facts()), within=within)

    async def reject(self, reason: str) -> Submission:
        """Record that nothing was bought, and uncount it from the spend cap; raises nothing."""
        return await self.record_outcome(Event.REJECTED, reason=reason)

    async def defer(self, reason: str) -> Submission:
        """Do the same, but release a queued entry for its next run instead; raises nothing."""
        return await self._record_outcome(
            lambda current, now: transitions.defer(current, self._lease_id, now, reason)
        )

    async def restore_previous(self, task_id: str) -> Submission:
        """End a repetition because that previous task has its result; raises nothing."""
        return await self._record_outcome(
            lambda current, now: transitions.restore_previous(current, self._lease_id, now, task_id)
        )

    async def record_purchase(self, task: Task, now: datetime) -> Submission:
        """Record the job that was bought, even if the lease is lost by now.

        Raises ``StoreUnavailable`` after ``PERSIST_FOR``.
        """
        leased = self.entry

        def decide(current: Submission | None, _counter: SpendCounter | None) -> Change[Submission]:
            entry = transitions.accept(current, leased, now, task.task_id)
            return Change(entry, entry)

        self.entry = await self._persist(
            lambda: self._store.change(self.submission_id, decide, task=task), PERSIST_FOR
        )
        return self.entry

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
                    "lease_not_renewed", submission_id=self.submission_id, reason=error.message
                )

    def _step(self, event: Event, facts: Facts) -> Step:
        return lambda current, now: transitions.apply(current, self._lease_id, event, now, facts)

    def _decide(self, step: Step, counted_on: str | None = None) -> Decide[Submission]:
        """Return what the store decides by: apply ``step`` once, and uncount a refused purchase."""
        written: Submission | None = None

        def decide(current: Submission | None, counter: SpendCounter | None) -> Change[Submission]:
            nonlocal written
            if written is not None and current is not None and _same(current, written):
                # The commit happened although its acknowledgement was lost.
                return Change(current)
            written = step(current, self._clock())
            freed = (
                current is not None and current.spend_day == counted_on and not written.spend_day
            )
            uncounted = claims.uncounted(counter) if counted_on and freed else None
            return Change(written, written, uncounted)

        return decide

    async def _record_outcome(
        self, step: Step, *, ends: bool = True, within: timedelta = PERSIST_FOR
    ) -> Submission:
        day = self.entry.spend_day if ends else None
        decide = self._decide(step, day)
        try:
            self.entry = await self._persist(
                lambda: self._store.change(self.submission_id, decide, spend_day=day), within
            )
        except LeaseLost:
            self._log.warning("lease_lost", submission_id=self.submission_id)
        except StoreUnavailable as error:
            self._log.error(
                "outcome_not_recorded", submission_id=self.submission_id, reason=error.message
            )
        return self.entry

    async def _persist(
        self, change: Callable[[], Awaitable[Submission]], within: timedelta
    ) -> Submission:
        deadline = self._clock() + within
        while True:
            try:
                return await change()
            except StoreUnavailable:
                if self._clock() >= deadline:
                    raise
                await self._sleep(PAUSE_S)


def _same(current: Submission, written: Submission) -> bool:
    """Compare what a step decides; the store adds the time of expiry."""
    return replace(current, expires_at=None) == replace(written, expires_at=None)
