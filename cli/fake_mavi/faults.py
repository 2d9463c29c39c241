"""What goes wrong, and how often.

Each fault counts down: 3 means the next three times, -1 every time. Plain settings stay.
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
    """From the last byte to ``upload_status`` SUCCESS."""
    rate_limit_status: int = 429
    """429, or 400 with the text that stands for anything."""
    signed_url_method: str = "POST"
    giant_bytes: int = 30_000_000

    # Of callbacks.
    drop: int = 0
    duplicate: int = 0
    reorder: int = 0
    """Held back until another callback was posted."""
    early: int = 0
    """Posted before the submit is answered."""
    failed: int = 0
    malformed: int = 0
    giant: int = 0
    foreign: int = 0
    """Posted in the shape of another endpoint, one after the other."""

    # Of submits and other requests.
    lost_answer: int = 0
    """The job is accepted and the connection broken."""
    upload_fails: int = 0
    answers: dict[str, list[int]] = {}
    """HTTP statuses given next, by endpoint; 400 is the ambiguous one."""

    def take(self, name: str) -> bool:
        """Tell whether a fault applies this time, and count it down."""
        left: int = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return left != 0

    def take_answer(self, endpoint: str) -> int | None:
        """Return the status to answer ``endpoint`` with this time, if one is ordered."""
        ordered = self.answers.get(endpoint)
        return ordered.pop(0) if ordered else None
