"""gRPC channels: to the real services with the process's identity, to an emulator without one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import google.auth
import google.auth.exceptions
import grpc.aio

CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # An idle instance gets no CPU; its connections may be gone when it wakes up. With keepalive,
    # TCP closes an unanswered connection after the time-out, soon enough to try again within one
    # request (https://grpc.io/docs/guides/keepalive/).
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


C = TypeVar("C")


class ChannelError(Exception):
    """No channel could be opened: this process has no Google identity, or got none in time."""


class Connection(Generic[C]):
    """The calls of one service; the first call connects for all.

    An attempt that failed is forgotten, so that the next call makes another one.
    """

    def __init__(self, connect: Callable[[], Awaitable[C]]) -> None:
        """Take how to connect; nothing is done yet."""
        self._connect = connect
        self._connecting: asyncio.Future[C] | None = None
        self._calls: C | None = None

    async def calls(self, within_s: float) -> C:
        """Return the calls, connected in at most ``within_s`` seconds; raises ``ChannelError``."""
        if self._calls is not None:
            return self._calls
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._connected)
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.shield(self._connecting)
        except TimeoutError as error:
            # It goes on: a metadata server that is late is late for the next call, too.
            raise ChannelError("not in time") from error

    def _connected(self, connecting: asyncio.Future[C]) -> None:
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._calls = connecting.result()


async def open_channel(transport: Any, emulator_host: str | None) -> grpc.aio.Channel:
    """Open a channel to the service of ``transport``, a generated transport class of Google's.

    Finding the credentials may ask the metadata server, which blocks, so it runs in a thread; the
    channel itself belongs to the running event loop. Raises ``ChannelError``.
    """
    if emulator_host:
        return grpc.aio.insecure_channel(emulator_host, options=CHANNEL_OPTIONS)
    try:
        credentials, _ = await asyncio.to_thread(google.auth.default, scopes=transport.AUTH_SCOPES)
        channel: grpc.aio.Channel = transport.create_channel(
            f"{transport.DEFAULT_HOST}:443", credentials=credentials, options=CHANNEL_OPTIONS
        )
    except (google.auth.exceptions.GoogleAuthError, OSError, ValueError) as error:
        raise ChannelError(type(error).__name__) from error
    return channel


def describe(error: Exception) -> str:
    """Say why a call failed: the status's name and the service's own words, shortened."""
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {(error.details() or '')[:200]}"
    return f"no Google identity ({error})"
