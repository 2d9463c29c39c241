"""Publishing to Pub/Sub in batches that grow with the load.

Messages that arrive while a publish RPC is running are sent together in the next RPC. A single
message is sent at once, since no timer delays it; 32 concurrent messages share one RPC. Each caller
still waits until its own message is acknowledged, and a failed RPC fails only the messages in it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from transcripts.errors import PublishUnavailable
from transcripts.google.channel import (
    Connection,
    open_channel,
    retry_transient,
    translate_errors,
)
from transcripts.google.messages import Messages
from transcripts.ports import Message
from transcripts.retry import backoff

HOST: Final = "pubsub.googleapis.com"

PUBLISH_TIMEOUT_S: Final = 10.0
"""From the arrival of a batch's first message to its acknowledgment, retries included."""

STALLED_AFTER_S: Final = 1.0
"""When an RPC takes longer, the next batch is sent without waiting for it."""

MAX_BATCH_MESSAGES: Final = 1_000
MAX_BATCH_BYTES: Final = 9_950_000
"""Both are a little under the service's limits
(https://cloud.google.com/pubsub/quotas#resource_limits)."""

FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 2.0

_MESSAGES: Final = Messages("pubsub", "google.pubsub.v1")
_REQUEST: Final = _MESSAGES.type("PublishRequest")
_RESPONSE: Final = _MESSAGES.type("PublishResponse")


def encode_message(message: Message) -> bytes:
    """Encode a ``PublishRequest`` with one message and no topic.

    Such requests one after another are the encoding of one request with all their messages
    (https://protobuf.dev/programming-guides/encoding/#last-one-wins). This takes half the time of
    encoding one large request.
    """
    request = _REQUEST()
    request.messages.add(data=message.data, attributes=message.attributes)
    encoded: bytes = request.SerializeToString()
    return encoded


class _Batch:
    """Messages that one RPC sends, and the future that all their senders await."""

    __slots__ = ("acknowledged", "deadline", "parts", "size")

    def __init__(self, topic: str, loop: asyncio.AbstractEventLoop) -> None:
        self.parts: list[bytes] = [_REQUEST(topic=topic).SerializeToString()]
        self.size = 0
        self.deadline = loop.time() + PUBLISH_TIMEOUT_S
        self.acknowledged: asyncio.Future[None] = loop.create_future()

    def has_room(self, size: int) -> bool:
        return len(self.parts) <= MAX_BATCH_MESSAGES and self.size + size <= MAX_BATCH_BYTES

    def add(self, encoded: bytes) -> None:
        self.parts.append(encoded)
        self.size += len(encoded)

    def succeed(self) -> None:
        if not self.acknowledged.cancelled():
            self.acknowledged.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.acknowledged.cancelled():
            self.acknowledged.set_exception(error)
            # Marks the error as retrieved: all awaiting requests may have been cancelled.
            self.acknowledged.exception()


class _TopicSender:
    """Sends the batches of one topic, one RPC at a time; stalled RPCs do not count."""

    def __init__(self, topic: str, publisher: PubSubPublisher) -> None:
        self._topic = topic
        self._publisher = publisher
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Batch] = []
        self._blocking = 0
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, message: Message) -> asyncio.Future[None]:
        encoded = encode_message(message)
        if not self._waiting or not self._waiting[-1].has_room(len(encoded)):
            self._waiting.append(_Batch(self._topic, self._loop))
        batch = self._waiting[-1]
        batch.add(encoded)
        self._send_next()
        return batch.acknowledged

    def _send_next(self) -> None:
        if self._waiting and not self._blocking:
            self._blocking += 1
            task = self._loop.create_task(self._send())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self) -> None:
        # Popped here, not in add(): messages added in the same event loop iteration join the batch.
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
            await self._publisher.send(self._topic, b"".join(batch.parts), batch.deadline)
        except Exception as error:  # noqa: BLE001 - every request of the batch raises it
            batch.fail(error)
        else:
            batch.succeed()
        finally:
            timer.cancel()
            release()


class PubSubPublisher:
    """Publishes to any Pub/Sub topic; the first message connects."""

    def __init__(self, emulator_host: str | None) -> None:
        """Set the emulator's ``host:port``, or None for the real service."""
        self._emulator_host = emulator_host
        self._senders: dict[str, _TopicSender] = {}
        self._connection: Connection[Any] = Connection(self._connect)

    async def publish(self, topic: str, message: Message) -> None:
        """Return once Pub/Sub has acknowledged ``message``; see ``ports.Publisher``."""
        sender = self._senders.get(topic)
        if sender is None:
            sender = self._senders.setdefault(topic, _TopicSender(topic, self))
        # Not shielded, since a shield doubles the cost of awaiting: requests are cancelled only
        # all together, when the process ends.
        await sender.add(message)

    async def _connect(self) -> Any:
        channel = await open_channel(HOST, self._emulator_host)
        return channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            response_deserializer=_RESPONSE.FromString,
        )

    async def send(self, topic: str, request: bytes, deadline: float) -> None:
        """Send an encoded ``PublishRequest``, retried until ``deadline`` (the loop's clock)."""
        clock = asyncio.get_running_loop().time
        metadata = (("x-goog-request-params", f"topic={topic}"),)

        async def publish() -> None:
            call = await self._connection.calls(deadline - clock())
            await call(request, timeout=max(deadline - clock(), 0.0), metadata=metadata)

        with translate_errors("Pub/Sub", PublishUnavailable):
            await retry_transient(publish, backoff(FIRST_PAUSE_S, MAX_PAUSE_S), deadline)
