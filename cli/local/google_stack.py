"""Topics and subscriptions on the Pub/Sub emulator, as ``infra`` makes them in the cloud."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from cli.local.names import (
    ACKNOWLEDGE_WITHIN_S,
    CALLBACKS,
    DEAD,
    KEPT_DEAD,
    KEPT_REJECTED,
    KEPT_RESULTS,
    KEPT_UPLOADS_DEAD,
    MAX_ATTEMPTS,
    PROJECT,
    REJECTED,
    RESULTS,
    SUBSCRIPTION,
    UPLOADS,
    UPLOADS_DEAD,
    UPLOADS_SUBSCRIPTION,
)

PULL_TIMEOUT_S: Final = 5.0
READY_TIMEOUT_S: Final = 30.0


class PubSubAdmin:
    """Makes and reads topics and subscriptions of a Pub/Sub emulator."""

    def __init__(self, host: str) -> None:
        channel = grpc.insecure_channel(host)
        grpc.channel_ready_future(channel).result(timeout=READY_TIMEOUT_S)
        self._channel = channel
        self._publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        self._subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def topic(self, path: str) -> None:
        """Make a topic."""
        self._publisher.create_topic(name=path)

    def subscription(
        self,
        name: str,
        topic: str,
        *,
        push_url: str | None = None,
        dead_letter_topic: str | None = None,
        max_attempts: int = MAX_ATTEMPTS,
        backoff_s: tuple[float, float] | None = None,
    ) -> None:
        """Make a subscription; it pushes if it has an address, else it keeps its messages.

        ``backoff_s`` None sets no retry policy: with one, the emulator stops redelivering when many
        messages fail together.
        """
        request: dict[str, Any] = {
            "name": subscription_path(name),
            "topic": topic,
            "ack_deadline_seconds": ACKNOWLEDGE_WITHIN_S,
        }
        if push_url is not None:
            request["push_config"] = {"push_endpoint": push_url}
        if dead_letter_topic is not None:
            request["dead_letter_policy"] = {
                "dead_letter_topic": dead_letter_topic,
                "max_delivery_attempts": max_attempts,
            }
        if backoff_s is not None:
            low, high = backoff_s
            request["retry_policy"] = {
                "minimum_backoff": f"{low}s",
                "maximum_backoff": f"{high}s",
            }
        self._subscriber.create_subscription(request=request)

    def delete_subscription(self, name: str) -> None:
        """Delete a subscription; its pushes stop."""
        self._subscriber.delete_subscription(subscription=subscription_path(name))

    def delete_all(self) -> None:
        """Delete every topic and subscription of the project."""
        project = f"projects/{PROJECT}"
        for subscription in self._subscriber.list_subscriptions(project=project):
            self._subscriber.delete_subscription(subscription=subscription.name)
        for topic in self._publisher.list_topics(project=project):
            self._publisher.delete_topic(topic=topic.name)

    def pull(self, name: str) -> list[tuple[bytes, dict[str, str]]]:
        """Return and acknowledge the messages of a subscription that keeps them."""
        path = subscription_path(name)
        response = self._subscriber.pull(
            subscription=path, max_messages=1000, timeout=PULL_TIMEOUT_S
        )
        received = list(response.received_messages)
        if received:
            self._subscriber.acknowledge(
                subscription=path, ack_ids=[item.ack_id for item in received]
            )
        return [(item.message.data, dict(item.message.attributes)) for item in received]


def subscription_path(name: str) -> str:
    """Return the full name of a subscription."""
    return f"projects/{PROJECT}/subscriptions/{name}"


def make_topics(host: str, subscriber_url: str | None, ingest_url: str | None) -> None:
    """Make the topics and subscriptions of the pipeline on the emulator at ``host``."""
    admin = PubSubAdmin(host)
    try:
        for topic in (CALLBACKS, REJECTED, RESULTS, DEAD, UPLOADS, UPLOADS_DEAD):
            admin.topic(topic)
        admin.subscription(SUBSCRIPTION, CALLBACKS, push_url=subscriber_url, dead_letter_topic=DEAD)
        admin.subscription(
            UPLOADS_SUBSCRIPTION, UPLOADS, push_url=ingest_url, dead_letter_topic=UPLOADS_DEAD
        )
        admin.subscription(KEPT_DEAD, DEAD)
        admin.subscription(KEPT_REJECTED, REJECTED)
        admin.subscription(KEPT_RESULTS, RESULTS)
        admin.subscription(KEPT_UPLOADS_DEAD, UPLOADS_DEAD)
    finally:
        admin.close()
