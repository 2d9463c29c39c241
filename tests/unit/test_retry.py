"""Trying again against a store."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import Sleeper
from transcripts.errors import Conflict, DocumentRefused, StoreUnavailable
from transcripts.retry import FIRST_PAUSE_S, LONGEST_PAUSE_S, Retrier


async def test_run_with_transient_errors_retries_with_growing_pauses() -> None:
    """The pauses double, spread by the jitter."""
    sleeper = Sleeper()
    errors = [StoreUnavailable("a"), Conflict("b"), StoreUnavailable("c")]

    async def operation() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert await Retrier(20.0, sleeper, lambda: 0.5).run(operation) == "done"
    assert sleeper.slept == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]


async def test_run_out_of_time_raises_the_last_error() -> None:
    """No pause starts that could not end in time."""
    tries = 0

    async def operation() -> None:
        nonlocal tries
        tries += 1
        raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable, match="down"):
        await Retrier(0.2, asyncio.sleep, lambda: 0.5).run(operation)
    assert 2 <= tries <= 5


async def test_run_with_a_hanging_call_times_out() -> None:
    """The time limit covers the call."""
    with pytest.raises(StoreUnavailable, match="in time"):
        await Retrier(0.05).run(lambda: asyncio.sleep(60))


async def test_run_with_a_permanent_error_raises_at_once() -> None:
    """It would be the same again."""
    tries = 0

    async def operation() -> None:
        nonlocal tries
        tries += 1
        raise DocumentRefused("too large")

    with pytest.raises(DocumentRefused):
        await Retrier().run(operation)
    assert tries == 1


async def test_run_with_many_errors_bounds_the_pauses() -> None:
    """They do not double for ever."""
    sleeper = Sleeper()
    left = 12

    async def operation() -> None:
        nonlocal left
        left -= 1
        if left:
            raise StoreUnavailable("down")

    await Retrier(1000.0, sleeper, lambda: 0.5).run(operation)
    assert max(sleeper.slept) == LONGEST_PAUSE_S
