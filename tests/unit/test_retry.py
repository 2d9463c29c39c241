"""The policy of retries, and retries of store operations."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import islice

import pytest

from tests.fakes import Sleeper
from transcripts.errors import (
    Conflict,
    DocumentRefused,
    StoreMisconfigured,
    StoreUnavailable,
    TranscriptsError,
)
from transcripts.retry import STORE, Retrier, RetryPolicy


def test_pauses_double_up_to_the_longest() -> None:
    """The first pause is not doubled."""
    policy = RetryPolicy(first_pause_s=1.0, max_pause_s=10.0)
    assert list(islice(policy.pauses_s(), 6)) == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert policy.pause_s(2_000) == 10.0


async def test_retrier_after_transient_errors_retries_with_growing_pauses() -> None:
    """Conflicts and outages are retried; each pause is twice the one before, times the jitter."""
    sleeper = Sleeper()
    errors = [StoreUnavailable("a"), Conflict("b"), StoreUnavailable("c")]

    async def operation() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert await Retrier(sleep=sleeper, jitter=lambda: 0.5).run(operation) == "done"
    first_s = STORE.first_pause_s
    assert sleeper.slept == [first_s, 2 * first_s, 4 * first_s]


async def test_retrier_at_its_timeout_raises_the_last_error() -> None:
    """The retrier does not start a pause that would end after the timeout."""
    attempts = 0

    async def operation() -> None:
        nonlocal attempts
        attempts += 1
        raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable, match="down"):
        await Retrier(replace(STORE, timeout_s=0.2), jitter=lambda: 0.5).run(operation)
    assert 2 <= attempts <= 5


async def test_retrier_with_a_hanging_operation_raises_at_its_timeout() -> None:
    """The timeout limits the operation too, not only the pauses."""
    with pytest.raises(StoreUnavailable, match="in time"):
        await Retrier(replace(STORE, timeout_s=0.05)).run(lambda: asyncio.sleep(60))


@pytest.mark.parametrize("error", [DocumentRefused("too large"), StoreMisconfigured("no index")])
async def test_retrier_after_an_error_that_stays_does_not_retry(error: TranscriptsError) -> None:
    """Waiting repairs neither a document nor a missing index."""
    attempts = 0

    async def operation() -> None:
        nonlocal attempts
        attempts += 1
        raise error

    with pytest.raises(type(error)):
        await Retrier().run(operation)
    assert attempts == 1


async def test_retrier_after_many_errors_limits_its_pauses() -> None:
    """A pause is at most that of the policy, times the jitter."""
    sleeper = Sleeper()
    failures_left = 12

    async def operation() -> None:
        nonlocal failures_left
        failures_left -= 1
        if failures_left:
            raise StoreUnavailable("down")

    policy = replace(STORE, timeout_s=1000.0)
    await Retrier(policy, sleep=sleeper, jitter=lambda: 0.5).run(operation)
    assert max(sleeper.slept) == STORE.max_pause_s
