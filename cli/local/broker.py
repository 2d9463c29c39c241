"""Subscriptions to the topics of the embedded backend, with the promises of Pub/Sub.

Any process publishes; the one that runs a ``Broker`` delivers. A message is pushed until its
endpoint answers 2xx, with growing pauses, and after the subscription's attempts it moves to the
dead-letter topic. Unlike Pub/Sub, a subscription also gets what was published before it was made,
so the order in which local processes start does not matter.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from transcripts.embedded.database import Database
from transcripts.embedded.publisher import insert_message
from transcripts.logs import Log, utc_now
from transcripts.ports import Message
from transcripts.retry import RetryPolicy

POLL_S: Final = 0.05
MAX_IN_FLIGHT: Final = 16
RETRY: Final = RetryPolicy(first_pause_s=1.0, max_pause_s=60.0)

Post = Callable[[str, bytes], Awaitable[int]]
"""Posts JSON to a URL and returns the HTTP status; raises ``OSError`` if there was no answer."""


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A subscription to a topic; without ``endpoint`` its messages are only kept."""

    name: str
    topic: str
    endpoint: str | None = None
    dead_letter_topic: str | None = None
    max_attempts: int = 5
    retry: RetryPolicy = RETRY
    acknowledge_within_s: float = 60.0


class _Delivery(NamedTuple):
    message_id: int
    attempt: int
    data: bytes
    attributes: str
    published_at: str


class Broker:
    """Delivers the messages of its subscriptions until it is cancelled."""

    def __init__(
        self,
        database: Database,
        subscriptions: Sequence[Subscription],
        post: Post,
        log: Log,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._subscriptions = subscriptions
        self._post = post
        self._log = log
        self._clock = clock
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)

    async def subscribe(self) -> None:
        """Make the subscriptions, with all that their topics still hold."""

        def work(connection: sqlite3.Connection) -> None:
            for subscription in self._subscriptions:
                _subscribe(connection, subscription)

        await self._database.run(work)

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                await self.subscribe()
                break
            except sqlite3.Error as error:
                self._log.warning("database_busy", reason=str(error))
                await asyncio.sleep(POLL_S)
        pushing = [item for item in self._subscriptions if item.endpoint]
        async with asyncio.TaskGroup() as group:
            for subscription in pushing:
                group.create_task(self._deliver_all(subscription, group))

    async def _deliver_all(self, subscription: Subscription, group: asyncio.TaskGroup) -> None:
        while True:
            await self._slots.acquire()
            try:
                delivery = await self._lease(subscription)
            except sqlite3.Error as error:
                # Another process may hold the file for long; due messages stay due.
                self._log.warning("database_busy", reason=str(error))
                delivery = None
            if delivery is None:
                self._slots.release()
                await asyncio.sleep(POLL_S)
            else:
                group.create_task(self._deliver(subscription, delivery))

    async def _lease(self, subscription: Subscription) -> _Delivery | None:
        now = self._clock().timestamp()
        due_again = now + subscription.acknowledge_within_s

        def work(connection: sqlite3.Connection) -> _Delivery | None:
            row = connection.execute(
                "SELECT message_id, attempt FROM delivery"
                " WHERE subscription = ? AND due <= ? ORDER BY due LIMIT 1",
                (subscription.name, now),
            ).fetchone()
            if row is None:
                return None
            message_id, attempt = row
            connection.execute(
                "UPDATE delivery SET attempt = ?, due = ?"
                " WHERE subscription = ? AND message_id = ?",
                (attempt + 1, due_again, subscription.name, message_id),
            )
            content = connection.execute(
                "SELECT data, attributes, published_at FROM message WHERE id = ?", (message_id,)
            ).fetchone()
            return _Delivery(message_id, attempt + 1, *content)

        return await self._database.run(work)

    async def _deliver(self, subscription: Subscription, delivery: _Delivery) -> None:
        try:
            status = await self._push(subscription, delivery)
            await self._settle(subscription, delivery, accepted=200 <= status < 300)
        except sqlite3.Error as error:
            # The delivery is not recorded, so it is repeated when the lease ends: at least once.
            self._log.warning("ack_failed", reason=str(error))
        finally:
            self._slots.release()

    async def _settle(
        self, subscription: Subscription, delivery: _Delivery, *, accepted: bool
    ) -> None:
        now = self._clock()

        def work(connection: sqlite3.Connection) -> None:
            if accepted:
                _acknowledge(connection, subscription, delivery)
            else:
                _refused(connection, subscription, delivery, now)

        await self._database.run(work)
        if not accepted:
            self._log.warning(
                "push_refused", subscription=subscription.name, attempt=delivery.attempt
            )

    async def _push(self, subscription: Subscription, delivery: _Delivery) -> int:
        """Post the push; 0 stands for no answer at all."""
        if subscription.endpoint is None:
            raise ValueError("only a subscription with an endpoint is pushed")
        body = push_body(subscription, delivery)
        try:
            return await self._post(subscription.endpoint, body)
        except OSError:
            return 0

    async def kept(self, topic: str) -> list[Message]:
        """Return the messages of a topic that no subscription has taken yet, oldest first."""

        def work(connection: sqlite3.Connection) -> list[Message]:
            rows = connection.execute(
                "SELECT data, attributes FROM message WHERE topic = ? ORDER BY id", (topic,)
            )
            return [Message(data, json.loads(attributes)) for data, attributes in rows]

        return await self._database.run(work)


