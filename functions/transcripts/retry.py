"""Retries of store operations: with growing pauses, for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from random import random
from typing import Final, TypeVar

from transcripts.errors import StoreUnavailable

T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.02
MAX_PAUSE_S: Final = 2.0


def backoff(first_s: float, max_s: float) -> Iterator[float]:
    """Yield pauses in seconds: each is twice the one before, at most ``max_s``; it never ends."""
    pause_s = first_s
    while True:
        yield pause_s
        pause_s = min(pause_s * 2, max_s)


class Retrier:
    """Repeats an operation while it raises ``StoreUnavailable``, for at most ``timeout_s``."""

    def __init__(
        self,
        timeout_s: float = 20.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random,
    ) -> None:
        """``jitter`` returns 0 to 1 and spreads callers that collided."""
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._jitter = jitter

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Return what ``operation`` returns.

        Raises the last ``StoreUnavailable`` when there is no time for another attempt, and every
        other error at once.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_s
        pauses_s = backoff(FIRST_PAUSE_S, MAX_PAUSE_S)
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await operation()
            except TimeoutError as error:
                raise StoreUnavailable("The store did not answer in time.") from error
            except StoreUnavailable:
                pause_s = next(pauses_s) * (0.5 + self._jitter())
                if clock() + pause_s >= deadline:
                    raise
            await self._sleep(pause_s)
