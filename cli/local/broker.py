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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import aiohttp
import msgspec

from cli.local.topics import PROJECT, Subscription
from transcripts.embedded.database import Database
from transcripts.embedded.publisher import insert_message
from transcripts.logs import Log, utc_now
from transcripts.ports import Message

T = TypeVar("T")

POLL_S: Final = 0.05
"""Between two looks at the database, of the broker and of the queue."""

MAX_IN_FLIGHT: Final = 16
NO_ANSWER: Final = 0
Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Posts JSON to a URL, with more headers; returns the HTTP status, ``NO_ANSWER`` without one."""


def poster(client: aiohttp.ClientSession) -> Post:
    """Return what posts for the local broker, queue and schedule."""

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        try:
            async with client.post(
                url,
                data=io.BytesIO(body),
                headers={"Content-Type": "application/json", **headers},
            ) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return NO_ANSWER

    return post


async def work_off(
    take: Callable[[], Awaitable[T | None]],
    handle: Callable[[T], Awaitable[None]],
    slots: asyncio.Semaphore,
    log: Log,
    interval_s: float = 0.0,
) -> None:
    """Take what is due, and handle each in a slot, until cancelled.

    Another process may hold the database for long. What is due stays due then, and what is handled
    but not recorded is handled again: at least once.
    """

    async def handle_one(item: T) -> None:
        try:
            await handle(item)
        except sqlite3.Error as error:
            log.warning("ack_failed", reason=str(error))
        finally:
            slots.release()

    async with asyncio.TaskGroup() as group:
        while True:
            await slots.acquire()
            try:
                item = await take()
            except sqlite3.Error as error:
                log.warning("database_busy", reason=str(error))
                item = None
            if item is None:
                slots.release()
                await asyncio.sleep(POLL_S)
            else:
                group.create_task(handle_one(item))
                await asyncio.sleep(interval_s)


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
            for each in self._subscriptions:
                if each.endpoint:
                    lease = partial(self._lease, each)
                    deliver = partial(self._deliver, each, each.endpoint)
                    group.create_task(work_off(lease, deliver, self._slots, self._log))

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
        status = await self._post(endpoint, push_body(subscription, delivery), {})
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
