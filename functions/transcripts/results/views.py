"""Tasks and submissions as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from transcripts.callbacks.kinds import Kind
from transcripts.results.next_steps import submission_next_step, task_next_step
from transcripts.submissions.submission import Attempt, State, Submission
from transcripts.tasks.task import Provider, Source, Status, Task


class TaskSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A task as a list shows it: everything of a bounded size."""

    task_id: str
    kind: Kind
    status: Status
    submission_id: str | None
    asset_id: str | None
    source: Source | None
    labels: dict[str, str]
    submitted_at: datetime | None
    created_at: datetime | None
    received_at: datetime | None
    stored_at: datetime | None
    expires_at: datetime | None
    provider: Provider | None
    revision: str | None
    duration_s: float
    segment_count: int
    word_count: int
    character_count: int
    speech_s: float
    next_step: str | None = None


SUMMARY_FIELDS: Final = tuple(
    name for name in TaskSummary.__struct_fields__ if name in Task.__struct_fields__
)
"""The fields to read of a task for its summary; no segments."""


def task_summary(task: Task) -> TaskSummary:
    """Return the summary of a task of which ``SUMMARY_FIELDS`` are read."""
    fields = {name: getattr(task, name) for name in SUMMARY_FIELDS}
    return TaskSummary(**fields, next_step=task_next_step(task))


HIDDEN_FIELDS: Final = frozenset(
    {"segments", "label_pairs", "pages", "first_page", "deleted_revisions"}
)
"""How a task is stored. A whole task is shown without these, and its segments come last."""


def task_head(task: Task) -> dict[str, object]:
    """Return a whole task but for its segments."""
    shown = {
        name: getattr(task, name) for name in Task.__struct_fields__ if name not in HIDDEN_FIELDS
    }
    return shown | {"next_step": task_next_step(task)}


class SubmissionView(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the ledger as people need it, without what instances coordinate by."""

    submission_id: str
    state: State
    reason: str | None
    asset_id: str | None
    source: Source | None
    labels: dict[str, str]
    task_id: str | None
    created_at: datetime
    updated_at: datetime
    submitted_at: datetime | None
    expires_at: datetime | None
    uploads: int
    queued: bool
    previous_attempts: list[Attempt]
    next_step: str


SUBMISSION_VIEW_FIELDS: Final = tuple(
    name for name in SubmissionView.__struct_fields__ if name in Submission.__struct_fields__
)


def submission_view(submission: Submission) -> SubmissionView:
    """Return what is shown of an entry of which ``SUBMISSION_VIEW_FIELDS`` are read."""
    fields = {name: getattr(submission, name) for name in SUBMISSION_VIEW_FIELDS}
    return SubmissionView(**fields, next_step=submission_next_step(submission))
