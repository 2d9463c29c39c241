"""Retries of store operations."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import Sleeper
from transcripts.errors import Conflict, DocumentRefused, StoreUnavailable
from transcripts.retry import FIRST_PAUSE_S, MAX_PAUSE_S, Retrier


async def test_retrier_after_transient_errors_retries_with_growing_pauses() -> None:
    """Conflicts and outages are retried; each pause is twice the one before, times the jitter."""
    sleeper = Sleeper()
    errors = [StoreUnavailable("a"), Conflict("b"), StoreUnavailable("c")]

    async def operation() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert await Retrier(20.0, sleeper, lambda: 0.5).run(operation) == "done"
    assert sleeper.slept == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]


async def test_retrier_at_its_timeout_raises_the_last_error() -> None:
    """The retrier does not start a pause that would end after the timeout."""
    attempts = 0

    async def operation() -> None:
        nonlocal attempts
        attempts += 1
        raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable, match="down"):
        await Retrier(0.2, asyncio.sleep, lambda: 0.5).run(operation)
    assert 2 <= attempts <= 5


async def test_retrier_with_a_hanging_operation_raises_at_its_timeout() -> None:
    """The timeout limits the operation too, not only the pauses."""
    with pytest.raises(StoreUnavailable, match="in time"):
        await Retrier(0.05).run(lambda: asyncio.sleep(60))


async def test_retrier_after_a_permanent_error_does_not_retry() -> None:
    """A permanent error is raised after one attempt."""
    attempts = 0

    async def operation() -> None:
        nonlocal attempts
        attempts += 1
        raise DocumentRefused("too large")

    with pytest.raises(DocumentRefused):
        await Retrier().run(operation)
    assert attempts == 1


async def test_retrier_after_many_errors_limits_its_pauses() -> None:
    """A pause is at most ``MAX_PAUSE_S``, times the jitter."""
    sleeper = Sleeper()
    failures_left = 12

    async def operation() -> None:
        nonlocal failures_left
        failures_left -= 1
        if failures_left:
            raise StoreUnavailable("down")

    await Retrier(1000.0, sleeper, lambda: 0.5).run(operation)
    assert max(sleeper.slept) == MAX_PAUSE_S
