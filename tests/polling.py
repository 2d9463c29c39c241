"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PAUSE_S = 0.02


async def eventually(
    condition: Callable[[], Awaitable[bool] | bool], within_s: float = 30.0
) -> None:
    """Return as soon as ``condition`` is true; fails after ``within_s`` seconds."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                result = condition()
                if await result if isinstance(result, Awaitable) else result:
                    return
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s") from None
