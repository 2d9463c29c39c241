"""The answers of ``submit``, as types: ``submit`` encodes them, the command decodes into them.

docs/openapi.yaml describes them; a test compares.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from transcripts.submissions.submission import State, Submission


class Receipt(msgspec.Struct, frozen=True):
    """A job that was bought; ``duplicate`` tells that another request bought it.

    ``labels`` are those that the submission has now.
    """

    task_id: str
    submission_id: str
    duplicate: bool
    labels: dict[str, str] = {}
    status: Literal["submitted"] = "submitted"


class EnqueueResult(msgspec.Struct):
    """The ids of the submissions of a list, by decision.

    ``deleted`` were bought, and their transcripts were deleted: only ``force`` buys them again.
    ``labels`` are those that each submission has now. ``failed`` are asset ids that failed for now:
    the caller submits only these again. With ``force``, submitting the whole list again would buy
    the others once more.
    """

    queued: list[str] = []
    duplicates: list[str] = []
    unknown: list[str] = []
    deleted: list[str] = []
    labels: dict[str, dict[str, str]] = {}
    failed: list[str] = []


class RunResult(msgspec.Struct, frozen=True):
    """The state in the ledger after a run from the queue that needs no other run."""

    submission_id: str
    state: State
    task_id: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, entry: Submission, reason: str | None = None) -> RunResult:
        """Report an entry; ``reason`` is why the run ended if the entry does not say it."""
        return cls(entry.submission_id, entry.state, entry.task_id, entry.reason or reason)
