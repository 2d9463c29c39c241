"""Whether everything that was bought is accounted for: counts of one moment, and their sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from transcripts.ports import Count
from transcripts.results.answers import (
    Accounting,
    CallbackCounts,
    SubmissionCounts,
    TaskCounts,
)
from transcripts.submissions.submission import OPEN, State
from transcripts.tasks.task import Status

_CALLBACKS: Final = CallbackCounts(
    counted=False,
    note="The database does not count callbacks. Compare the log events: once no message waits,"
    " callback_published = result_stored + result_superseded + result_duplicate + result_deleted +"
    " the messages in the dead letters. callback_rejected counts the rejected ones.",
)

_STATUSES: Final = (
    Status.SUCCEEDED,
    Status.FAILED,
    Status.SUBMITTED,
    Status.OVERDUE,
    Status.DELETED,
)

COUNTS: Final = (
    Count("submissions"),
    *(Count("submissions", (("state", state),)) for state in State),
    Count("tasks"),
    Count("tasks", (("submission_id", None),)),
    *(Count("tasks", (("status", status),)) for status in _STATUSES),
    *(Count("tasks", (("status", status), ("submission_id", None))) for status in _STATUSES),
)
"""The counts of an account. Tasks with a submission are all tasks without the unmatched ones: the
condition "is not null" would need an index of its own."""


def accounting(numbers: Sequence[int]) -> Accounting:
    """Return the account of what ``COUNTS`` has counted."""
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
    unmatched = by[Count("tasks", (("submission_id", None),))]
    succeeded, failed, pending, overdue, deleted = (
        by[Count("tasks", (("status", status),))]
        - by[Count("tasks", (("status", status), ("submission_id", None)))]
        for status in _STATUSES
    )
    tasks = TaskCounts(
        submitted=(bought := by[Count("tasks")] - unmatched),
        succeeded=succeeded,
        failed=failed,
        pending=pending,
        overdue=overdue,
        deleted=deleted,
        balanced=bought == succeeded + failed + pending + overdue + deleted,
    )
    return Accounting(
        balanced=submissions.balanced and tasks.balanced,
        submissions=submissions,
        tasks=tasks,
        unmatched_tasks=unmatched,
        callbacks=_CALLBACKS,
    )
