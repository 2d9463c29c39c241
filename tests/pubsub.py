"""What tests ask of topics: those of the Pub/Sub emulator, and those in SQLite."""

from __future__ import annotations

import json
import sqlite3

from cli.local.emulators import pubsub_clients, subscription_path
from cli.local.topics import PROJECT
from transcripts.embedded.database import Database
from transcripts.ports import Message

PULL_TIMEOUT_S = 5.0


def pull(host: str, subscription: str) -> list[Message]:
    """Return and acknowledge the messages of a subscription of the emulator at ``host``."""
    path = subscription_path(subscription)
    _, client = pubsub_clients(host)
    with client:
        response = client.pull(subscription=path, max_messages=1000, timeout=PULL_TIMEOUT_S)
        received = list(response.received_messages)
        if received:
            client.acknowledge(subscription=path, ack_ids=[item.ack_id for item in received])
    return [Message(bytes(item.message.data), dict(item.message.attributes)) for item in received]


def delete_topics(host: str) -> None:
    """Delete every topic and subscription of the emulator at ``host``."""
    project = f"projects/{PROJECT}"
    publisher, subscriber = pubsub_clients(host)
    with publisher:
        for subscription in subscriber.list_subscriptions(project=project):
            subscriber.delete_subscription(subscription=subscription.name)
        for topic in publisher.list_topics(project=project):
            publisher.delete_topic(topic=topic.name)


async def stored_messages(database: Database, topic: str) -> list[Message]:
    """Return the messages of a topic in SQLite that a subscription still has, oldest first."""

    def work(connection: sqlite3.Connection) -> list[Message]:
        rows = connection.execute(
            "SELECT data, attributes FROM message WHERE topic = ? ORDER BY id", (topic,)
        )
        return [Message(data, json.loads(attributes)) for data, attributes in rows]

    return await database.run(work)
