"""Finds work that has stopped: overdue tasks, calls whose lease ended, idle submissions.

A run reads a bounded number of each, oldest first. It decides each item on its stored state at that
moment, and reports whether more items are left. Overlapping runs are safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from transcripts.errors import StoreUnavailable, TransientError
from transcripts.logs import Log
from transcripts.ports import Documents, Query, Snapshot, SubmitQueue, T
from transcripts.retry import Retrier
from transcripts.submissions import claims
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.submission import OPEN, State, Submission
from transcripts.tasks.task import Status, Task

R = TypeVar("R")

STALLED_AFTER: Final = timedelta(hours=2)
"""An entry that was not touched for this long is enqueued again. It is longer than the queue takes
for a few thousand submissions; an entry that still waits there may be enqueued twice safely."""

BATCH_LIMIT: Final = 200
"""How many of each kind one run handles."""

MAX_RUN_S: Final = 180.0
"""A run starts nothing more after this time."""

ITEM_TIMEOUT_S: Final = 60.0
"""How long one item may take. With ``MAX_RUN_S`` it is less than the time-outs of the function and
of the scheduler (``infra/functions.tf``)."""

CONCURRENCY: Final = 8

TASK_FIELDS: Final = ("task_id", "status", "submission_id", "submitted_at")
ENTRY_FIELDS: Final = ("submission_id", "state", "created_at", "updated_at")

LATE_TASKS: Final = ("tasks", "status", "submitted_at")
IDLE_SUBMISSIONS: Final = ("submissions", "state", "updated_at")
EXPIRED_CALLS: Final = ("submissions", "state", "lease_expires_at")
QUERIES: Final = (LATE_TASKS, IDLE_SUBMISSIONS, EXPIRED_CALLS)
"""Collection, field that is equal, field that is a time: each needs its composite index."""


class Counts(msgspec.Struct):
    """The counts of a run; ``failed`` counts logged failures, ``more`` tells that work is left."""

    overdue: int = 0
    submit_unknown: int = 0
    requeued: int = 0
    resubmitted: int = 0
    failed: int = 0
    more: bool = False


@dataclass
class _Run:
    """One run: until when it starts work, what it did, and which transient errors it met."""

    deadline: datetime
    counts: Counts = field(default_factory=Counts)
    outages: list[TransientError] = field(default_factory=list)


class Sweeper:
    """Moves stopped items to a state that continues, or that an operator can act on.

    A task without a result is overdue after ``overdue_after``, and is bought again at most
    ``resubmit_overdue`` times. A run starts nothing more after ``max_run``.
    """

    def __init__(
        self,
        documents: Documents,
        retrier: Retrier,
        ledger: Ledger,
        queue: SubmitQueue,
        log: Log,
        *,
        clock: Callable[[], datetime],
        overdue_after: timedelta,
        resubmit_overdue: int = 0,
        max_run: timedelta = timedelta(seconds=MAX_RUN_S),
    ) -> None:
        self._documents = documents
        self._retrier = retrier
        self._ledger = ledger
        self._queue = queue
        self._log = log
        self._clock = clock
        self._overdue_after = overdue_after
        self._resubmit_overdue = resubmit_overdue
        self._max_run = max_run

    async def run(self) -> Counts:
        """Sweep once; one failing item does not block the others.

        Raises ``StoreUnavailable`` and ``QueueUnavailable`` at the end; repeating is safe.
        """
        run = _Run(self._clock() + self._max_run)
        await self._late_tasks(run)
        await self._expire_calls(run)
        for state in (State.PENDING, State.UPLOADING, State.UPLOADED):
            await self._stalled(state, run)
        self._log.info("swept", **msgspec.structs.asdict(run.counts))
        if run.outages:
            raise run.outages[0]
        return run.counts

    async def _late_tasks(self, run: _Run) -> None:
        latest = self._clock() - self._overdue_after
        collection, state, moment = LATE_TASKS
        found = await self._find(
            Query(
                collection,
                Task,
                order_by=moment,
                where=((state, Status.SUBMITTED),),
                until=latest,
                limit=BATCH_LIMIT,
                fields=TASK_FIELDS,
            ),
            run,
        )
        for resubmitted in await self._each(found, self._mark_overdue, run):
            run.counts.overdue += resubmitted is not None
            run.counts.resubmitted += resubmitted is True

    async def _mark_overdue(self, late: Snapshot[Task]) -> bool | None:
        """Mark a task overdue; tells whether it is bought again, None if its result has come."""
        marked, again = await self._ledger.mark_overdue(late, self._resubmit_overdue)
        if not marked:
            return None
        self._log.warning(
            "task_overdue",
            task_id=late.value.task_id,
            submission_id=late.value.submission_id,
            resubmitted=again is not None,
        )
        if again is not None:
            await self._enqueue(again)
        return again is not None

    async def _expire_calls(self, run: _Run) -> None:
        collection, state, moment = EXPIRED_CALLS
        found = await self._find(
            Query(
                collection,
                Submission,
                order_by=moment,
                where=((state, State.SUBMITTING),),
                until=self._clock(),
                limit=BATCH_LIMIT,
                fields=ENTRY_FIELDS,
            ),
            run,
        )
        for expired in await self._each(found, self._expire_call, run):
            run.counts.submit_unknown += expired

    async def _expire_call(self, found: Snapshot[Submission]) -> bool:
        submission_id = found.value.submission_id
        expired = await self._ledger.expire_call(submission_id)
        if expired:
            self._log.error("answer_lost", submission_id=submission_id, reason=claims.PROCESS_ENDED)
        return expired

    async def _stalled(self, stuck_in: State, run: _Run) -> None:
        collection, state, moment = IDLE_SUBMISSIONS
        found = await self._find(
            Query(
                collection,
                Submission,
                order_by=moment,
                where=((state, stuck_in),),
                until=self._clock() - STALLED_AFTER,
                limit=BATCH_LIMIT,
                fields=ENTRY_FIELDS,
            ),
            run,
        )
        for requeued in await self._each(found, self._requeue, run):
            run.counts.requeued += requeued

    async def _requeue(self, stalled: Snapshot[Submission]) -> bool:
        submission = await self._ledger.requeue(stalled.value.submission_id, STALLED_AFTER)
        if submission is None:
            return False
        if submission.state not in OPEN:
            self._log.warning("repetition_restored", submission_id=submission.submission_id)
            return False
        await self._enqueue(submission)
        self._log.warning(
            "requeued", submission_id=submission.submission_id, state=submission.state
        )
        return True

    async def _enqueue(self, submission: Submission) -> None:
        await self._queue.enqueue(submission.queue_task_name, submission.submission_id)

    async def _find(self, query: Query[T], run: _Run) -> Sequence[Snapshot[T]]:
        if self._is_over(run):
            return []
        try:
            found = await self._retrier.run(lambda: self._documents.query(query))
        except TransientError as error:
            run.outages.append(error)
            return []
        run.counts.more = run.counts.more or len(found) >= BATCH_LIMIT
        return found

    async def _each(
        self,
        found: Sequence[Snapshot[T]],
        work: Callable[[Snapshot[T]], Awaitable[R]],
        run: _Run,
    ) -> list[R]:
        """Do the work for each item; one failure does not block the others."""
        slots = asyncio.Semaphore(CONCURRENCY)
        done: list[R] = []

        async def one(snapshot: Snapshot[T]) -> None:
            async with slots:
                if self._is_over(run):
                    return
                try:
                    async with asyncio.timeout(ITEM_TIMEOUT_S):
                        done.append(await work(snapshot))
                except TimeoutError:
                    run.outages.append(StoreUnavailable("An item of the sweep took too long."))
                except TransientError as error:
                    run.outages.append(error)
                except Exception as error:  # noqa: BLE001 - one bad document must not stop the sweep
                    run.counts.failed += 1
                    self._log.unexpected("sweep_item_failed", error)

        await asyncio.gather(*map(one, found))
        return done

    def _is_over(self, run: _Run) -> bool:
        """Tell whether the run has used its time; what is left is counted as ``more``."""
        over = self._clock() >= run.deadline
        run.counts.more = run.counts.more or over
        return over
