"""The stored documents of a task. Times are UTC, durations seconds, sizes bytes.

``tasks/{task_id}`` is a ``Task``; a long transcript has its segments in
``tasks/{task_id}/segments/{revision}-{00000…}`` (``Page``), and the provider's body is in
``tasks/{task_id}/raw/{revision}-{00000…}`` (``RawChunk``). A deleted task leaves a ``DeletedTask``.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, TypeVar

import msgspec

from transcripts.callbacks.kinds import Kind

SCHEMA_VERSION: Final = 1


class Status(StrEnum):
    """How far a task has come."""

    SUBMITTED = "submitted"
    OVERDUE = "overdue"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNRECOGNIZED = "unrecognized"
    DELETED = "deleted"


class Segment(msgspec.Struct, frozen=True, gc=False):
    """Something said, by the speaker of that id (``s1``)."""

    start_s: float
    end_s: float
    speaker: str
    text: str


class Speaker(msgspec.Struct, frozen=True):
    """A speaker of the result.

    ``talk_time_s`` counts time in which several segments of the speaker overlap once. ``share`` is
    its fraction of all speakers' talk times, 0 to 1.
    """

    id: str
    name: str
    segment_count: int
    word_count: int
    talk_time_s: float
    share: float
    first_start_s: float
    face_ids: list[str] = []


class Face(msgspec.Struct, frozen=True):
    """A face the provider saw. ``uri`` is ``<protocol>://<bucket>/<blob>`` if all are known."""

    id: str | None
    name: str | None
    uri: str | None


class ModelUsage(msgspec.Struct, frozen=True):
    """The consumption of one model; ``duration_s`` is its processing time."""

    model: str | None
    prompt_tokens: int
    output_tokens: int
    duration_s: float


class Usage(msgspec.Struct, frozen=True):
    """The consumption of all models."""

    prompt_tokens: int
    output_tokens: int
    duration_s: float
    models: list[ModelUsage]


class Anomaly(msgspec.Struct, frozen=True):
    """A kind of repair, how often it was needed, and the index of the first item concerned."""

    code: str
    count: int
    first_index: int


class Provider(msgspec.Struct, frozen=True):
    """The provider's code and message for the job, as sent, but cut to a maximum length."""

    code: str | int | float | bool | None = None
    message: str | None = None
    detail: str | None = None


class Source(msgspec.Struct, frozen=True):
    """The object a submission came from."""

    uri: str
    generation: str
    content_type: str | None = None
    size: int | None = None


class SpeakerName(msgspec.Struct, frozen=True):
    """The name a person gave to a speaker. ``name`` is the provider's, as ``Speaker.name``.

    ``named_by`` is the person's e-mail address, where the platform tells it.
    """

    name: str
    display_name: str
    named_by: str | None = None


T = TypeVar("T")


class Writer(StrEnum):
    """The side of a task that writes a field; fields of neither side have a rule of their own."""

    SUBMISSION = "submission"
    RESULT = "result"


OfSubmission = Annotated[T, msgspec.Meta(extra={"writer": Writer.SUBMISSION})]
OfResult = Annotated[T, msgspec.Meta(extra={"writer": Writer.RESULT})]


class ListedFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a task that lists and the results topic show, as they are stored.

    ``created_at`` is the earlier time of both sides. ``duration_s`` is the end of the last segment,
    ``speech_s`` the time in which anybody speaks, ``character_count`` the Unicode characters of all
    texts, blanks included.
    """

    task_id: OfResult[str]
    kind: OfResult[Kind] = Kind.UNKNOWN
    status: OfResult[Status] = Status.SUBMITTED
    submission_id: OfSubmission[str | None] = None
    asset_id: OfSubmission[str | None] = None
    source: OfSubmission[Source | None] = None
    labels: OfSubmission[dict[str, str]] = {}
    created_at: datetime | None = None
    submitted_at: OfSubmission[datetime | None] = None
    received_at: OfResult[datetime | None] = None
    stored_at: OfResult[datetime | None] = None
    expires_at: OfResult[datetime | None] = None
    provider: OfResult[Provider | None] = None
    revision: OfResult[str | None] = None
    duration_s: OfResult[float] = 0.0
    speech_s: OfResult[float] = 0.0
    segment_count: OfResult[int] = 0
    word_count: OfResult[int] = 0
    character_count: OfResult[int] = 0
    anomalies: OfResult[list[Anomaly]] = []
    usage: OfResult[Usage | None] = None


class ShownFields(ListedFields, frozen=True, kw_only=True):
    """The fields of a task that the answer of a whole task shows, as they are stored."""

    schema_version: OfResult[int] = SCHEMA_VERSION
    speaker_names: list[SpeakerName] = []
    faces: OfResult[list[Face]] = []


class Task(ShownFields, frozen=True, kw_only=True):
    """A task, joined from up to three sides: its submission, its result, and its readers.

    A field stands in ``ListedFields`` or ``ShownFields`` if the API shows it as it is stored, and
    here if not. ``first_page`` is the index of the first of the ``pages``. ``deleted_revisions``
    are results that were deleted and are never stored again.
    """

    speakers: OfResult[list[Speaker]] = []
    segments: OfResult[list[Segment]] = []
    pages: OfResult[int] = 0
    first_page: OfResult[int] = 0
    label_pairs: OfSubmission[list[str]] = []
    deleted_revisions: list[str] = []


def fields_of(writer: Writer) -> tuple[str, ...]:
    """Return the names of the fields of a task that one side writes."""
    return tuple(
        field.name
        for field in msgspec.structs.fields(Task)
        for meta in getattr(field.type, "__metadata__", ())
        if meta.extra["writer"] is writer
    )


SUBMISSION_FIELDS: Final = fields_of(Writer.SUBMISSION)
RESULT_FIELDS: Final = fields_of(Writer.RESULT)


class DeletedTask(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a deleted task, so that no redelivery brings its result back.

    It holds no personal data. It has no ``created_at``, so no list of tasks shows it.
    """

    task_id: str
    status: Status = Status.DELETED
    submission_id: str | None = None
    asset_id: str | None = None
    deleted_revisions: list[str] = []
    deleted_at: datetime
    expires_at: datetime | None = None


class Page(msgspec.Struct, frozen=True):
    """Some of the segments of one revision, in order."""

    segments: list[Segment]
    expires_at: datetime | None


class RawChunk(msgspec.Struct, frozen=True):
    """A piece of the gzip-compressed body of one revision."""

    data: bytes = b""
    expires_at: datetime | None = None
    received_at: datetime | None = None


def task_path(task_id: str) -> str:
    """Return the path of the task's document."""
    return f"tasks/{task_id}"


def page_path(task_id: str, revision: str, index: int) -> str:
    """Return the path of the page ``index`` of a revision."""
    return f"tasks/{task_id}/segments/{revision}-{index:05d}"


def page_paths(task: Task) -> list[str]:
    """Return the paths of the pages with a task's segments, in order; none if they are inline."""
    if task.revision is None:
        return []
    return [
        page_path(task.task_id, task.revision, task.first_page + index)
        for index in range(task.pages)
    ]


def raw_path(task_id: str, revision: str, index: int) -> str:
    """Return the path of the raw block ``index`` of a revision."""
    return f"tasks/{task_id}/raw/{revision}-{index:05d}"


def revision_of(part_id: str) -> str:
    """Return the revision that a page or a raw block belongs to, by its document's id."""
    return part_id.rpartition("-")[0]
