"""Publishing to Pub/Sub so that load makes batches larger, not queues longer.

What arrives while a publish RPC is under way goes out together in the next one: one waiter alone
pays no delay, thirty-two share one RPC, and no timer decides. Each request still waits for its own
message to be acknowledged, and one failed RPC fails just the requests in it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.types import PublishRequest, PublishResponse

from transcripts.callbacks.message import Message
from transcripts.errors import PublishUnavailable
from transcripts.google.channel import ChannelError, Connection, describe, open_channel

ACKNOWLEDGE_WITHIN_S: Final = 10.0
"""Counted from the moment the first message of a batch arrives."""

STALLED_AFTER_S: Final = 1.0
"""After this time, the next RPC starts although this one has not ended."""

MAX_BATCH_MESSAGES: Final = 1_000
MAX_BATCH_BYTES: Final = 9_950_000
"""Both a little under the service's limits: https://cloud.google.com/pubsub/quotas#resource_limits."""

MESSAGE_OVERHEAD_BYTES: Final = 1_024
"""Attributes and framing of one message, at most; see ``callbacks.message``."""

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0

_REQUEST: Final = PublishRequest.pb()
_RESPONSE: Final = PublishResponse.pb()

_TRANSIENT: Final = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
"""What Google's own publisher retries, but for the deadline, which is ours."""


class _Batch:
    """Messages that go out in one RPC, and the future all their senders wait for."""

    __slots__ = ("acknowledged", "deadline", "request", "size")

    def __init__(self, topic: str, loop: asyncio.AbstractEventLoop) -> None:
        self.request = _REQUEST(topic=topic)
        self.size = 0
        self.deadline = loop.time() + ACKNOWLEDGE_WITHIN_S
        self.acknowledged: asyncio.Future[None] = loop.create_future()

    def has_room(self, size: int) -> bool:
        return (
            len(self.request.messages) < MAX_BATCH_MESSAGES and self.size + size <= MAX_BATCH_BYTES
        )

    def succeed(self) -> None:
        if not self.acknowledged.cancelled():
            self.acknowledged.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.acknowledged.cancelled():
            self.acknowledged.set_exception(error)
            # Fetched here once, in case every request of the batch is gone.
            self.acknowledged.exception()


class _TopicSender:
    """The batches of one topic, one RPC at a time but for stalled ones."""

    def __init__(self, topic: str, publisher: PubSubPublisher) -> None:
        self._topic = topic
        self._publisher = publisher
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Batch] = []
        self._blocking = 0
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, message: Message) -> asyncio.Future[None]:
        size = len(message.data) + MESSAGE_OVERHEAD_BYTES
        if not self._waiting or not self._waiting[-1].has_room(size):
            self._waiting.append(_Batch(self._topic, self._loop))
        batch = self._waiting[-1]
        batch.request.messages.add(data=message.data, attributes=message.attributes)
        batch.size += size
        self._send_next()
        return batch.acknowledged

    def _send_next(self) -> None:
        if self._waiting and not self._blocking:
            self._blocking += 1
            task = self._loop.create_task(self._send())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self) -> None:
        # Taken only now, so that it includes what was published in the same iteration of the loop.
        batch = self._waiting.pop(0)
        stalled = False

        def release() -> None:
            nonlocal stalled
            if not stalled:
                stalled = True
                self._blocking -= 1
                self._send_next()

        timer = self._loop.call_later(STALLED_AFTER_S, release)
        try:
            await self._publisher.send(batch.request, batch.deadline)
        except Exception as error:  # noqa: BLE001 - handed to every request of the batch
            batch.fail(error)
        else:
            batch.succeed()
        finally:
            timer.cancel()
            release()


class PubSubPublisher:
    """Publishes to any topics of Pub/Sub; the connection is made by the first message."""

    def __init__(self, emulator_host: str | None) -> None:
        """Take the emulator's ``host:port``, None for the service."""
        self._emulator_host = emulator_host
        self._lanes: dict[str, _TopicSender] = {}
        self._connection: Connection[Any] = Connection(self._connect)

    async def publish(self, topic: str, message: Message) -> None:
        """Return once Pub/Sub has acknowledged ``message``; see ``ports.Publisher``."""
        lane = self._lanes.get(topic)
        if lane is None:
            lane = self._lanes.setdefault(topic, _TopicSender(topic, self))
        # Not shielded, which would double the cost of waiting: nothing cancels one request alone,
        # only the end of the process cancels all of them.
        await lane.add(message)

    async def _connect(self) -> Any:
        channel = await open_channel(PublisherGrpcAsyncIOTransport, self._emulator_host)
        return channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=_REQUEST.SerializeToString,
            response_deserializer=_RESPONSE.FromString,
        )

    async def send(self, request: Any, deadline: float) -> None:
        """Send one batch, again until ``deadline`` (the loop's clock) if that may help."""
        clock = asyncio.get_running_loop().time
        metadata = (("x-goog-request-params", f"topic={request.topic}"),)
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                publish = await self._connection.calls(deadline - clock())
                await publish(request, timeout=max(deadline - clock(), 0.0), metadata=metadata)
            except ChannelError as error:
                raise PublishUnavailable(f"Pub/Sub: {describe(error)}.") from error
            except grpc.aio.AioRpcError as error:
                if error.code() not in _TRANSIENT or clock() + pause_s >= deadline:
                    raise PublishUnavailable(f"Pub/Sub: {describe(error)}.") from error
            else:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
