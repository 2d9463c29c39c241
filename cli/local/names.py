"""The names of topics and subscriptions on this machine, the same on both backends."""

from __future__ import annotations

from typing import Final

PROJECT: Final = "local"
CALLBACKS: Final = f"projects/{PROJECT}/topics/callbacks"
REJECTED: Final = f"projects/{PROJECT}/topics/callbacks-rejected"
DEAD: Final = f"projects/{PROJECT}/topics/callbacks-dead"
UPLOADS: Final = f"projects/{PROJECT}/topics/uploads"
UPLOADS_DEAD: Final = f"projects/{PROJECT}/topics/uploads-dead"
RESULTS: Final = f"projects/{PROJECT}/topics/results"
QUEUE: Final = f"projects/{PROJECT}/locations/local/queues/submissions"
UPLOADS_SUBSCRIPTION: Final = "uploads-ingest"
SUBSCRIPTION: Final = "callbacks-subscriber"
KEPT_REJECTED: Final = "callbacks-rejected-kept"
KEPT_DEAD: Final = "callbacks-dead-kept"
KEPT_RESULTS: Final = "results-kept"
KEPT_UPLOADS_DEAD: Final = "uploads-dead-kept"
MAX_ATTEMPTS: Final = 5
ACKNOWLEDGE_WITHIN_S: Final = 60
