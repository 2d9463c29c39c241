"""The answers of ``results``, as types: ``results`` encodes them, the command decodes into them.

``views`` makes them from what is stored. docs/openapi.yaml describes them; a test compares. What a
task's answers show as it is stored are the fields of ``ListedFields`` and ``ShownFields``.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from transcripts.submissions.submission import Attempt, State
from transcripts.tasks.speakers import ShownSpeaker
from transcripts.tasks.task import ListedFields, Segment, ShownFields, Source


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


class Summary(ListedFields, frozen=True, kw_only=True):
    """A task without its segments, faces and raw body, of a bounded size.

    Lists show it, and the results topic carries it. ``speakers`` are the first ``MAX_SPEAKERS`` in
    the order of their first words; ``speaker_count`` counts all. ``next_step`` says what to do
    about a task that is not the result of a submission.
    """

    speaker_count: int
    speakers: list[NamedSpeaker]
    next_step: str | None


class TaskList(msgspec.Struct, frozen=True):
    """A page of tasks; ``next_page_token`` is None on the last page."""

    tasks: list[Summary]
    next_page_token: str | None


class TaskHead(ShownFields, frozen=True, kw_only=True):
    """A whole task but for its segments, which are written while they are read."""

    speakers: list[ShownSpeaker]
    next_step: str | None


class WholeTask(TaskHead, frozen=True, kw_only=True):
    """A whole task."""

    segments: list[Segment]


class RenamedSpeakers(msgspec.Struct, frozen=True):
    """The speakers of a task after a change of their names."""

    task_id: str
    speakers: list[ShownSpeaker]


class Part(StrEnum):
    """A part of a task or submission that a deletion may have to leave."""

    SUBMISSION = "submission"
    ASSET = "asset"
    OBJECT = "object"


class Left(msgspec.Struct, frozen=True):
    """A part that is not deleted yet, a stable reason, and a sentence that says what to do."""

    part: Part
    reason: str
    message: str


class Remaining(msgspec.Struct, frozen=True):
    """A part that this deletion does not touch: its name, and how to delete it."""

    part: Part
    name: str
    message: str


class TaskDeleted(msgspec.Struct, frozen=True):
    """A task is deleted, but for what is left."""

    task_id: str
    left: list[Left]


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


class SubmissionDeleted(msgspec.Struct, frozen=True):
    """The result of deleting a submission.

    ``task_ids`` are the tasks of its attempts. ``left`` is not deleted yet; ``remaining`` is beyond
    this deletion, and is named once: after it, nobody knows the object's name any more.
    """

    submission_id: str
    task_ids: list[str]
    left: list[Left]
    remaining: list[Remaining]


class SubmissionList(msgspec.Struct, frozen=True):
    """A page of the ledger; ``next_page_token`` is None on the last page."""

    submissions: list[SubmissionView]
    next_page_token: str | None


class SubmissionCounts(msgspec.Struct, frozen=True):
    """total = submitted + rejected + submit_unknown + open."""

    total: int
    submitted: int
    rejected: int
    submit_unknown: int
    open: int
    balanced: bool


class TaskCounts(msgspec.Struct, frozen=True):
    """submitted = succeeded + failed + unrecognized + pending + overdue + deleted.

    ``submitted`` is what the ledger has bought; the other numbers count tasks that have a
    submission. ``missing`` are bought tasks that are gone, the first hundred of them.
    """

    submitted: int
    succeeded: int
    failed: int
    unrecognized: int
    pending: int
    overdue: int
    deleted: int
    missing: list[str]
    balanced: bool


class CallbackCounts(msgspec.Struct, frozen=True):
    """The database does not count callbacks; ``note`` says where their numbers are."""

    counted: bool
    note: str


class Accounting(msgspec.Struct, frozen=True):
    """``balanced`` tells whether every sum that can be made here holds.

    ``unmatched_tasks`` have no submission and belong to no sum; deleted ones are left out, as in
    lists.
    """

    balanced: bool
    submissions: SubmissionCounts
    tasks: TaskCounts
    unmatched_tasks: int
    callbacks: CallbackCounts
