"""The stored documents of the purchase ledger. Times are UTC."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from enum import StrEnum
from typing import Final
from unicodedata import normalize

import msgspec

from transcripts.tasks.task import Source

ID_CHARS: Final = 32


class State(StrEnum):
    """How far a purchase has come; ``transitions`` and ``claims`` hold the rules."""

    PENDING = "pending"
    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    REJECTED = "rejected"
    SUBMIT_UNKNOWN = "submit_unknown"


OPEN: Final = frozenset({State.PENDING, State.UPLOADING, State.UPLOADED, State.SUBMITTING})
"""The states that are not final."""


class Attempt(msgspec.Struct, frozen=True):
    """A previous purchase of the same asset, before a repetition."""

    state: State
    task_id: str | None
    reason: str | None
    ended_at: datetime


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the ledger.

    * ``lease_id`` names the holder until ``lease_expires_at``; without that time the entry has no
      holder.
    * ``queued``: a Cloud Tasks task will run this entry; ``enqueue_count`` is how often it was
      enqueued.
    * ``filename`` is the name of an object at Mavi, None if nothing is uploaded; ``uploads`` counts
      the tries; ``sent_at`` is when sending bytes last began or ended.
    * ``state_before_call`` is the state to return to when a call is refused.
    * ``replaces_task_id`` is the overdue task that this purchase replaces; ``resubmissions`` counts
      such purchases; ``previous_attempts`` are the purchases before a repetition.
    * ``spend_day`` is the UTC day whose spend cap this purchase counts against.
    * ``forbidden_since`` is when Cloud Storage first refused to let the object be read.
    * ``recording_id`` is the same for every generation of an object with the same bytes;
      ``duplicate_of`` is the submission that has this recording.
    * ``earlier_tasks`` is how many tasks the previous attempts have, as a text that can be counted;
      None for none.
    * ``search_keys`` are what its object is found by; see ``search_keys``.
    * ``deleted_at`` is when its transcript, or what is personal here, was deleted.
    """

    submission_id: str
    state: State
    asset_id: str | None = None
    source: Source | None = None
    filename: str | None = None
    labels: dict[str, str] = {}
    task_id: str | None = None
    reason: str | None = None
    lease_id: str = ""
    created_at: datetime
    updated_at: datetime
    lease_expires_at: datetime | None = None
    submitted_at: datetime | None = None
    expires_at: datetime | None = None
    sent_at: datetime | None = None
    uploads: int = 0
    queued: bool = False
    state_before_call: State | None = None
    replaces_task_id: str | None = None
    resubmissions: int = 0
    forbidden_since: datetime | None = None
    enqueue_count: int = 0
    spend_day: str | None = None
    previous_attempts: list[Attempt] = []
    recording_id: str | None = None
    duplicate_of: str | None = None
    earlier_tasks: str | None = None
    search_keys: list[str] = []
    deleted_at: datetime | None = None

    @property
    def task_ids(self) -> list[str]:
        """The tasks of all purchases, the first one first."""
        found = [*(each.task_id for each in self.previous_attempts), self.task_id]
        return [task_id for task_id in found if task_id]

    @property
    def queue_task_name(self) -> str:
        """The queue's name of its present round: the same for every repetition."""
        return f"{self.submission_id}-{self.enqueue_count}"


class AssetOwner(msgspec.Struct, frozen=True):
    """The submission that an asset belongs to, as ``assets/{asset_id}``.

    It is the submission that uploaded the asset, or else the one of its id. Submitting the asset by
    its id returns this submission: it is the same purchase.
    """

    submission_id: str
    expires_at: datetime | None = None


class RecordingOwner(msgspec.Struct, frozen=True):
    """The submission that a recording belongs to, as ``recordings/{recording_id}``.

    Another generation of the object with the same bytes is the same purchase.
    """

    submission_id: str
    expires_at: datetime | None = None


class SpendCounter(msgspec.Struct, frozen=True):
    """How many purchases count against the spend cap of a UTC day: ``spend_counters/{day}``."""

    submissions: int
    expires_at: datetime | None = None


def submission_id_of_asset(asset_id: str) -> str:
    """Return the id under which the purchase of an asset is recorded: the same every time."""
    return _id(f"asset:{asset_id}")


def submission_id_of_object(uri: str, generation: str) -> str:
    """Return the id under which the purchase of one generation of an object is recorded."""
    return _id(f"{uri}#{generation}")


def _id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:ID_CHARS]


_CONTENT: Final = re.compile("[0-9a-f]{16}")
"""The folder into which the `transcripts` command uploads a file: a hash of its content."""


def search_key(name: str) -> str:
    """Return what equal file names have in common: letter case and composition do not count."""
    return normalize("NFC", normalize("NFC", name).casefold())


def search_keys(source: Source | None) -> list[str]:
    """Return what an object is found by: the name of its file, and the hash of its content."""
    if source is None:
        return []
    folder, _, name = source.uri.rpartition("/")
    content = folder.rpartition("/")[2]
    return [search_key(name), *([content] if _CONTENT.fullmatch(content) else [])]


def submission_path(submission_id: str) -> str:
    """Return the path of the submission's document."""
    return f"submissions/{submission_id}"


def asset_owner_path(asset_id: str) -> str:
    """Return the path of the document of an asset's owner."""
    return f"assets/{asset_id}"


def recording_owner_path(recording_id: str) -> str:
    """Return the path of the document of a recording's owner."""
    return f"recordings/{recording_id}"


def spend_counter_path(day: str) -> str:
    """Return the path of the spend counter of a UTC day, ``YYYY-MM-DD``."""
    return f"spend_counters/{day}"
