"""Trying again against a store."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import Sleeper
from transcripts.errors import Conflict, DocumentRefused, StoreUnavailable
from transcripts.retry import FIRST_PAUSE_S, LONGEST_PAUSE_S, Retrier


async def test_transient_errors_are_tried_again_with_growing_pauses() -> None:
    """Conflicts and outages alike; the pauses double, spread by the jitter."""
    sleeper = Sleeper()
    errors = [StoreUnavailable("a"), Conflict("b"), StoreUnavailable("c")]

    async def operation() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert await Retrier(20.0, sleeper, lambda: 0.5).run(operation) == "done"
    assert sleeper.slept == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]


async def test_the_last_error_is_raised_when_the_time_is_up() -> None:
    """No pause is begun that could not end in time."""
    tries = 0

    async def operation() -> None:
        nonlocal tries
        tries += 1
        raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable, match="down"):
        await Retrier(0.2, asyncio.sleep, lambda: 0.5).run(operation)
    assert 2 <= tries <= 5


async def test_a_call_that_hangs_is_given_up() -> None:
    """The budget covers the call, not only the pauses."""
    with pytest.raises(StoreUnavailable, match="in time"):
        await Retrier(0.05).run(lambda: asyncio.sleep(60))


async def test_permanent_errors_are_not_tried_again() -> None:
    """They would be the same."""
    tries = 0

    async def operation() -> None:
        nonlocal tries
        tries += 1
        raise DocumentRefused("too large")

    with pytest.raises(DocumentRefused):
        await Retrier().run(operation)
    assert tries == 1


async def test_pauses_are_bounded() -> None:
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
