"""Connections to Google's services: shared, with a timeout, and renewed after a failure."""

from __future__ import annotations

import asyncio
from typing import Any

import google.auth
import grpc.aio
import pytest

from transcripts.google import channel as channel_module
from transcripts.google.channel import ChannelError, Connection


class Client:
    """A generated client, which is made over a transport, which is made over a channel."""

    def __init__(self, transport: object) -> None:
        self.transport = transport

    @staticmethod
    def get_transport_class(_kind: str) -> Any:
        return lambda channel: channel


class ConnectionUnderTest(Connection[str]):
    """Each attempt to connect ends when the test sets the result of its future."""

    def __init__(self) -> None:
        super().__init__("unused", None, str)
        self.attempts: list[asyncio.Future[str]] = []

    async def calls(self, timeout_s: float) -> str:
        async with self.client(timeout_s) as client:
            return client

    async def _connect(self) -> str:
        self.attempts.append(asyncio.get_running_loop().create_future())
        return await self.attempts[-1]

    async def attempt(self, number: int) -> asyncio.Future[str]:
        while len(self.attempts) < number:
            await asyncio.sleep(0)
        return self.attempts[number - 1]


async def test_connection_with_concurrent_callers_connects_once() -> None:
    """Callers before and after the connection exists share one attempt."""
    connection = ConnectionUnderTest()
    waiting = [asyncio.ensure_future(connection.calls(10)) for _ in range(5)]
    (await connection.attempt(1)).set_result("connected")
    assert await asyncio.gather(*waiting) == ["connected"] * 5
    assert await connection.calls(0) == "connected"
    assert len(connection.attempts) == 1


@pytest.mark.parametrize("failure", [ChannelError("no identity"), RuntimeError("a surprise")])
async def test_connection_after_a_failure_connects_again(failure: Exception) -> None:
    """A failed attempt of any kind is not kept: it would disable the instance permanently."""
    connection = ConnectionUnderTest()
    waiting = asyncio.ensure_future(connection.calls(10))
    (await connection.attempt(1)).set_exception(failure)
    with pytest.raises(type(failure)):
        await waiting
    waiting = asyncio.ensure_future(connection.calls(10))
    (await connection.attempt(2)).set_result("connected")
    assert await waiting == "connected"


async def test_connection_after_a_timeout_continues_the_attempt() -> None:
    """The caller gets an error at its timeout; a later caller uses the same attempt."""
    connection = ConnectionUnderTest()
    with pytest.raises(ChannelError, match="not in time"):
        await connection.calls(0.01)
    waiting = asyncio.ensure_future(connection.calls(10))
    (await connection.attempt(1)).set_result("connected")
    assert await waiting == "connected"
    assert len(connection.attempts) == 1


async def test_connection_with_a_cancelled_caller_serves_the_others() -> None:
    """Cancelling one caller does not cancel the shared attempt."""
    connection = ConnectionUnderTest()
    cancelled, remaining = (asyncio.ensure_future(connection.calls(10)) for _ in range(2))
    attempt = await connection.attempt(1)
    cancelled.cancel()
    attempt.set_result("connected")
    assert await remaining == "connected"
    assert cancelled.cancelled()


@pytest.mark.parametrize("emulator_host", [None, "127.0.0.1:1"])
async def test_connection_has_keepalive_and_no_limit_of_a_message(
    monkeypatch: pytest.MonkeyPatch, emulator_host: str | None
) -> None:
    """With the clients' own options, a dead connection takes the whole time of a callback."""
    options: list[tuple[str, int]] = []

    def open_channel(_target: str, **arguments: Any) -> object:
        options.extend(arguments["options"])
        return object()

    monkeypatch.setattr(google.auth, "default", lambda scopes: (None, "p"))
    monkeypatch.setattr(channel_module, "create_channel", open_channel)
    monkeypatch.setattr(grpc.aio, "insecure_channel", open_channel)
    connection = Connection("pubsub.googleapis.com", emulator_host, Client)
    async with connection.client(10):
        chosen = dict(options)
    assert chosen["grpc.keepalive_timeout_ms"] <= 5_000
    assert chosen["grpc.keepalive_time_ms"] <= 60_000
    assert chosen["grpc.max_receive_message_length"] == -1
