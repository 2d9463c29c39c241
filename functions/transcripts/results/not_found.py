"""The answer for a task that is not there."""

from __future__ import annotations

from transcripts.errors import RequestError


def task_not_found() -> RequestError:
    """Return the error of a task that never was, has expired, or is deleted."""
    return RequestError(
        "There is no such task. It may have expired, or its id is misspelled.",
        code="task_not_found",
        status=404,
    )
