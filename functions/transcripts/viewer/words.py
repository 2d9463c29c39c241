"""Times, prices and states in the words of a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from transcripts.submissions.submission import State
from transcripts.tasks.task import Status

MAVI_USD_PER_MINUTE: Final = 0.10
"""Mavi's price of a multi-speaker transcript, for each minute of media: docs/cost.md."""

COST_BASIS: Final = (
    f"An estimate: the minutes of media at Mavi's price of ${MAVI_USD_PER_MINUTE:.2f} a minute"
)

STATUS_WORDS: Final[Mapping[Status, str]] = {
    Status.SUCCEEDED: "Done",
    Status.SUBMITTED: "Waiting for Mavi",
    Status.OVERDUE: "Overdue",
    Status.FAILED: "Failed",
    Status.UNRECOGNIZED: "Not a transcript",
    Status.DELETED: "Deleted",
}

STATE_WORDS: Final[Mapping[State, str]] = {
    State.PENDING: "In the queue",
    State.UPLOADING: "Uploading to Mavi",
    State.UPLOADED: "Uploaded to Mavi",
    State.SUBMITTING: "Being requested",
    State.SUBMITTED: "Requested",
    State.REJECTED: "Rejected",
    State.SUBMIT_UNKNOWN: "Mavi's answer was lost",
}

TONES: Final[Mapping[str, str]] = {
    Status.SUCCEEDED: "good",
    Status.OVERDUE: "bad",
    Status.FAILED: "bad",
    State.REJECTED: "bad",
    State.SUBMIT_UNKNOWN: "bad",
}
"""How a state looks beside its word; any other one looks neutral."""


def clock(milliseconds: int) -> str:
    """Return a position in the media: ``2:03`` or ``1:02:03``."""
    minutes, second = divmod(milliseconds // 1000, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def cost(duration_s: float) -> str:
    """Return about what a transcript of that duration costs, in US dollars: ``COST_BASIS``."""
    dollars = duration_s / 60 * MAVI_USD_PER_MINUTE
    if 0 < dollars < 0.01:
        return "less than $0.01"
    return f"about ${dollars:,.2f}"


def initials(name: str) -> str:
    """Return the first letters or digits of the first and the last word of a name.

    They stand for the picture of a speaker. Mavi names pictures in a bucket of its own, which
    only Mavi may read.
    """
    words = [first for word in name.split() if (first := next(filter(str.isalnum, word), ""))]
    return "".join(words[:1] + words[1:][-1:]).upper() or "?"


def moment(time: datetime) -> str:
    """Return a time in UTC, to the minute; the script shows it in the reader's time zone."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def percent(share: float) -> str:
    """Return a share of 0 to 1 in whole percent, and never 0 for something."""
    return "< 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def plain_code(code: str) -> str:
    """Return a code such as ``too_large`` as words."""
    words = code.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
