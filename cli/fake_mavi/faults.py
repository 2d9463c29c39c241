"""The faults that the fake injects, and how often.

Each fault is a counter: 3 means the next three times, -1 every time. The plain settings do not
count down.
"""

from __future__ import annotations

from typing import Final

import msgspec

ALWAYS: Final = -1


class Faults(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The faults, set by flags at the start and by ``PATCH /_fake/faults`` at any time."""

    # Plain settings.
    generation: int = 3
    """1: code "0000" · 2: code "200" in callbacks · 3: code 200."""
    callback_delay_s: float = 1.0
    upload_delay_s: float = 0.0
    """Time from the last uploaded byte until ``upload_status`` is SUCCESS."""
    rate_limit_status: int = 429
    """429, or 400 with the same message as every other ambiguous 400."""
    signed_url_method: str = "POST"
    giant_bytes: int = 30_000_000

    # Faults of callbacks.
    drop: int = 0
    duplicate: int = 0
    reorder: int = 0
    """The callback is held until another one was posted."""
    early: int = 0
    """The callback is posted before the submit request is answered."""
    failed: int = 0
    malformed: int = 0
    giant: int = 0
    foreign: int = 0
    """The callback has the shape of another endpoint; the shapes rotate."""

    # Faults of requests.
    lost_answer: int = 0
    """The job is created, then the connection is closed without an answer."""
    upload_fails: int = 0
    answers: dict[str, list[int]] = {}
    """The next HTTP statuses, by endpoint; 400 has the ambiguous message."""

    def take(self, name: str) -> bool:
        """Tell whether a fault applies this time, and count it down."""
        left: int = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return left != 0

    def take_answer(self, endpoint: str) -> int | None:
        """Return the status that the next answer of ``endpoint`` must have, if one is set."""
        ordered = self.answers.get(endpoint)
        return ordered.pop(0) if ordered else None
