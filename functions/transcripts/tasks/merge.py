"""Merges an incoming result or submission into the stored task. Pure.

A task has two independent writers: the submission and the provider's callback. The callback may
arrive first, late, twice, or with another body. Only this module decides between them, so that the
order of delivery cannot change the end state.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec.structs import replace

from transcripts.callbacks.kinds import Kind
from transcripts.tasks.task import RESULT_FIELDS, SUBMISSION_FIELDS, Status, Task

DECIDING_FIELDS: Final = (
    "task_id",
    "kind",
    "status",
    "submission_id",
    "created_at",
    "submitted_at",
    "received_at",
    "stored_at",
    "revision",
    "first_page",
    "deleted_revisions",
)
"""The fields that ``merge`` reads: a store need not read the segments to decide."""

_RANK: Final = {
    Status.SUBMITTED: 0,
    Status.OVERDUE: 0,
    Status.UNRECOGNIZED: 1,
    Status.FAILED: 2,
    Status.SUCCEEDED: 3,
}
_NEVER: Final = datetime.min.replace(tzinfo=UTC)

SECOND_SLOT: Final = 50_000
"""Index of the first page of a result that was normalized again, every other time: readers of the
pages that are replaced go on reading them."""


class Outcome(StrEnum):
    """How ``merge`` decided about an incoming result or submission."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    DELETED = "deleted"


class Merge(NamedTuple):
    """The task as it is now, and which of its fields changed (None: all, it is new)."""

    outcome: Outcome
    task: Task
    changed: tuple[str, ...] | None


def merge(current: Task | None, incoming: Task) -> Merge:
    """Join ``incoming`` (a result, which has a ``revision``, or a submission) into ``current``.

    ``current`` may hold only ``DECIDING_FIELDS``; then only ``changed`` may be written.
    """
    if current is None:
        return Merge(Outcome.STORED, incoming, None)
    if incoming.revision in current.deleted_revisions:
        return Merge(Outcome.DELETED, current, ())
    if current.status is Status.DELETED:
        return _merge_deleted(current, incoming)
    if incoming.revision is None:
        return _merge_submission(current, incoming)
    return _merge_result(current, incoming)


def _merge_deleted(current: Task, incoming: Task) -> Merge:
    """Join what arrives after a deletion.

    A result with another body is a new task without a submission. A submission leaves its ids only:
    so it can be found, and its personal fields do not come back.
    """
    if incoming.revision is not None:
        task = replace(incoming, deleted_revisions=current.deleted_revisions)
        return Merge(Outcome.STORED, task, None)
    if current.submission_id is not None:
        return Merge(Outcome.DELETED, current, ())
    names = ("submission_id", "asset_id")
    task = replace(current, **{name: getattr(incoming, name) for name in names})
    return Merge(Outcome.DELETED, task, names)


def renormalized(current: Task, result: Task) -> Merge:
    """Put a stored body's new result into ``current``, which may hold only ``DECIDING_FIELDS``."""
    first_page = SECOND_SLOT - current.first_page if current.revision == result.revision else 0
    return _joined(current, replace(result, first_page=first_page), RESULT_FIELDS)


def precedence(task: Task) -> tuple[int, datetime, str]:
    """Order results: by status, then by time, then by the first 64 bits of their SHA-256."""
    return (_RANK[task.status], task.received_at or _NEVER, task.revision or "")


def _merge_result(current: Task, incoming: Task) -> Merge:
    if current.revision == incoming.revision:
        return Merge(Outcome.DUPLICATE, current, ())
    if precedence(incoming) < precedence(current):
        return Merge(Outcome.SUPERSEDED, current, ())
    return _joined(current, incoming, RESULT_FIELDS)


def _merge_submission(current: Task, incoming: Task) -> Merge:
    if current.submission_id is not None:
        same = current.submission_id == incoming.submission_id
        return Merge(Outcome.DUPLICATE if same else Outcome.SUPERSEDED, current, ())
    names: tuple[str, ...] = SUBMISSION_FIELDS
    if current.revision is None:
        names = (*names, "status", "expires_at")
    return _joined(current, incoming, names)


def _joined(current: Task, incoming: Task, names: tuple[str, ...]) -> Merge:
    task = replace(current, **{name: getattr(incoming, name) for name in names})
    # The earlier time of both sides, whichever was stored first.
    moments = [each for each in (task.submitted_at, task.received_at) if each is not None]
    task = replace(task, kind=_kind(task), created_at=min(moments, default=None))
    changed = dict.fromkeys((*names, "kind", "created_at"))
    return Merge(Outcome.STORED, task, tuple(changed))


def _kind(task: Task) -> Kind:
    """A failure has no shape that tells its kind, but a submission buys only this kind."""
    if (
        task.submission_id is not None
        and task.kind is Kind.UNKNOWN
        and task.status is not Status.UNRECOGNIZED
    ):
        return Kind.MULTI_SPEAKER
    return task.kind
