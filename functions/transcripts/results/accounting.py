"""Whether everything that was bought is accounted for: counts of one moment, and their sums."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from msgspec.structs import replace

from transcripts.ports import Count, Documents, Query, Read
from transcripts.results.answers import (
    Accounting,
    CallbackCounts,
    SubmissionCounts,
    TaskCounts,
)
from transcripts.retention import expiry
from transcripts.retry import Retrier
from transcripts.submissions.submission import OPEN, State, Submission
from transcripts.submissions.transitions import MAX_PREVIOUS_ATTEMPTS
from transcripts.tasks.task import Status, Task, task_path

_CALLBACKS: Final = CallbackCounts(
    counted=False,
    note="The database does not count callbacks. Compare the log events: once no message waits,"
    " callback_published = result_stored + result_superseded + result_duplicate + result_deleted +"
    " the messages in the dead letters. callback_rejected counts the rejected ones.",
)

_STATUSES: Final = (
    Status.SUCCEEDED,
    Status.FAILED,
    Status.UNRECOGNIZED,
    Status.SUBMITTED,
    Status.OVERDUE,
    Status.DELETED,
)

_EARLIER: Final = tuple(
    Count("submissions", (("earlier_tasks", str(number)),))
    for number in range(1, MAX_PREVIOUS_ATTEMPTS + 1)
)

COUNTS: Final = (
    Count("submissions"),
    *(Count("submissions", (("state", state),)) for state in State),
    *_EARLIER,
    Count("tasks"),
    Count("tasks", (("submission_id", None),)),
    *(Count("tasks", (("status", status),)) for status in _STATUSES),
    *(Count("tasks", (("status", status), ("submission_id", None))) for status in _STATUSES),
)
"""The counts of an account. Tasks with a submission are all tasks without the unmatched ones: the
condition "is not null" would need an index of its own."""

MAX_MISSING: Final = 100
SUBMISSIONS_AT_ONCE: Final = 500


class Accountant:
    """Makes accounts of a store.

    With ``retention_days`` a submission may expire before its tasks, and they before it: then only
    what is missing too early counts.
    """

    def __init__(
        self,
        documents: Documents,
        retrier: Retrier,
        *,
        clock: Callable[[], datetime],
        retention_days: int = 0,
    ) -> None:
        self._documents = documents
        self._retrier = retrier
        self._clock = clock
        self._retention_days = retention_days

    async def account(self) -> Accounting:
        """Count everything at one moment, and name the bought tasks that are missing.

        Submissions are read one by one only if fewer tasks are there than were bought. Raises
        ``StoreUnavailable``.
        """
        numbers = await self._retrier.run(lambda: self._documents.count(*COUNTS))
        by = dict(zip(COUNTS, numbers, strict=True))
        states = {state: by[Count("submissions", (("state", state),))] for state in State}
        submissions = SubmissionCounts(
            total=(total := by[Count("submissions")]),
            submitted=states[State.SUBMITTED],
            rejected=states[State.REJECTED],
            submit_unknown=states[State.SUBMIT_UNKNOWN],
            open=sum(states[state] for state in OPEN),
            balanced=total == sum(states.values()),
        )
        earlier = sum(number * by[count] for number, count in enumerate(_EARLIER, 1))
        bought = states[State.SUBMITTED] + earlier
        unmatched = by[Count("tasks", (("submission_id", None),))]
        succeeded, failed, unrecognized, pending, overdue, deleted = terms = [
            by[Count("tasks", (("status", status),))]
            - by[Count("tasks", (("status", status), ("submission_id", None)))]
            for status in _STATUSES
        ]
        stored = by[Count("tasks")] - unmatched
        missing = await self._missing() if bought > stored else []
        known = bought <= stored if self._retention_days else bought == stored
        tasks = TaskCounts(
            submitted=bought,
            succeeded=succeeded,
            failed=failed,
            unrecognized=unrecognized,
            pending=pending,
            overdue=overdue,
            deleted=deleted,
            missing=missing,
            balanced=stored == sum(terms) and not missing and (known or bought > stored),
        )
        return Accounting(
            balanced=submissions.balanced and tasks.balanced,
            submissions=submissions,
            tasks=tasks,
            unmatched_tasks=unmatched
            - by[Count("tasks", (("status", Status.DELETED), ("submission_id", None)))],
            callbacks=_CALLBACKS,
        )

    async def _missing(self) -> list[str]:
        """Return the first bought tasks that are gone although they have not expired."""
        found: list[str] = []
        query = Query(
            "submissions", Submission, "created_at", SUBMISSIONS_AT_ONCE, fields=_LEDGER_FIELDS
        )
        while len(found) < MAX_MISSING:
            page = await self._retrier.run(partial(self._documents.query, query))
            bought = [task_id for entry in page for task_id in self._kept(entry.value)]
            reads = [Read(task_path(task_id), Task, ("task_id",)) for task_id in bought]
            tasks = await self._retrier.run(partial(self._documents.read, *reads)) if reads else []
            found += [task_id for task_id, task in zip(bought, tasks, strict=True) if task is None]
            if len(page) < SUBMISSIONS_AT_ONCE:
                break
            last = page[-1].value
            query = replace(query, after=(last.created_at, last.submission_id))
        return found[:MAX_MISSING]

    def _kept(self, entry: Submission) -> list[str]:
        """Return the tasks of an entry that have not expired."""
        bought = [(each.task_id, each.ended_at) for each in entry.previous_attempts]
        bought.append((entry.task_id, entry.submitted_at or entry.updated_at))
        now = self._clock()
        return [
            task_id
            for task_id, moment in bought
            if task_id and ((until := expiry(moment, self._retention_days)) is None or until > now)
        ]


_LEDGER_FIELDS: Final = (
    "submission_id",
    "state",
    "task_id",
    "created_at",
    "updated_at",
    "submitted_at",
    "previous_attempts",
)
