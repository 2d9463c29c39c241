"""The requests of callers to the ledger, and its decisions; ``claims`` has the rules."""

from __future__ import annotations

from datetime import datetime

import msgspec

from transcripts.submissions.submission import State, Submission
from transcripts.tasks.task import Source


class PurchaseRequest(msgspec.Struct, frozen=True):
    """A request to buy one transcript. ``now`` is in UTC; ``lease_id`` is new for every claim.

    ``force`` repeats a purchase that was, or may have been, made. ``retry_rejected`` repeats a
    rejected one. ``cap_per_day`` is the spend cap, 0 for none.
    """

    submission_id: str
    now: datetime
    lease_id: str = ""
    asset_id: str | None = None
    source: Source | None = None
    filename: str | None = None
    recording_id: str | None = None
    labels: dict[str, str] | None = None
    force: bool = False
    retry_rejected: bool = True
    cap_per_day: int = 0

    @property
    def day(self) -> str:
        """The UTC day whose spend cap applies, ``YYYY-MM-DD``."""
        return self.now.strftime("%Y-%m-%d")


class LeaseGranted(msgspec.Struct, frozen=True):
    """The caller has the lease and may buy."""

    submission: Submission


class Queued(msgspec.Struct, frozen=True):
    """The purchase is recorded; the caller must enqueue it under ``queue_task_name``."""

    submission: Submission


class AlreadyBought(msgspec.Struct, frozen=True):
    """It was bought before; the entry names the task."""

    submission: Submission


class BoughtAndDeleted(msgspec.Struct, frozen=True):
    """It was bought before, and its transcript was deleted; only ``force`` buys it again."""

    submission: Submission


class AlreadyRejected(msgspec.Struct, frozen=True):
    """It was rejected before, and the request does not retry."""

    submission: Submission


class PurchaseUnknown(msgspec.Struct, frozen=True):
    """The answer of a call was lost: it may have been bought, so only ``force`` repeats it."""

    reason: str | None


class NotFound(msgspec.Struct, frozen=True):
    """The ledger has no such entry; it may have expired."""


class InProgress(msgspec.Struct, frozen=True):
    """Another holder has the lease."""

    retry_after_s: int


class OverSpendCap(msgspec.Struct, frozen=True):
    """The spend cap of the day is reached; ``retry_after_s`` is the time until midnight UTC."""

    retry_after_s: int
    state: State = State.PENDING


class TasksRemain(msgspec.Struct, frozen=True):
    """The submission has these tasks, which must be deleted before its entry."""

    task_ids: list[str]


class Erased(msgspec.Struct, frozen=True):
    """The entry holds nothing personal any more; ``before`` is what it was."""

    before: Submission


FinalDecision = AlreadyBought | BoughtAndDeleted | AlreadyRejected | PurchaseUnknown
ClaimDecision = LeaseGranted | InProgress | OverSpendCap | NotFound | FinalDecision
EnqueueDecision = Queued | FinalDecision
EraseDecision = Erased | TasksRemain | InProgress | NotFound
