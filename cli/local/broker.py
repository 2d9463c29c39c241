"""Delivers the messages of the embedded backend's topics, with the promises of Pub/Sub.

Any process publishes; the one that runs a ``Broker`` delivers. A message is pushed until its
endpoint answers 2xx, with growing pauses, and after the subscription's attempts it moves to the
dead-letter topic. Unlike Pub/Sub, a subscription also gets what was published before it was made,
so the order in which local processes start does not matter.
"""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec

from cli.local.topics import PROJECT, Subscription
from transcripts.embedded.database import Database
from transcripts.embedded.publisher import insert_message
from transcripts.logs import Log, utc_now
from transcripts.ports import Message

POLL_S: Final = 0.05
"""Between two looks at the database, of the broker and of the queue."""

MAX_IN_FLIGHT: Final = 16
NO_ANSWER: Final = 0
Post = Callable[[str, bytes], Awaitable[int]]
"""Posts JSON to a URL and returns the HTTP status, ``NO_ANSWER`` if there was none."""


def poster(client: aiohttp.ClientSession) -> Post:
    """Return what posts for the local broker, queue and schedule."""

    async def post(url: str, body: bytes) -> int:
        try:
            async with client.post(
                url, data=io.BytesIO(body), headers={"Content-Type": "application/json"}
            ) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return NO_ANSWER

    return post


class Delivery(NamedTuple):
    """One attempt to deliver a message; ``attributes`` are JSON."""

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
            for each in self._subscriptions:
                made = connection.execute(
                    "INSERT OR IGNORE INTO subscription (name, topic) VALUES (?, ?)",
                    (each.name, each.topic),
                )
                if made.rowcount:
                    connection.execute(
                        "INSERT INTO delivery SELECT ?, id, 0, 0 FROM message WHERE topic = ?",
                        (each.name, each.topic),
                    )

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
        async with asyncio.TaskGroup() as group:
            for subscription in self._subscriptions:
                if subscription.endpoint:
                    group.create_task(self._deliver_all(subscription, subscription.endpoint, group))

    async def _deliver_all(
        self, subscription: Subscription, endpoint: str, group: asyncio.TaskGroup
    ) -> None:
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
                group.create_task(self._deliver(subscription, endpoint, delivery))

    async def _lease(self, subscription: Subscription) -> Delivery | None:
        now = self._clock().timestamp()

        def work(connection: sqlite3.Connection) -> Delivery | None:
            row = connection.execute(
                "SELECT message_id, attempt + 1, data, attributes, published_at"
                " FROM delivery JOIN message ON id = message_id"
                " WHERE subscription = ? AND due <= ? ORDER BY due LIMIT 1",
                (subscription.name, now),
            ).fetchone()
            if row is None:
                return None
            delivery = Delivery(*row)
            connection.execute(
                "UPDATE delivery SET attempt = ?, due = ?"
                " WHERE subscription = ? AND message_id = ?",
                (
                    delivery.attempt,
                    now + subscription.acknowledge_within_s,
                    subscription.name,
                    delivery.message_id,
                ),
            )
            return delivery

        return await self._database.run(work)

    async def _deliver(self, subscription: Subscription, endpoint: str, delivery: Delivery) -> None:
        try:
            status = await self._post(endpoint, push_body(subscription, delivery))
            accepted = 200 <= status < 300
            now = self._clock()

            def work(connection: sqlite3.Connection) -> None:
                if accepted:
                    delete_delivery(connection, subscription.name, delivery.message_id)
                else:
                    _deliver_later(connection, subscription, delivery, now)

            await self._database.run(work)
            if not accepted:
                self._log.warning(
                    "push_refused", subscription=subscription.name, attempt=delivery.attempt
                )
        except sqlite3.Error as error:
            # The delivery is not recorded, so it is repeated when the lease ends: at least once.
            self._log.warning("ack_failed", reason=str(error))
        finally:
            self._slots.release()


def push_body(subscription: Subscription, delivery: Delivery) -> bytes:
    """Make the body of a push as Pub/Sub does (https://cloud.google.com/pubsub/docs/push)."""
    content: dict[str, Any] = {
        "message": {
            "data": delivery.data,
            "attributes": json.loads(delivery.attributes),
            "messageId": str(delivery.message_id),
            "publishTime": delivery.published_at,
        },
        "subscription": f"projects/{PROJECT}/subscriptions/{subscription.name}",
    }
    if subscription.dead_letter_topic:
        content["deliveryAttempt"] = delivery.attempt
    return msgspec.json.encode(content)


def delete_delivery(connection: sqlite3.Connection, subscription: str, message_id: int) -> None:
    """Acknowledge a message; it goes when no subscription has it any more."""
    connection.execute(
        "DELETE FROM delivery WHERE subscription = ? AND message_id = ?",
        (subscription, message_id),
    )
    connection.execute(
        "DELETE FROM message WHERE id = ?"
        " AND NOT EXISTS (SELECT 1 FROM delivery WHERE message_id = message.id)",
        (message_id,),
    )


def _deliver_later(
    connection: sqlite3.Connection, subscription: Subscription, delivery: Delivery, now: datetime
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
        delete_delivery(connection, subscription.name, delivery.message_id)
        return
    pause_s = subscription.retry.pause_s(delivery.attempt)
    connection.execute(
        "UPDATE delivery SET due = ? WHERE subscription = ? AND message_id = ?",
        (now.timestamp() + pause_s, subscription.name, delivery.message_id),
    )
