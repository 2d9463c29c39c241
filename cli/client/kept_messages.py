"""Messages that are kept for an operator: reading, publishing again, and only then acknowledging.

``Kept`` is one subscription, of the embedded broker or of Pub/Sub.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from cli.client.target import Target
from cli.failures import ExitCode, Failure, Unreachable
from transcripts.callbacks.message import unpack
from transcripts.callbacks.receiver import callback_message
from transcripts.embedded.database import Database
from transcripts.embedded.publisher import SqlitePublisher
from transcripts.errors import (
    MessageTooLarge,
    PoisonMessage,
    PublishUnavailable,
    UnreadableCallback,
)
from transcripts.ports import Message

if TYPE_CHECKING:
    from transcripts.ports import Publisher

BATCH: Final = 100
PULL_TIMEOUT_S: Final = 5.0
_ADDED: Final = "CloudPubSubDeadLetterSource"
"""Begins the attributes that Pub/Sub adds to a dead letter
(https://cloud.google.com/pubsub/docs/handling-failures)."""


class Source(StrEnum):
    """Which kept messages."""

    DEAD = "dead"
    REJECTED = "rejected"
    UPLOADS_DEAD = "uploads-dead"

    @property
    def kept_topic(self) -> str:
        """The topic whose messages are kept, without the prefix of a deployment."""
        return self.value if self is Source.UPLOADS_DEAD else f"callbacks-{self.value}"

    @property
    def topic(self) -> str:
        """The topic on which they are published again."""
        return "uploads" if self is Source.UPLOADS_DEAD else "callbacks"


@dataclass(frozen=True)
class KeptMessage:
    """A message; ``handle`` is what acknowledges it."""

    message_id: str
    message: Message
    published_at: datetime
    handle: str


def message_to_publish(source: Source, kept: KeptMessage) -> Message:
    """Return what is published instead of a kept message. Pure.

    A dead letter is published as it was. A rejected callback is read again by the present code;
    raises ``UnreadableCallback``, ``PoisonMessage`` or ``MessageTooLarge`` if that cannot read it
    either.
    """
    attributes = kept.message.attributes
    if source is Source.REJECTED:
        callback = unpack(kept.message.data, attributes, kept.published_at)
        return callback_message(callback.body, callback.received_at, attributes.get("traceparent"))
    original = {key: value for key, value in attributes.items() if not key.startswith(_ADDED)}
    return Message(kept.message.data, original)


UNREADABLE: Final = (UnreadableCallback, PoisonMessage, MessageTooLarge)


class Kept(Protocol):
    """The messages of one subscription that keeps them."""

    def batches(self) -> AsyncIterator[Sequence[KeptMessage]]:
        """Yield all messages, oldest first as far as the broker keeps an order."""
        ...

    async def publish(self, message: Message) -> None:
        """Return once ``message`` is durable on the topic of the source; raises ``Unreachable``."""
        ...

    async def acknowledge(self, kept: KeptMessage) -> None:
        """Remove a message."""
        ...

    async def release(self, kept: Collection[KeptMessage]) -> None:
        """Let others have messages that were read and not acknowledged."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class _Publishing:
    """Publishes on the topic of a source."""

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher = publisher
        self._topic = topic

    async def publish(self, message: Message) -> None:
        """Publish; see ``Kept``."""
        try:
            await self._publisher.publish(self._topic, message)
        except PublishUnavailable as error:
            raise Unreachable(
                f"{error.message} The message is still kept. Repeat the command."
            ) from error


class EmbeddedKept(_Publishing):
    """A subscription of the embedded broker, in the tables of ``transcripts.embedded.database``."""

    def __init__(self, data_dir: Path, subscription: str, topic: str) -> None:
        self._database = Database(data_dir)
        self._subscription = subscription
        super().__init__(SqlitePublisher(self._database), topic)

    async def batches(self) -> AsyncIterator[Sequence[KeptMessage]]:
        """Yield all messages; see ``Kept``."""
        last = 0
        while batch := await self._database.run(partial(self._read, last)):
            last = int(batch[-1].handle)
            yield batch

    def _read(self, after: int, connection: sqlite3.Connection) -> list[KeptMessage]:
        rows = connection.execute(
            "SELECT id, data, attributes, published_at"
            " FROM delivery JOIN message ON id = message_id"
            " WHERE subscription = ? AND id > ? ORDER BY id LIMIT ?",
            (self._subscription, after, BATCH),
        )
        return [
            KeptMessage(
                str(number),
                Message(data, json.loads(attributes)),
                datetime.fromisoformat(published_at),
                str(number),
            )
            for number, data, attributes, published_at in rows
        ]

    async def acknowledge(self, kept: KeptMessage) -> None:
        """Remove a message; see ``Kept``."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM delivery WHERE subscription = ? AND message_id = ?",
                (self._subscription, int(kept.handle)),
            )
            connection.execute(
                "DELETE FROM message WHERE id = ?"
                " AND NOT EXISTS (SELECT 1 FROM delivery WHERE message_id = message.id)",
                (int(kept.handle),),
            )

        await self._database.run(work)

    async def release(self, kept: Collection[KeptMessage]) -> None:
        """Do nothing: reading the table takes no lease."""

    async def close(self) -> None:
        """Close the file."""
        self._database.close()


