"""The sets of variables that every policy is checked with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from transcripts.settings import FUNCTIONS, Variable, WholeNumber, switch

CALLERS: Final[Mapping[str, str | None]] = {
    "submit": "tasks",
    "ingest": "pubsub",
    "callback": None,
    "subscriber": "pubsub",
    "results": None,
    "reader": None,
    "sweep": "scheduler",
}
"""Every function, and the service that calls it. Anybody may call callback, and people results and
reader."""

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


SETTINGS: Final = {v.name.lower(): v for kind in FUNCTIONS.values() for v in kind.variables()}


def _other(index: int, variable: Variable) -> Any:
    """Return a value of a setting that is neither its default nor another setting's."""
    if variable.parse is switch:
        return variable.default != "true"
    return int(variable.default or 0) + 811 + 2 * index


DISTINCT: Final[Mapping[str, Any]] = {
    name: _other(index, variable)
    for index, (name, variable) in enumerate(SETTINGS.items())
    if isinstance(variable.parse, WholeNumber) or variable.parse is switch
} | {
    "name": "stg-all",
    "package": "package-2.zip",
    "region": "europe-west1",
    "database": "results-db",
    "mavi_api_key_version": 41,
    "callback_tokens_version": 43,
    "mavi_base_url": "https://mavi.example.org/api",
    "mavi_requests_per_second": 2.5,
    "upload_retention_days": 37,
    "replay_days": 13,
    "max_delivery_attempts": 47,
    "sweep_schedule": "7-59/20 * * * *",
    "queue_concurrency": 53,
    "submit_callers": ["user:ada@example.com"],
    "submit_ingress": "ALLOW_INTERNAL_AND_GCLB",
    "results_callers": ["group:changers@example.com"],
    "reader_callers": ["group:readers@example.com"],
    "uploaders": ["group:editors@example.com"],
    "deletion_protection": False,
    "alert_email": "watch-37@alerts.example.net",
    "docs_url": "https://git.example.net/acme/docs-61",
    "static_ip": True,
    "kms_key": KMS_KEY,
    "function_sizes": {
        "submit": _size((2051, 71, 1811, 1, 1), "2"),
        "ingest": _size((2063, 39, 67, 2, 19), "4"),
        "callback": _size((4111, 83, 331, 3, 21), "6"),
        "subscriber": _size((4099, 9, 127, 4, 18), "8"),
        "results": _size((2069, 23, 281, 5, 17), "4"),
        "reader": _size((2081, 29, 277, 6, 16), "4"),
        "sweep": _size((1033, 5, 307, 1, 6), "1"),
    },
}
"""Every variable has a value that is neither its default nor another variable's; those of settings
are made from their rows. ``firestore_location`` is in another use: a key has to be where the
database is."""

OPTIONS: Final[Mapping[str, Any]] = {
    "play_media": True,
    "static_ip": True,
    "alert_email": "watch-41@alerts.example.net",
    "kms_key": KMS_KEY.replace("europe-west1", "us-central1"),
    "submit_callers": ["serviceAccount:batch@acme-media-1.iam.gserviceaccount.com"],
    "results_callers": ["group:changers@example.com"],
    "reader_callers": ["group:readers@example.com"],
    "deletion_protection": False,
    "redact_faces": True,
}

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
        "reader_ingress": "ALLOW_INTERNAL_AND_GCLB",
        "function_sizes": {"callback": {"max_instances": 3}},
    },
    **{f"only {name}": {name: value} for name, value in OPTIONS.items()},
}
"""``example`` is terraform.tfvars.example, as it is. Each option is also on alone: with all on, or
all off, a part that depends on the wrong option is not seen."""
