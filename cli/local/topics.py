"""The topics and subscriptions on this machine, the same on both backends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from transcripts.retry import RetryPolicy

PROJECT: Final = "local"
CALLBACKS: Final = f"projects/{PROJECT}/topics/callbacks"
REJECTED: Final = f"projects/{PROJECT}/topics/callbacks-rejected"
DEAD: Final = f"projects/{PROJECT}/topics/callbacks-dead"
UPLOADS: Final = f"projects/{PROJECT}/topics/uploads"
UPLOADS_DEAD: Final = f"projects/{PROJECT}/topics/uploads-dead"
RESULTS: Final = f"projects/{PROJECT}/topics/results"
KEPT_REJECTED: Final = "callbacks-rejected-kept"
KEPT_DEAD: Final = "callbacks-dead-kept"
KEPT_RESULTS: Final = "results-kept"
KEPT_UPLOADS_DEAD: Final = "uploads-dead-kept"
RETRY: Final = RetryPolicy(first_pause_s=0.2, max_pause_s=60.0)


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A subscription to a topic; without ``endpoint`` its messages are only kept."""

    name: str
    topic: str
    endpoint: str | None = None
    dead_letter_topic: str | None = None
    max_attempts: int = 5
    retry: RetryPolicy = RETRY
    acknowledge_within_s: int = 60


def subscriptions(subscriber_url: str | None, ingest_url: str | None) -> list[Subscription]:
    """Return the subscriptions of the pipeline; a function that does not run has no address."""
    return [
        Subscription(
            name="callbacks-subscriber",
            topic=CALLBACKS,
            endpoint=subscriber_url,
            dead_letter_topic=DEAD,
        ),
        Subscription(
            name="uploads-ingest",
            topic=UPLOADS,
            endpoint=ingest_url,
            dead_letter_topic=UPLOADS_DEAD,
        ),
        Subscription(name=KEPT_REJECTED, topic=REJECTED),
        Subscription(name=KEPT_RESULTS, topic=RESULTS),
        Subscription(name=KEPT_DEAD, topic=DEAD),
        Subscription(name=KEPT_UPLOADS_DEAD, topic=UPLOADS_DEAD),
    ]