def push_body(subscription: Subscription, delivery: _Delivery) -> bytes:
    """Make the body of a push as Pub/Sub does (https://cloud.google.com/pubsub/docs/push)."""
    content: dict[str, Any] = {
        "message": {
            "data": delivery.data,
            "attributes": json.loads(delivery.attributes),
            "messageId": str(delivery.message_id),
            "publishTime": delivery.published_at,
        },
        "subscription": f"projects/local/subscriptions/{subscription.name}",
    }
    if subscription.dead_letter_topic:
        content["deliveryAttempt"] = delivery.attempt
    return msgspec.json.encode(content)


def _subscribe(connection: sqlite3.Connection, subscription: Subscription) -> None:
    made = connection.execute(
        "INSERT OR IGNORE INTO subscription (name, topic) VALUES (?, ?)",
        (subscription.name, subscription.topic),
    )
    if made.rowcount:
        connection.execute(
            "INSERT INTO delivery SELECT ?, id, 0, 0 FROM message WHERE topic = ?",
            (subscription.name, subscription.topic),
        )


def _acknowledge(
    connection: sqlite3.Connection, subscription: Subscription, delivery: _Delivery
) -> None:
    connection.execute(
        "DELETE FROM delivery WHERE subscription = ? AND message_id = ?",
        (subscription.name, delivery.message_id),
    )
    connection.execute(
        "DELETE FROM message WHERE id = ?"
        " AND NOT EXISTS (SELECT 1 FROM delivery WHERE message_id = message.id)",
        (delivery.message_id,),
    )


def _refused(
    connection: sqlite3.Connection, subscription: Subscription, delivery: _Delivery, now: datetime
) -> None:
    """Schedule another attempt, or move the message to the dead-letter topic as Pub/Sub does."""
    if subscription.dead_letter_topic and delivery.attempt >= subscription.max_attempts:
        attributes = json.loads(delivery.attributes) | {
            "CloudPubSubDeadLetterSourceDeliveryCount": str(delivery.attempt),
            "CloudPubSubDeadLetterSourceSubscription": subscription.name,
            "CloudPubSubDeadLetterSourceTopicPublishTime": delivery.published_at,
        }
        insert_message(
            connection, subscription.dead_letter_topic, Message(delivery.data, attributes), now
        )
        _acknowledge(connection, subscription, delivery)
        return
    pause_s = subscription.retry.pause_s(delivery.attempt)
    connection.execute(
        "UPDATE delivery SET due = ? WHERE subscription = ? AND message_id = ?",
        (now.timestamp() + pause_s, subscription.name, delivery.message_id),
    )
