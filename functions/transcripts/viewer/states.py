"""What a page says of a state: its words, how it looks, and the next step. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final, NamedTuple

from transcripts.results.next_steps import NextStep, step_of_submission, step_of_task
from transcripts.submissions.submission import State, Submission
from transcripts.tasks.task import Source, Status, Task

STATUS_WORDS: Final[Mapping[Status, str]] = {
    Status.SUCCEEDED: "Done",
    Status.SUBMITTED: "Waiting for Mavi",
    Status.OVERDUE: "Overdue",
    Status.FAILED: "Failed",
    Status.UNRECOGNIZED: "Not a transcript",
    Status.DELETED: "Deleted",
}

STATE_WORDS: Final[Mapping[State, str]] = {
    State.PENDING: "In the queue",
    State.UPLOADING: "Uploading to Mavi",
    State.UPLOADED: "Uploaded to Mavi",
    State.SUBMITTING: "Being requested",
    State.SUBMITTED: "Requested",
    State.REJECTED: "Rejected",
    State.SUBMIT_UNKNOWN: "Mavi's answer was lost",
}

TONES: Final[Mapping[str, str]] = {
    Status.SUCCEEDED: "good",
    Status.OVERDUE: "bad",
    Status.FAILED: "bad",
    State.REJECTED: "bad",
    State.SUBMIT_UNKNOWN: "bad",
}
"""How a state looks beside its word; any other one looks neutral."""


class PageStep(NamedTuple):
    """Words for a reader; ``link`` has words and a query of the list.

    ``again`` says when to run ``command``.
    """

    words: str
    link: tuple[str, str] | None
    again: str
    command: str | None


def task_step(task: Task) -> PageStep | None:
    """Return what to do about a task, None for the result of a submission."""
    step = step_of_task(task)
    return _shown(step, task.asset_id, task.source) if step else None


def submission_step(submission: Submission) -> PageStep:
    """Return what to do about a submission."""
    return _shown(step_of_submission(submission), submission.asset_id, submission.source)


def _shown(step: NextStep, asset_id: str | None, source: Source | None) -> PageStep:
    subject = asset_id or (source.uri if source else "ASSET")
    command = f"transcripts submit --force {shlex.quote(subject)}" if step.again else None
    return PageStep(step.for_readers, step.link, step.again, command)
