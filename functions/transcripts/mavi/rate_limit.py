"""One request per second and endpoint: the account's limit, kept by whoever calls the provider.

https://api-tools.memories.ai/api-reference/getting-started/rate-limit

What counts is when requests arrive, and nobody here sees that. A request may take long to connect
and the next one not; so an interval begins when the answer to the one before it is there, by which
time that one has arrived. An answer that takes its time is waited for only so long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

ARRIVES_WITHIN_S: Final = 0.5
"""A request has arrived by then, answered or not."""

SMOOTHING: Final = 0.25
"""Of what a turn took, as against what was believed before."""

POLL_FRACTION: Final = 0.05
"""Of the interval: how often who waits looks whether its turn has come earlier."""


class RateLimitTimeout(Exception):
    """The caller's turn would come later than it can wait; ``wait_s`` is when it would."""

    def __init__(self, wait_s: float) -> None:
        """Take the seconds until the turn would have come."""
        super().__init__(f"{wait_s:.0f} s")
        self.wait_s = wait_s


class RateLimiter:
    """Hands out turns, so that requests arrive at least ``interval_s`` apart, first come first."""

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
        """Return about how long who asks now would wait, going by what turns took lately."""
        return max(self._next_slot - self._clock(), 0.0) + self._waiting * self._slot_s

    @asynccontextmanager
    async def slot(
        self, max_wait_s: float, before_send: Callable[[], Awaitable[object]] | None = None
    ) -> AsyncIterator[None]:
        """Enter the block when it is the caller's turn to send one request, and answer it there.

        ``intent`` runs just before: what has to be on record by then, without being so for as long
        as others are served first. Raises ``RateLimitTimeout`` at once, and whatever ``intent``
        raises, which costs no turn.
        """
        wait_s = self.wait_s()
        if wait_s > max_wait_s:
            raise RateLimitTimeout(wait_s)
        self._waiting += 1
        try:
            async with self._lock:
                await self._wait()
                if before_send is not None:
                    await before_send()
                self._slots += 1
                turn = self._slots
                self._learn(waited=wait_s > 0)
                self._next_slot = self._clock() + ARRIVES_WITHIN_S + self._interval_s
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            if turn == self._slots:
                self._next_slot = min(self._next_slot, self._clock() + self._interval_s)

    def _learn(self, *, waited: bool) -> None:
        """Take in how far this turn is from the last one, if nobody could have had one between."""
        now = self._clock()
        if waited:
            self._slot_s += (now - self._last_slot - self._slot_s) * SMOOTHING
        self._last_slot = now

    async def _wait(self) -> None:
        while (left_s := self._next_slot - self._clock()) > 0:
            await self._sleep(min(left_s, self._interval_s * POLL_FRACTION))
