"""Messages that are kept for an operator, in one subscription of Pub/Sub or of the local broker."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cli.client.target import Target
from cli.failures import ExitCode, Failure, Unreachable
from cli.local.broker import delete_delivery
from cli.local.emulators import pubsub_clients, subscription_path
from cli.local.topics import PROJECT
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
from transcripts.ports import Message, Publisher

BATCH: Final = 100
PULL_TIMEOUT_S: Final = 1.5
QUIET_S: Final = 3.0
"""Pub/Sub may answer a pull with nothing while messages wait; after this time there are none
(https://cloud.google.com/pubsub/docs/pull#unary_pull)."""

UNREADABLE: Final = (UnreadableCallback, PoisonMessage, MessageTooLarge)
_ADDED: Final = "CloudPubSubDeadLetterSource"
"""Begins the attributes that Pub/Sub adds to a dead letter
(https://cloud.google.com/pubsub/docs/handling-failures)."""


class KeptFrom(StrEnum):
    """Why messages are kept: they could not be delivered, or a callback could not be read.

    The local stack also keeps the events of results, for people to look at.
    """

    DEAD = "dead"
    REJECTED = "rejected"
    UPLOADS_DEAD = "uploads-dead"
    RESULTS = "results"

    @property
    def kept_topic(self) -> str:
        """The topic whose messages are kept, without the prefix of a deployment."""
        whole = (KeptFrom.UPLOADS_DEAD, KeptFrom.RESULTS)
        return self.value if self in whole else f"callbacks-{self.value}"

    @property
    def topic(self) -> str:
        """The topic on which they are published again."""
        return "uploads" if self is KeptFrom.UPLOADS_DEAD else "callbacks"


@dataclass(frozen=True)
class KeptMessage:
    """A message; ``handle`` is what acknowledges it."""

    message_id: str
    message: Message
    published_at: datetime
    handle: str


def message_to_publish(kept_from: KeptFrom, kept: KeptMessage) -> Message:
    """Return what is published instead of a kept message. Pure.

    A dead letter is published as it was. A rejected callback is read again by the present code;
    raises one of ``UNREADABLE`` if that cannot read it either.
    """
    attributes = kept.message.attributes
    if kept_from is KeptFrom.REJECTED:
        callback = unpack(kept.message.data, attributes, kept.published_at)
        return callback_message(callback.body, callback.received_at)
    original = {key: value for key, value in attributes.items() if not key.startswith(_ADDED)}
    return Message(kept.message.data, original)


class KeptMessages(ABC):
    """The messages of one subscription that keeps them."""

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher = publisher
        self._topic = topic

    @abstractmethod
    def read(self) -> AsyncIterator[KeptMessage]:
        """Yield all messages, oldest first as far as the broker keeps an order."""

    async def publish(self, message: Message) -> None:
        """Return once ``message`` is durable on its first topic; raises ``Unreachable``."""
        try:
            await self._publisher.publish(self._topic, message)
        except PublishUnavailable as error:
            raise Unreachable(
                f"{error.message} The message is still kept. Repeat the command."
            ) from error

    @abstractmethod
    async def acknowledge(self, kept: KeptMessage) -> None:
        """Remove a message."""

    @abstractmethod
    async def close(self) -> None:
        """Let others have the messages that were not acknowledged, and close all connections."""


class EmbeddedKept(KeptMessages):
    """A subscription of the local broker, in the tables of ``transcripts.embedded.database``."""

    def __init__(self, data_dir: Path, subscription: str, topic: str) -> None:
        self._database = Database(data_dir)
        self._subscription = subscription
        super().__init__(SqlitePublisher(self._database), topic)

    async def read(self) -> AsyncIterator[KeptMessage]:
        """Yield all messages; see ``KeptMessages``."""
        last = 0

        def batch(connection: sqlite3.Connection) -> list[Any]:
            return connection.execute(
                "SELECT id, data, attributes, published_at"
                " FROM delivery JOIN message ON id = message_id"
                " WHERE subscription = ? AND id > ? ORDER BY id LIMIT ?",
                (self._subscription, last, BATCH),
            ).fetchall()

        while rows := await self._database.run(batch):
            for last, data, attributes, published_at in rows:
                message = Message(data, json.loads(attributes))
                published = datetime.fromisoformat(published_at)
                yield KeptMessage(str(last), message, published, str(last))

    async def acknowledge(self, kept: KeptMessage) -> None:
        """Remove a message; see ``KeptMessages``."""
        await self._database.run(
            lambda connection: delete_delivery(connection, self._subscription, int(kept.handle))
        )

    async def close(self) -> None:
        """Close the file: reading the table takes no lease."""
        self._database.close()


class PubSubKept(KeptMessages):
    """A subscription of Pub/Sub, or of its emulator at ``host``."""

    def __init__(self, host: str | None, subscription: str, topic: str) -> None:
        """``subscription`` and ``topic`` are full names."""
        from google.pubsub_v1 import SubscriberClient

        from transcripts.google.publisher import PubSubPublisher

        self._client = pubsub_clients(host)[1] if host else SubscriberClient()
        self._subscription = subscription
        self._leased: set[str] = set()
        super().__init__(PubSubPublisher(host), topic)

    async def read(self) -> AsyncIterator[KeptMessage]:
        """Yield all messages; see ``KeptMessages``."""
        seen: set[str] = set()
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < QUIET_S:
            received = await asyncio.to_thread(self._pull)
            self._leased |= {item.ack_id for item in received}
            for item in received:
                found = item.message
                if found.message_id not in seen:
                    seen.add(found.message_id)
                    yield KeptMessage(
                        found.message_id,
                        Message(bytes(found.data), dict(found.attributes)),
                        datetime.fromtimestamp(found.publish_time.timestamp(), UTC),
                        item.ack_id,
                    )
                    quiet_since = time.monotonic()

    def _pull(self) -> list[Any]:
        from google.api_core.exceptions import DeadlineExceeded

        try:
            response = self._client.pull(
                subscription=self._subscription, max_messages=BATCH, timeout=PULL_TIMEOUT_S
            )
        except DeadlineExceeded:
            # This is how Pub/Sub says that it had nothing within the time.
            return []
        return list(response.received_messages)

    async def acknowledge(self, kept: KeptMessage) -> None:
        """Remove a message; see ``KeptMessages``."""
        await asyncio.to_thread(
            self._client.acknowledge, subscription=self._subscription, ack_ids=[kept.handle]
        )
        self._leased.discard(kept.handle)

    async def close(self) -> None:
        """End the leases, and close the connection."""
        handles = sorted(self._leased)
        for start in range(0, len(handles), BATCH):
            await asyncio.to_thread(
                self._client.modify_ack_deadline,
                subscription=self._subscription,
                ack_ids=handles[start : start + BATCH],
                ack_deadline_seconds=0,
            )
        self._client.transport.close()


class TemporaryKept(PubSubKept):
    """A subscription of Pub/Sub to the events of one task, which is deleted when it is closed."""

    def __init__(self, subscription: str, topic: str, task_id: str) -> None:
        """Make it; Pub/Sub deletes it after a day if this process dies."""
        super().__init__(None, subscription, topic)
        self._client.create_subscription(
            {
                "name": subscription,
                "topic": topic,
                "filter": f'attributes.task_id = "{task_id}"',
                "expiration_policy": {"ttl": {"seconds": 24 * 60 * 60}},
                "message_retention_duration": {"seconds": 24 * 60 * 60},
            }
        )

    async def close(self) -> None:
        """Delete it, and close the connection."""
        self._client.delete_subscription(subscription=self._subscription)
        self._leased.clear()
        await super().close()


def open_results(target: Target, task_id: str) -> KeptMessages:
    """Return the events of one task that come from now on; raises what Pub/Sub raises."""
    environment = target.environment
    if target.stack is not None:
        return open_kept(target, KeptFrom.RESULTS)
    if environment is None:
        raise Failure("Events are in a project. Name the deployment: --env", ExitCode.USAGE)
    topic = f"projects/{environment.project}/topics/{environment.prefix}-results"
    subscription = f"projects/{environment.project}/subscriptions/{environment.prefix}-{task_id}"
    return TemporaryKept(subscription, topic, task_id)


def open_kept(target: Target, kept_from: KeptFrom) -> KeptMessages:
    """Return the kept messages of a pipeline; raises ``Failure``."""
    stack, environment = target.stack, target.environment
    subscription = f"{kept_from.kept_topic}-kept"
    if stack is not None:
        topic = f"projects/{PROJECT}/topics/{kept_from.topic}"
        host = stack.environ.get("PUBSUB_EMULATOR_HOST")
        if host is None:
            return EmbeddedKept(Path(stack.data_dir), subscription, topic)
        return PubSubKept(host, subscription_path(subscription), topic)
    if environment is None:
        raise Failure("Kept messages are in a project. Name the deployment: --env", ExitCode.USAGE)
    project, prefix = environment.project, environment.prefix
    return PubSubKept(
        None,
        f"projects/{project}/subscriptions/{prefix}-{subscription}",
        f"projects/{project}/topics/{prefix}-{kept_from.topic}",
    )
