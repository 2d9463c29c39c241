"""Finds work that has stopped: overdue tasks, calls whose lease ended, idle submissions.

A run reads a bounded number of each, oldest first. It decides each item on its stored state at that
moment, and reports whether more items are left. Overlapping runs are safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Generic, NamedTuple

import msgspec

from transcripts.errors import StoreUnavailable, TransientError
from transcripts.logs import Log
from transcripts.ports import Documents, Query, Snapshot, SubmitQueue, T
from transcripts.retry import Retrier
from transcripts.submissions import claims
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.submission import OPEN, State, Submission
from transcripts.tasks.task import Status, Task

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


class Search(NamedTuple, Generic[T]):
    """The documents of a collection in one state, by a time; ``fields`` are read."""

    collection: str
    type: type[T]
    state: str
    time: str
    fields: tuple[str, ...]


_TASK_FIELDS: Final = ("task_id", "status", "submission_id", "submitted_at")
_ENTRY_FIELDS: Final = ("submission_id", "state", "created_at", "updated_at")

LATE_TASKS: Final = Search("tasks", Task, "status", "submitted_at", _TASK_FIELDS)
IDLE_SUBMISSIONS: Final = Search("submissions", Submission, "state", "updated_at", _ENTRY_FIELDS)
EXPIRED_CALLS: Final = Search("submissions", Submission, "state", "lease_expires_at", _ENTRY_FIELDS)
QUERIES: Final = tuple(
    (each.collection, each.state, each.time)
    for each in (LATE_TASKS, IDLE_SUBMISSIONS, EXPIRED_CALLS)
)
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
        late = await self._find(LATE_TASKS, Status.SUBMITTED, self._overdue_after, run)
        await self._each(late, self._mark_overdue, run)
        expired = await self._find(EXPIRED_CALLS, State.SUBMITTING, timedelta(0), run)
        await self._each(expired, self._expire_call, run)
        for state in (State.PENDING, State.UPLOADING, State.UPLOADED):
            stalled = await self._find(IDLE_SUBMISSIONS, state, STALLED_AFTER, run)
            await self._each(stalled, self._requeue, run)
        self._log.info("swept", **msgspec.structs.asdict(run.counts))
        if run.outages:
            raise run.outages[0]
        return run.counts

    async def _mark_overdue(self, late: Snapshot[Task], counts: Counts) -> None:
        """Mark a task overdue, unless its result has come, and buy it again below the limit."""
        marked, again = await self._ledger.mark_overdue(late, self._resubmit_overdue)
        if not marked:
            return
        self._log.warning(
            "task_overdue",
            task_id=late.value.task_id,
            submission_id=late.value.submission_id,
            resubmitted=again is not None,
        )
        if again is not None:
            await self._enqueue(again)
            counts.resubmitted += 1
        counts.overdue += 1

    async def _expire_call(self, found: Snapshot[Submission], counts: Counts) -> None:
        submission_id = found.value.submission_id
        if await self._ledger.expire_call(submission_id):
            self._log.error("answer_lost", submission_id=submission_id, reason=claims.PROCESS_ENDED)
            counts.submit_unknown += 1

    async def _requeue(self, stalled: Snapshot[Submission], counts: Counts) -> None:
        submission = await self._ledger.requeue(stalled.value.submission_id, STALLED_AFTER)
        if submission is None:
            return
        if submission.state not in OPEN:
            self._log.warning("repetition_restored", submission_id=submission.submission_id)
            return
        await self._enqueue(submission)
        self._log.warning(
            "requeued", submission_id=submission.submission_id, state=submission.state
        )
        counts.requeued += 1

    async def _enqueue(self, submission: Submission) -> None:
        await self._queue.enqueue(submission.queue_task_name, submission.submission_id)

    async def _find(
        self, search: Search[T], state: str, age: timedelta, run: _Run
    ) -> Sequence[Snapshot[T]]:
        """Return the oldest documents in a state whose time is at least ``age`` ago."""
        if self._is_over(run):
            return []
        query = Query(
            search.collection,
            search.type,
            order_by=search.time,
            where=((search.state, state),),
            until=self._clock() - age,
            limit=BATCH_LIMIT,
            fields=search.fields,
        )
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
        work: Callable[[Snapshot[T], Counts], Awaitable[None]],
        run: _Run,
    ) -> None:
        """Do the work for each item; one failure does not block the others."""
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one(snapshot: Snapshot[T]) -> None:
            async with slots:
                if self._is_over(run):
                    return
                try:
                    async with asyncio.timeout(ITEM_TIMEOUT_S):
                        await work(snapshot, run.counts)
                except TimeoutError:
                    run.outages.append(StoreUnavailable("An item of the sweep took too long."))
                except TransientError as error:
                    run.outages.append(error)
                except Exception as error:  # noqa: BLE001 - one bad document must not stop the sweep
                    run.counts.failed += 1
                    self._log.unexpected("sweep_item_failed", error)

        await asyncio.gather(*map(one, found))

    def _is_over(self, run: _Run) -> bool:
        """Tell whether the run has used its time; what is left is counted as ``more``."""
        over = self._clock() >= run.deadline
        run.counts.more = run.counts.more or over
        return over
