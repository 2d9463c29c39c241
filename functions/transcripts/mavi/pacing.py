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

LEARNS: Final = 0.25
"""Of what a turn took, as against what was believed before."""

LOOK_EVERY: Final = 0.05
"""Of the interval: how often who waits looks whether its turn has come earlier."""


class TooManyWaiting(Exception):
    """The caller's turn would come later than it can wait; ``wait_s`` is when it would."""

    def __init__(self, wait_s: float) -> None:
        """Take the seconds until the turn would have come."""
        super().__init__(f"{wait_s:.0f} s")
        self.wait_s = wait_s


class Pacer:
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
        self._turns = 0
        self._next_turn = float("-inf")
        self._last_turn = float("-inf")
        self._turn_s = interval_s + ARRIVES_WITHIN_S

    def wait_s(self) -> float:
        """Return about how long who asks now would wait, going by what turns took lately."""
        return max(self._next_turn - self._clock(), 0.0) + self._waiting * self._turn_s

    @asynccontextmanager
    async def turn(
        self, patience_s: float, intent: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[None]:
        """Enter the block when it is the caller's turn to send one request, and answer it there.

        ``intent`` runs just before: what has to be on record by then, without being so for as long
        as others are served first. Raises ``TooManyWaiting`` at once, and whatever ``intent``
        raises, which costs no turn.
        """
        wait_s = self.wait_s()
        if wait_s > patience_s:
            raise TooManyWaiting(wait_s)
        self._waiting += 1
        try:
            async with self._lock:
                await self._wait()
                if intent is not None:
                    await intent()
                self._turns += 1
                turn = self._turns
                self._learn(waited=wait_s > 0)
                self._next_turn = self._clock() + ARRIVES_WITHIN_S + self._interval_s
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            if turn == self._turns:
                self._next_turn = min(self._next_turn, self._clock() + self._interval_s)

    def _learn(self, *, waited: bool) -> None:
        """Take in how far this turn is from the last one, if nobody could have had one between."""
        now = self._clock()
        if waited:
            self._turn_s += (now - self._last_turn - self._turn_s) * LEARNS
        self._last_turn = now

    async def _wait(self) -> None:
        while (left_s := self._next_turn - self._clock()) > 0:
            await self._sleep(min(left_s, self._interval_s * LOOK_EVERY))
