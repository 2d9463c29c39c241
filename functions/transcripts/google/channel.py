"""gRPC channels, and one way to retry and translate the errors of the calls over them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Final, Generic, TypeVar

import grpc.aio

from transcripts.errors import TranscriptsError
from transcripts.google.identity import IdentityError, call_credentials

CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # An idle instance gets no CPU, so its connections may be dead when it resumes. Keepalive closes
    # a connection that does not answer within the time-out
    # (https://grpc.io/docs/guides/keepalive/), which leaves time to retry within one request.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

TRANSIENT: Final = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
"""The statuses on which Google's own publisher retries
(https://github.com/googleapis/python-pubsub/blob/main/google/pubsub_v1/services/publisher/transports/base.py)."""

C = TypeVar("C")
R = TypeVar("R")


class ChannelError(Exception):
    """No channel could be opened: this process has no Google identity, or got none in time."""


class Connection(Generic[C]):
    """The calls of one service. The first caller connects; all callers share the connection.

    A failed attempt is not kept, so the next call connects again.
    """

    def __init__(self, connect: Callable[[], Awaitable[C]]) -> None:
        """Store the function that connects; the first call runs it."""
        self._connect = connect
        self._connecting: asyncio.Future[C] | None = None
        self._calls: C | None = None

    async def calls(self, timeout_s: float) -> C:
        """Return the calls, connected within ``timeout_s`` seconds; raises ``ChannelError``."""
        if self._calls is not None:
            return self._calls
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._connected)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._connecting)
        except TimeoutError as error:
            # The attempt continues: a later call can use the connection it makes.
            raise ChannelError("not in time") from error

    def _connected(self, connecting: asyncio.Future[C]) -> None:
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._calls = connecting.result()


async def open_channel(host: str, emulator_host: str | None) -> grpc.aio.Channel:
    """Open a channel to a service of Google, or to its emulator.

    The channel to an emulator is insecure and has no credentials. Finding the credentials for the
    real service may block on the metadata server, so it runs in a thread; the channel itself
    belongs to the running event loop. Raises ``ChannelError``.
    """
    if emulator_host:
        return grpc.aio.insecure_channel(emulator_host, options=CHANNEL_OPTIONS)
    try:
        identity = await asyncio.to_thread(call_credentials, host)
    except IdentityError as error:
        raise ChannelError(str(error)) from error
    credentials = grpc.composite_channel_credentials(grpc.ssl_channel_credentials(), identity)
    return grpc.aio.secure_channel(f"{host}:443", credentials, options=CHANNEL_OPTIONS)


async def retry_transient(
    attempt: Callable[[], Awaitable[R]], pauses_s: Iterable[float], deadline: float = inf
) -> R:
    """Return what ``attempt`` returns, repeated while it fails with a ``TRANSIENT`` status.

    ``pauses_s`` are the seconds before each repetition. The last error is raised when the pauses
    are used up, and when the next pause would not end before ``deadline`` (the event loop's clock).
    """
    clock = asyncio.get_running_loop().time
    for pause_s in pauses_s:
        try:
            return await attempt()
        except grpc.aio.AioRpcError as error:
            if error.code() not in TRANSIENT or clock() + pause_s >= deadline:
                raise
        await asyncio.sleep(pause_s)
    return await attempt()


@contextmanager
def translate_errors(
    service: str,
    default: type[TranscriptsError],
    by_status: Mapping[grpc.StatusCode, type[TranscriptsError]] | None = None,
) -> Iterator[None]:
    """Raise the errors of ``service``'s calls as the package's own errors.

    A status in ``by_status`` becomes the error it names there; every other status and every
    ``ChannelError`` becomes ``default``. The message has the status and the first 200 characters of
    the service's explanation.
    """
    try:
        yield
    except ChannelError as error:
        raise default(f"{service}: no Google identity ({error}).") from error
    except grpc.aio.AioRpcError as error:
        kind = (by_status or {}).get(error.code(), default)
        details = (error.details() or "")[:200]
        raise kind(f"{service}: {error.code().name}: {details}.") from error
