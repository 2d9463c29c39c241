"""What the API answers of tasks and submissions, as types. Pure.

A ``Summary`` is a task in short, as lists show it and as the results topic carries it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from transcripts.callbacks.kinds import Kind
from transcripts.results.next_steps import submission_next_step, task_next_step
from transcripts.submissions.submission import Attempt, State, Submission
from transcripts.tasks.speakers import ShownSpeakers
from transcripts.tasks.task import (
    Anomaly,
    Provider,
    Source,
    Status,
    Task,
    Usage,
)


class NamedSpeaker(msgspec.Struct, frozen=True):
    """A ``ShownSpeaker`` in short: ``name`` is what people see, ``given_name`` is Mavi's."""

    id: str
    name: str
    given_name: str
    segment_count: int
    word_count: int
    talk_time_s: float
    share: float
    first_start_s: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A task without its segments, faces and raw body, of a bounded size.

    ``speakers`` are the first ``MAX_SPEAKERS`` in the order of their first words; ``speaker_count``
    counts all. ``next_step`` says what to do about a task that is not the result of a submission.
    """

    task_id: str
    kind: Kind
    status: Status
    submission_id: str | None
    asset_id: str | None
    source: Source | None
    labels: dict[str, str]
    created_at: datetime | None
    submitted_at: datetime | None
    received_at: datetime | None
    stored_at: datetime | None
    expires_at: datetime | None
    provider: Provider | None
    revision: str | None
    duration_s: float
    speech_s: float
    segment_count: int
    word_count: int
    character_count: int
    speaker_count: int
    speakers: list[NamedSpeaker]
    anomalies: list[Anomaly]
    usage: Usage | None
    next_step: str | None


MAX_SPEAKERS: Final = 20
"""Of a summary: a page has up to 200 tasks, and a result may name hundreds of speakers."""

_COPIED: Final = tuple(
    name
    for name in Summary.__struct_fields__
    if name in Task.__struct_fields__ and name != "speakers"
)

SUMMARY_FIELDS: Final = (*_COPIED, "speakers", "speaker_names")
"""The fields of a task that its summary needs: a store need not read the segments."""


def summary(task: Task, speakers: ShownSpeakers) -> Summary:
    """Return a task in short; of ``task`` only ``SUMMARY_FIELDS`` count."""
    return Summary(
        speakers=[
            NamedSpeaker(**{name: getattr(each, name) for name in NamedSpeaker.__struct_fields__})
            for each in speakers.listed[:MAX_SPEAKERS]
        ],
        speaker_count=len(speakers.listed),
        next_step=task_next_step(task),
        **{name: getattr(task, name) for name in _COPIED},
    )


HIDDEN_FIELDS: Final = frozenset(
    {"segments", "label_pairs", "pages", "first_page", "deleted_revisions"}
)
"""How a task is stored. A whole task is shown without these, and its segments come last."""


def task_head(task: Task, speakers: ShownSpeakers) -> dict[str, object]:
    """Return a whole task but for its segments."""
    shown = {
        name: getattr(task, name) for name in Task.__struct_fields__ if name not in HIDDEN_FIELDS
    }
    return shown | {"speakers": speakers.listed, "next_step": task_next_step(task)}


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
    deleted_at: datetime | None
    uploads: int
    queued: bool
    previous_attempts: list[Attempt]
    duplicate_of: str | None
    next_step: str


SUBMISSION_VIEW_FIELDS: Final = tuple(
    name for name in SubmissionView.__struct_fields__ if name in Submission.__struct_fields__
)


def submission_view(submission: Submission) -> SubmissionView:
    """Return what is shown of an entry of which ``SUBMISSION_VIEW_FIELDS`` are read."""
    fields = {name: getattr(submission, name) for name in SUBMISSION_VIEW_FIELDS}
    return SubmissionView(**fields, next_step=submission_next_step(submission))
