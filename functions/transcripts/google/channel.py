"""gRPC channels: to the real services with the process's identity, to an emulator without one."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import google.auth
import google.auth.exceptions
import grpc.aio

CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # An idle instance gets no CPU and may wake up to dead connections. With keepalive, TCP gives an
    # unanswered connection up after the time-out (https://grpc.io/docs/guides/keepalive/), soon
    # enough to try again within one request.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class ChannelError(Exception):
    """No channel could be opened: this process has no Google identity."""


async def open_channel(transport: Any, emulator_host: str | None) -> grpc.aio.Channel:
    """Open a channel to the service of ``transport``, a generated transport class of Google's.

    Finding the credentials may ask the metadata server, which blocks, so it runs in a thread; the
    channel itself belongs to the running event loop. Raises ``ChannelError``.
    """
    if emulator_host:
        return grpc.aio.insecure_channel(emulator_host, options=CHANNEL_OPTIONS)
    try:
        credentials, _ = await asyncio.to_thread(google.auth.default, scopes=transport.AUTH_SCOPES)
    except (google.auth.exceptions.GoogleAuthError, OSError, ValueError) as error:
        raise ChannelError(type(error).__name__) from error
    channel: grpc.aio.Channel = transport.create_channel(
        f"{transport.DEFAULT_HOST}:443", credentials=credentials, options=CHANNEL_OPTIONS
    )
    return channel


def describe(error: Exception) -> str:
    """Say why a call failed: the status's name and the service's own words, shortened."""
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {(error.details() or '')[:200]}"
    return f"no Google identity ({error})"
