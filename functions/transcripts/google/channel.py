"""What Google's generated clients share: channel, identity, retries, and their errors as ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

import google.auth
import grpc.aio
from google.api_core.exceptions import GoogleAPICallError, RetryError, Unauthenticated
from google.api_core.grpc_helpers_async import create_channel
from google.api_core.retry_async import AsyncRetry
from google.auth.exceptions import GoogleAuthError

from transcripts.errors import TranscriptsError
from transcripts.retry import RetryPolicy

PORT: Final = 443
SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)

CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # An idle instance gets no CPU, so its connections may be dead when it resumes. Keepalive closes
    # a connection that does not answer within the time-out
    # (https://grpc.io/docs/guides/keepalive/), which leaves time to retry within one request. With
    # the clients' own options, a dead connection takes the whole time of a callback.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

C = TypeVar("C")

Translate = Callable[[grpc.StatusCode | None, str], TranscriptsError]
"""Returns the error of a status and the service's explanation; None if no call was made."""


class ChannelError(Exception):
    """No channel could be opened: this process has no Google identity, or got none in time."""


class Connection(Generic[C]):
    """The client of one service. The first caller connects; all callers share the client.

    A failed attempt to connect is not kept, so the next call connects again.
    """

    def __init__(self, host: str, emulator_host: str | None, client_type: type[C]) -> None:
        """``client_type`` is one of Google's generated asynchronous clients.

        Its channel leads to ``emulator_host``, insecure and without an identity, if that is set.
        """
        self._host = host
        self._emulator_host = emulator_host
        self._client_type: Any = client_type
        self._credentials: Any = None
        self._connecting: asyncio.Future[C] | None = None
        self._client: C | None = None

    @asynccontextmanager
    async def client(self, timeout_s: float) -> AsyncIterator[C]:
        """Give the client, connected within ``timeout_s``, for one call.

        Raises ``ChannelError``. If the service refuses the access token, the next call gets another
        token: google-auth itself would use the refused token until it expires.
        """
        client = self._client
        if client is None:
            client = await self._connected(timeout_s)
        try:
            yield client
        except Unauthenticated:
            if self._credentials is not None:
                # In UTC and without a time zone, as google-auth compares it.
                self._credentials.expiry = datetime.now(UTC).replace(tzinfo=None)
            raise

    async def _connected(self, timeout_s: float) -> C:
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._keep)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._connecting)
        except TimeoutError as error:
            # The attempt continues: a later call can use the client it makes.
            raise ChannelError("not in time") from error

    async def _connect(self) -> C:
        if self._emulator_host:
            channel = grpc.aio.insecure_channel(self._emulator_host, options=CHANNEL_OPTIONS)
            return self._client_over(channel)
        try:
            # It may wait for the metadata server. The channel belongs to the running event loop.
            credentials, _ = await asyncio.to_thread(google.auth.default, scopes=SCOPES)
        except (GoogleAuthError, OSError, ValueError) as error:
            raise ChannelError(type(error).__name__) from error
        self._credentials = credentials
        channel = create_channel(
            f"{self._host}:{PORT}",
            credentials=credentials,
            default_host=self._host,
            options=CHANNEL_OPTIONS,
        )
        return self._client_over(channel)

    def _client_over(self, channel: grpc.aio.Channel) -> C:
        transport_type = self._client_type.get_transport_class("grpc_asyncio")
        client: C = self._client_type(transport=transport_type(channel=channel))
        return client

    def _keep(self, connecting: asyncio.Future[C]) -> None:
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._client = connecting.result()


def async_retry(
    policy: RetryPolicy, predicate: Callable[[Exception], bool], timeout_s: float
) -> AsyncRetry:
    """Return Google's retry object for a policy, with less time than the policy's."""
    return AsyncRetry(
        predicate=predicate,
        initial=policy.first_pause_s,
        maximum=policy.max_pause_s,
        multiplier=2.0,
        timeout=timeout_s,
    )


@contextmanager
def translate_errors(translate: Translate) -> Iterator[None]:
    """Raise the errors of a service's calls as the package's own errors.

    A service may name its addresses in what it says, so that is only logged.
    """
    try:
        yield
    except (ChannelError, GoogleAPICallError, RetryError) as error:
        cause = error.cause if isinstance(error, RetryError) else error
        if isinstance(cause, GoogleAPICallError):
            status = cause.grpc_status_code
            raise translate(status, f"{status.name if status else '?'}: {cause.message}") from error
        raise translate(None, f"No Google identity: {cause}.") from error
