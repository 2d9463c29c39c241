"""One request per second and endpoint: the account's limit, kept by every call of the provider.

https://api-tools.memories.ai/api-reference/getting-started/rate-limit

The limit counts when requests arrive, which the sender does not see: one request may take long to
connect and the next one may not. So an interval begins when the previous request is answered, since
an answered request has arrived. A slow answer delays the next one by ``ARRIVES_WITHIN_S`` at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import urllib3

from transcripts.errors import StoreUnavailable

ARRIVES_WITHIN_S: Final = 0.5
"""A request has arrived after this many seconds, answered or not."""

SMOOTHING: Final = 0.25
"""Weight of the latest slot in the estimate of how long a slot takes."""

POLL_FRACTION: Final = 0.05
"""A waiting caller checks this often, in intervals, whether its slot has become free earlier."""


class RateLimitTimeout(Exception):
    """The caller's slot is later than it can wait; ``wait_s`` is the estimated wait in seconds."""

    def __init__(self, wait_s: float) -> None:
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
        """``clock`` is the event loop's unless given, in seconds."""
        self._interval_s = interval_s
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._slots = 0
        self._next_slot = float("-inf")
        self._held_until = float("-inf")
        self._last_slot: float | None = None
        self._intents_s = 0.0
        self._slot_s = interval_s + ARRIVES_WITHIN_S

    def wait_s(self) -> float:
        """Return the estimated wait of a new caller in seconds, from how long recent slots took."""
        return max(self._left_s(), 0.0) + self._waiting * self._slot_s

    def hold_off(self, seconds: float) -> None:
        """Give no slot for so long: the provider asked for this pause."""
        self._held_until = max(self._held_until, self._clock() + seconds)

    @asynccontextmanager
    async def slot(
        self, max_wait_s: float, before_send: Callable[[], Awaitable[object]] | None = None
    ) -> AsyncIterator[None]:
        """Enter the block when the caller may send one request; leave it with the answer.

        ``before_send`` runs just before the block: it records the intent, which must not be on
        record while other callers are served first. Raises ``RateLimitTimeout`` at once, and
        whatever ``before_send`` raises; that uses no slot. Raises ``StoreUnavailable`` if recording
        the intents of earlier callers took more than ``max_wait_s``: the store is slow, not Mavi.
        """
        wait_s = self.wait_s()
        if wait_s > max_wait_s:
            raise RateLimitTimeout(wait_s)
        self._waiting += 1
        intents_s = self._intents_s
        try:
            async with self._lock:
                if self._intents_s - intents_s > max_wait_s:
                    raise StoreUnavailable("The store is too slow to record calls of the provider.")
                await self._wait(max_wait_s)
                if before_send is not None:
                    await self._record(before_send)
                self._slots += 1
                number = self._slots
                self._learn(waited=wait_s > 0)
                self._next_slot = self._clock() + ARRIVES_WITHIN_S + self._interval_s
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            if number == self._slots:
                self._next_slot = min(self._next_slot, self._clock() + self._interval_s)

    async def _record(self, before_send: Callable[[], Awaitable[object]]) -> None:
        """Run ``before_send``, and measure how long it takes."""
        started = self._clock()
        try:
            await before_send()
        except BaseException:
            # This slot stays unused, so the time until the next one is no measurement.
            self._last_slot = None
            raise
        finally:
            self._intents_s += self._clock() - started

    def _learn(self, *, waited: bool) -> None:
        """Learn how long a slot takes from the time between the last slot and this one.

        Only a caller that waited measures a slot: otherwise the limiter was idle in between. The
        time that recording intents takes does not count: a slow store must not look like the
        provider's limit.
        """
        now = self._clock() - self._intents_s
        if waited and self._last_slot is not None:
            self._slot_s += (now - self._last_slot - self._slot_s) * SMOOTHING
        self._last_slot = now

    def _left_s(self) -> float:
        return max(self._next_slot, self._held_until) - self._clock()

    async def _wait(self, max_wait_s: float) -> None:
        while (left_s := self._left_s()) > 0:
            if self._held_until - self._clock() > max_wait_s:
                raise RateLimitTimeout(left_s)
            await self._sleep(min(left_s, self._interval_s * POLL_FRACTION))


def retry_after_s(header: str | None) -> float:
    """Read ``Retry-After``, seconds or a date, at most 6 hours; 0 without a usable one."""
    try:
        return urllib3.Retry().parse_retry_after(header or "0")
    except (urllib3.exceptions.InvalidHeader, OverflowError, ValueError):
        return 0.0
