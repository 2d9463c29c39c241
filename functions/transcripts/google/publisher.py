"""Publishing to Pub/Sub in batches that grow with the load.

Messages that arrive while a publish RPC is running are sent together in the next RPC. A single
message is sent at once, since no timer delays it; 32 concurrent messages share one RPC. Each caller
still waits until its own message is acknowledged. Google's own ``PublisherClient`` joins messages
too, but waits for a timer, and works in threads; ``docs/performance.md`` compares both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import grpc
from google.api_core.exceptions import GoogleAPICallError, InvalidArgument
from google.pubsub_v1 import PublisherAsyncClient, PublishRequest

from transcripts.errors import PublishUnavailable
from transcripts.google.channel import ChannelError, Connection, async_retry, translate_errors
from transcripts.ports import Message
from transcripts.retry import RetryPolicy
from transcripts.traces import with_trace

HOST: Final = "pubsub.googleapis.com"

RETRY: Final = RetryPolicy(first_pause_s=0.1, max_pause_s=2.0, timeout_s=10.0)
"""The time runs from the arrival of a batch's first message to its acknowledgment."""

SHORTEST_ATTEMPT_S: Final = 0.2
"""No attempt begins with less time left: its own time-out would hide what Pub/Sub said before."""

STALLED_AFTER_S: Final = 1.0
"""When an RPC takes longer, the next batch is sent without waiting for it."""

MAX_BATCH_MESSAGES: Final = 1_000
MAX_BATCH_BYTES: Final = 9_950_000
"""Both are a little under the service's limits
(https://cloud.google.com/pubsub/quotas#resource_limits)."""


class _Waiting(NamedTuple):
    """A message that is not acknowledged yet; ``arrived`` is a time of the event loop."""

    message: Message
    size: int
    arrived: float
    acknowledged: asyncio.Future[None]


class _TopicSender:
    """Sends the messages of one topic, one RPC at a time; stalled RPCs do not count."""

    def __init__(self, topic: str, publisher: PubSubPublisher) -> None:
        self._topic = topic
        self._publisher = publisher
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = []
        self._blocking = 0
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, message: Message) -> asyncio.Future[None]:
        acknowledged: asyncio.Future[None] = self._loop.create_future()
        waiting = _Waiting(message, encoded_bytes(message), self._loop.time(), acknowledged)
        self._waiting.append(waiting)
        self._send_next()
        return acknowledged

    def _send_next(self) -> None:
        if self._waiting and not self._blocking:
            self._blocking += 1
            task = self._loop.create_task(self._send_batch())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send_batch(self) -> None:
        # Taken here, not in add(): messages added in the same event loop iteration join the batch.
        batch = self._take_batch()
        stalled = False

        def release() -> None:
            nonlocal stalled
            if not stalled:
                stalled = True
                self._blocking -= 1
                self._send_next()

        timer = self._loop.call_later(STALLED_AFTER_S, release)
        try:
            await self._send(batch, batch[0].arrived + RETRY.timeout_s)
        finally:
            timer.cancel()
            release()

    def _take_batch(self) -> list[_Waiting]:
        size = count = 0
        for waiting in self._waiting[:MAX_BATCH_MESSAGES]:
            size += waiting.size
            if count and size > MAX_BATCH_BYTES:
                break
            count += 1
        batch = self._waiting[:count]
        del self._waiting[:count]
        return batch

    async def _send(self, batch: Sequence[_Waiting], deadline: float) -> None:
        try:
            await self._publisher.send(
                self._topic, [waiting.message for waiting in batch], deadline
            )
        except _Refused as error:
            if len(batch) > 1:
                # Pub/Sub refuses a request as a whole: find the message that is wrong.
                middle = len(batch) // 2
                halves = (self._send(half, deadline) for half in (batch[:middle], batch[middle:]))
                await asyncio.gather(*halves)
                return
            _end(batch, error)
        except Exception as error:  # noqa: BLE001 - every request of the batch raises it
            _end(batch, error)
        else:
            _end(batch, None)


def _end(batch: Sequence[_Waiting], error: Exception | None) -> None:
    for waiting in batch:
        acknowledged = waiting.acknowledged
        if acknowledged.cancelled():
            continue
        if error is None:
            acknowledged.set_result(None)
        else:
            acknowledged.set_exception(error)
            # Marks the error as retrieved: the awaiting request may be cancelled until then.
            acknowledged.exception()


def encoded_bytes(message: Message) -> int:
    """Return at least the size of a message in a request, in bytes."""
    # A character has at most four bytes; tags and lengths are the rest.
    attributes = message.attributes
    characters = len("".join(attributes)) + len("".join(attributes.values()))
    return len(message.data) + 4 * characters + 16 * len(attributes) + 16


class _Refused(PublishUnavailable):
    """Pub/Sub says that the request is wrong, so it is not repeated."""


class PubSubPublisher:
    """Publishes to any Pub/Sub topic; the first message connects."""

    def __init__(self, emulator_host: str | None) -> None:
        """``emulator_host`` is the emulator's ``host:port``, None for the real service."""
        self._senders: dict[str, _TopicSender] = {}
        self._connection = Connection(HOST, emulator_host, PublisherAsyncClient)

    async def publish(self, topic: str, message: Message) -> None:
        """Return once Pub/Sub has acknowledged ``message``; see ``ports.Publisher``."""
        sender = self._senders.get(topic)
        if sender is None:
            sender = self._senders.setdefault(topic, _TopicSender(topic, self))
        # Here, since a batch is sent in the context of one of its requests.
        message = Message(message.data, with_trace(message.attributes))
        # Not shielded, since a shield doubles the cost of awaiting: requests are cancelled only
        # all together, when the process ends.
        await sender.add(message)

    async def send(self, topic: str, messages: Sequence[Message], deadline: float) -> None:
        """Publish in one request, repeated until ``deadline`` (the event loop's clock).

        It is repeated whatever Pub/Sub answers, since a callback that is lost may be a paid result:
        the rights of a first deployment spread for minutes, and a missing topic may be on its way.
        """
        clock = asyncio.get_running_loop().time
        request = PublishRequest.pb()(topic=topic)
        for message in messages:
            request.messages.add(data=message.data, attributes=message.attributes)

        async def attempt() -> None:
            async with self._connection.client(deadline - clock()) as client:
                await client.publish(
                    request=PublishRequest.wrap(request),
                    retry=None,
                    timeout=max(deadline - clock(), 0.001),
                )

        with translate_errors(_error):
            retry = async_retry(RETRY, _is_retried, deadline - SHORTEST_ATTEMPT_S - clock())
            await retry(attempt)()


def _is_retried(error: Exception) -> bool:
    return isinstance(error, ChannelError | GoogleAPICallError) and not isinstance(
        error, InvalidArgument
    )


def _error(status: grpc.StatusCode | None, explanation: str) -> PublishUnavailable:
    if status is grpc.StatusCode.INVALID_ARGUMENT:
        return _Refused("Pub/Sub refuses the message.", explanation=explanation)
    return PublishUnavailable("Pub/Sub did not acknowledge in time.", explanation=explanation)
