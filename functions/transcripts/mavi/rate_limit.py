"""One request per second and endpoint: the account's limit, kept by every call of the provider.

https://api-tools.memories.ai/api-reference/getting-started/rate-limit

The limit counts when requests arrive, which the sender does not see: one request may take long to
connect and the next one not. So an interval begins when the answer to the previous request is here,
since that request has arrived by then. A slow answer delays the next request only so long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

ARRIVES_WITHIN_S: Final = 0.5
"""A request has arrived after this many seconds, answered or not."""

SMOOTHING: Final = 0.25
"""Weight of the latest slot in the estimate of how long a slot takes."""

POLL_FRACTION: Final = 0.05
"""A waiting caller checks this often, in intervals, whether its slot has become free earlier."""


class RateLimitTimeout(Exception):
    """The caller's slot is later than it can wait; ``wait_s`` is the estimated wait in seconds."""

    def __init__(self, wait_s: float) -> None:
        """Take the estimated wait in seconds."""
        super().__init__(f"{wait_s:.0f} s")
        self.wait_s = wait_s


class RateLimiter:
    """Gives slots in order, so that requests arrive at least ``interval_s`` apart."""

    def __init__(
        self,
        interval_s: float,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Take the interval in seconds; ``clock`` is the event loop's unless given."""
        self._interval_s = interval_s
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._slots = 0
        self._next_slot = float("-inf")
        self._last_slot = float("-inf")
        self._slot_s = interval_s + ARRIVES_WITHIN_S

    def wait_s(self) -> float:
        """Return the estimated wait of a new caller in seconds, from how long recent slots took."""
        return max(self._next_slot - self._clock(), 0.0) + self._waiting * self._slot_s

    @asynccontextmanager
    async def slot(
        self, max_wait_s: float, before_send: Callable[[], Awaitable[object]] | None = None
    ) -> AsyncIterator[None]:
        """Enter the block when the caller may send one request; leave it with the answer.

        ``before_send`` runs just before the block: it records the intent, which must not be on
        record while other callers are served first. Raises ``RateLimitTimeout`` at once, and
        whatever ``before_send`` raises; that uses no slot.
        """
        wait_s = self.wait_s()
        if wait_s > max_wait_s:
            raise RateLimitTimeout(wait_s)
        self._waiting += 1
        try:
            async with self._lock:
                await self._wait()
                free_at = self._clock()
                if before_send is not None:
                    await before_send()
                self._slots += 1
                number = self._slots
                self._learn(free_at, waited=wait_s > 0)
                self._next_slot = self._clock() + ARRIVES_WITHIN_S + self._interval_s
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            if number == self._slots:
                self._next_slot = min(self._next_slot, self._clock() + self._interval_s)

    def _learn(self, free_at: float, *, waited: bool) -> None:
        """Learn how long a slot takes from the time between the last slot and this one.

        Only if the caller waited: else the limiter was idle in between. The time that
        ``before_send`` takes is not the provider's: a silent store must not look like its limit.
        """
        if waited:
            self._slot_s += (free_at - self._last_slot - self._slot_s) * SMOOTHING
        self._last_slot = self._clock()

    async def _wait(self) -> None:
        while (left_s := self._next_slot - self._clock()) > 0:
            await self._sleep(min(left_s, self._interval_s * POLL_FRACTION))
