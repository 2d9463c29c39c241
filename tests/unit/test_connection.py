"""Connecting to a service of Google's: once, in time, and again after a failure."""

from __future__ import annotations

import asyncio

import pytest

from transcripts.google.channel import ChannelError, Connection


class Connecting:
    """Connects when it is told to, or fails."""

    def __init__(self) -> None:
        self.attempts: list[asyncio.Future[str]] = []

    async def __call__(self) -> str:
        self.attempts.append(asyncio.get_running_loop().create_future())
        return await self.attempts[-1]

    async def begun(self, number: int) -> asyncio.Future[str]:
        while len(self.attempts) < number:
            await asyncio.sleep(0)
        return self.attempts[number - 1]


async def test_calls_at_once_connect_once() -> None:
    """Later calls use the same connection."""
    connecting = Connecting()
    connection = Connection(connecting)
    waiting = [asyncio.ensure_future(connection.calls(10)) for _ in range(5)]
    (await connecting.begun(1)).set_result("connected")
    assert await asyncio.gather(*waiting) == ["connected"] * 5
    assert await connection.calls(0) == "connected"
    assert len(connecting.attempts) == 1


@pytest.mark.parametrize("failure", [ChannelError("no identity"), RuntimeError("a surprise")])
async def test_calls_after_a_failure_connect_again(failure: Exception) -> None:
    """For any kind of failure."""
    connecting = Connecting()
    connection = Connection(connecting)
    waiting = asyncio.ensure_future(connection.calls(10))
    (await connecting.begun(1)).set_exception(failure)
    with pytest.raises(type(failure)):
        await waiting
    waiting = asyncio.ensure_future(connection.calls(10))
    (await connecting.begun(2)).set_result("connected")
    assert await waiting == "connected"


async def test_calls_with_a_slow_connection_time_out() -> None:
    """The attempt goes on and serves later calls."""
    connecting = Connecting()
    connection = Connection(connecting)
    with pytest.raises(ChannelError, match="not in time"):
        await connection.calls(0.01)
    waiting = asyncio.ensure_future(connection.calls(10))
    (await connecting.begun(1)).set_result("connected")
    assert await waiting == "connected"
    assert len(connecting.attempts) == 1


async def test_calls_cancelled_leave_the_others_connecting() -> None:
    """The attempt belongs to all of them."""
    connecting = Connecting()
    connection = Connection(connecting)
    gone, stays = (asyncio.ensure_future(connection.calls(10)) for _ in range(2))
    attempt = await connecting.begun(1)
    gone.cancel()
    attempt.set_result("connected")
    assert await stays == "connected"
    assert gone.cancelled()