class PubSubKept(_Publishing):
    """A subscription of Pub/Sub, or of its emulator at ``host``."""

    def __init__(self, host: str | None, subscription: str, topic: str) -> None:
        """``subscription`` and ``topic`` are full names."""
        import grpc
        from google.pubsub_v1.services.subscriber import SubscriberClient
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

        from transcripts.google.publisher import PubSubPublisher

        if host is None:
            self._client: Any = SubscriberClient()
        else:
            channel = grpc.insecure_channel(host)
            self._client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self._subscription = subscription
        super().__init__(PubSubPublisher(host), topic)

    async def batches(self) -> AsyncIterator[Sequence[KeptMessage]]:
        """Yield all messages; see ``Kept``."""
        seen: set[str] = set()
        while True:
            received = await asyncio.to_thread(self._pull)
            batch = [
                KeptMessage(
                    item.message.message_id,
                    Message(bytes(item.message.data), dict(item.message.attributes)),
                    item.message.publish_time.astimezone(UTC),
                    item.ack_id,
                )
                for item in received
                if item.message.message_id not in seen
            ]
            if not batch:
                return
            seen |= {each.message_id for each in batch}
            yield batch

    def _pull(self) -> list[Any]:
        from google.api_core.exceptions import DeadlineExceeded

        try:
            response = self._client.pull(
                subscription=self._subscription, max_messages=BATCH, timeout=PULL_TIMEOUT_S
            )
        except DeadlineExceeded:
            # This is how Pub/Sub says that there is nothing to pull.
            return []
        return list(response.received_messages)

    async def acknowledge(self, kept: KeptMessage) -> None:
        """Remove a message; see ``Kept``."""
        await asyncio.to_thread(
            self._client.acknowledge, subscription=self._subscription, ack_ids=[kept.handle]
        )

    async def release(self, kept: Collection[KeptMessage]) -> None:
        """End the leases; see ``Kept``."""
        handles = [each.handle for each in kept]
        for start in range(0, len(handles), BATCH):
            await asyncio.to_thread(
                self._client.modify_ack_deadline,
                subscription=self._subscription,
                ack_ids=handles[start : start + BATCH],
                ack_deadline_seconds=0,
            )

    async def close(self) -> None:
        """Close the connection for pulling."""
        self._client.transport.close()


def open_kept(target: Target, source: Source) -> Kept:
    """Return the kept messages of a pipeline; raises ``Failure``."""
    stack, environment = target.stack, target.environment
    if stack is not None:
        from cli.local.names import PROJECT

        subscription = f"{source.kept_topic}-kept"
        topic = f"projects/{PROJECT}/topics/{source.topic}"
        host = stack.environ.get("PUBSUB_EMULATOR_HOST")
        if host is None:
            return EmbeddedKept(Path(stack.data_dir), subscription, topic)
        return PubSubKept(host, f"projects/{PROJECT}/subscriptions/{subscription}", topic)
    if environment is None:
        raise Failure("Kept messages are in a project. Name the deployment: --env", ExitCode.USAGE)
    project, prefix = environment.project, environment.prefix
    return PubSubKept(
        None,
        f"projects/{project}/subscriptions/{prefix}-{source.kept_topic}-kept",
        f"projects/{project}/topics/{prefix}-{source.topic}",
    )
