"""One request a second, endpoint and account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

TOLERANCE: Final = 0.98
"""Fraction of the interval that is tolerated: network delays vary, and no exact rule is known."""


class Limiter:
    """Counts requests by endpoint; ``violations`` are those that came too soon."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        """Allow ``per_second`` requests to each endpoint; 0 is no limit."""
        self._interval_s = TOLERANCE / per_second if per_second else 0.0
        self._clock = clock
        self._last: dict[str, float] = {}
        self.requests: dict[str, int] = {}
        self.violations: dict[str, int] = {}

    def allows(self, endpoint: str) -> bool:
        """Count a request and tell whether it is within the limit."""
        now = self._clock()
        self.requests[endpoint] = self.requests.get(endpoint, 0) + 1
        if now - self._last.get(endpoint, float("-inf")) < self._interval_s:
            self.violations[endpoint] = self.violations.get(endpoint, 0) + 1
            return False
        self._last[endpoint] = now
        return True
