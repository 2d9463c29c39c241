"""The next step as a page shows it: words, a command to copy, and a link."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from transcripts.results.next_steps import NextStep, step_of_submission, step_of_task
from transcripts.submissions.submission import Submission
from transcripts.tasks.task import Source, Task


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
