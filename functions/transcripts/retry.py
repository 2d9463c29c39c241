"""Retrying an operation of a store while its error is transient, for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import random
from typing import Final, TypeVar

from transcripts.errors import StoreUnavailable

T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 2.0


class Retrier:
    """Repeats an operation while it raises ``StoreUnavailable``, at most ``timeout_s`` seconds."""

    def __init__(
        self,
        timeout_s: float = 20.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random,
    ) -> None:
        """Take the time limit in seconds; ``jitter`` returns 0 to 1 and spreads collisions."""
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._jitter = jitter

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Return what ``operation`` returns; raises its last ``StoreUnavailable`` at the end."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await operation()
            except TimeoutError as error:
                raise StoreUnavailable("The store did not answer in time.") from error
            except StoreUnavailable:
                wait_s = pause_s * (0.5 + self._jitter())
                if clock() + wait_s >= deadline:
                    raise
            await self._sleep(wait_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
