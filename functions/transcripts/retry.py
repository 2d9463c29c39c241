"""When a failed operation is repeated: one policy, for every service that is called.

A policy has three numbers: the first pause, the longest pause, and the time after which the caller
gets the error. Each pause is twice the one before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from math import inf
from random import random
from typing import Final, TypeVar

from transcripts.errors import StoreMisconfigured, StoreUnavailable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """The pauses between attempts, and the time for all of them, in seconds.

    A loop that ends for another reason than time has ``timeout_s`` infinite.
    """

    first_pause_s: float
    max_pause_s: float
    timeout_s: float = inf

    def pause_s(self, failures: int) -> float:
        """Return the pause after the given number of failed attempts, which is at least 1."""
        # Without a limit the power overflows after a thousand failures.
        return min(self.first_pause_s * 2.0 ** min(failures - 1, 64), self.max_pause_s)

    def pauses_s(self) -> Iterator[float]:
        """Yield the pause after each failed attempt, without end."""
        return map(self.pause_s, count(1))


STORE: Final = RetryPolicy(first_pause_s=0.02, max_pause_s=2.0, timeout_s=20.0)
"""Most failures of the store are conflicts, which are over as soon as the other writer is done."""


class Retrier:
    """Repeats an operation of the store while it raises ``StoreUnavailable``."""

    def __init__(
        self,
        policy: RetryPolicy = STORE,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random,
    ) -> None:
        """``jitter`` returns 0 to 1; it spreads callers that collided."""
        self._policy = policy
        self._sleep = sleep
        self._jitter = jitter

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Return what ``operation`` returns.

        Raises the last ``StoreUnavailable`` when there is no time for another attempt, and every
        other error at once, ``StoreMisconfigured`` too: waiting does not repair it.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._policy.timeout_s
        pauses_s = self._policy.pauses_s()
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await operation()
            except TimeoutError as error:
                raise StoreUnavailable("The store did not answer in time.") from error
            except StoreMisconfigured:
                raise
            except StoreUnavailable:
                pause_s = next(pauses_s) * (0.5 + self._jitter())
                if clock() + pause_s >= deadline:
                    raise
            await self._sleep(pause_s)
