"""The sets of variables that every policy is checked with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CALLERS: Final[Mapping[str, str | None]] = {
    "submit": "tasks",
    "ingest": "pubsub",
    "callback": None,
    "subscriber": "pubsub",
    "results": None,
    "sweep": "scheduler",
}
"""Every function, and the service that calls it. Anybody may call callback, and people results."""

KMS_KEY: Final = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k"


def _size(numbers: tuple[int, int, int, int, int], cpu: str) -> dict[str, Any]:
    memory, concurrency, timeout_s, least, most = numbers
    return {
        "cpu": cpu,
        "memory": f"{memory}Mi",
        "concurrency": concurrency,
        "timeout_s": timeout_s,
        "min_instances": least,
        "max_instances": most,
    }


DISTINCT: Final[Mapping[str, Any]] = {
    "name": "stg-all",
    "package": "package-2.zip",
    "region": "europe-west1",
    "database": "results-db",
    "mavi_api_key_version": 41,
    "callback_tokens_version": 43,
    "mavi_base_url": "https://mavi.example.org/api",
    "mavi_requests_per_second": 2.5,
    "max_submissions_per_day": 811,
    "max_object_bytes": 7340033,
    "overdue_after_minutes": 487,
    "resubmit_overdue": 29,
    "retention_days": 91,
    "upload_retention_days": 37,
    "replay_days": 13,
    "max_delivery_attempts": 47,
    "sweep_schedule": "7-59/20 * * * *",
    "queue_concurrency": 53,
    "submit_callers": ["user:ada@example.com"],
    "submit_ingress": "ALLOW_INTERNAL_AND_GCLB",
    "results_callers": ["group:readers@example.com"],
    "redact_faces": True,
    "play_media": True,
    "uploaders": ["group:editors@example.com"],
    "deletion_protection": False,
    "alert_email": "ops@example.com",
    "static_ip": True,
    "kms_key": KMS_KEY,
    "function_sizes": {
        "submit": _size((2051, 71, 1811, 1, 1), "2"),
        "ingest": _size((1021, 39, 67, 2, 19), "4"),
        "callback": _size((2053, 83, 331, 3, 21), "6"),
        "subscriber": _size((4099, 9, 127, 4, 18), "8"),
        "results": _size((1031, 23, 281, 5, 17), "4"),
        "sweep": _size((1033, 5, 307, 1, 6), "1"),
    },
}
"""Every variable has a value that is neither its default nor another variable's.

``firestore_location`` is in another use: where there is a key, it has to be the region.
"""

USES: Final[Mapping[str, Mapping[str, Any]]] = {
    "distinct": DISTINCT,
    "default": {},
    "example": {},
    "elsewhere": {
        "region": "asia-east1",
        "firestore_location": "eur3",
        "database": "(default)",
        "replay_days": 31,
        "upload_retention_days": 0,
        "submit_callers": ["user:ada@example.com"],
        "results_ingress": "ALLOW_INTERNAL_AND_GCLB",
        "function_sizes": {"callback": {"max_instances": 3}},
    },
}
"""``example`` is terraform.tfvars.example, as it is."""
