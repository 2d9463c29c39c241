"""What Terraform knows to be there. It holds no secret's value.

https://developer.hashicorp.com/terraform/internals/json-format#state-representation
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DATABASE: Final = "google_firestore_database.this"
BUCKET: Final = "google_storage_bucket.uploads"
SECRET_VERSION: Final = "google_secret_manager_secret_version."  # noqa: S105 - where it is


@dataclass(frozen=True)
class State:
    """Resources by address, with their values, and outputs."""

    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> State:
        """Read what ``terraform show -json`` says; it says less before the first apply."""
        values = json.loads(text or "{}").get("values") or {}
        resources = (values.get("root_module") or {}).get("resources") or []
        return cls(
            {item["address"]: item.get("values") or {} for item in resources},
            {name: item["value"] for name, item in (values.get("outputs") or {}).items()},
        )

    def knows(self, address: str) -> bool:
        """Tell whether a resource is there, or any of those that have an index."""
        return any(known == address or known.startswith(f"{address}[") for known in self.resources)

    @property
    def secret_versions(self) -> dict[str, int]:
        """How often each secret was written; one that never was is absent."""
        return {
            address.removeprefix(SECRET_VERSION): int(values.get("secret_data_wo_version") or 1)
            for address, values in self.resources.items()
            if address.startswith(SECRET_VERSION)
        }

    @property
    def protects_data(self) -> bool:
        """Whether database or uploads would outlast a destroy; without a database nothing does."""
        database = self.resources.get(DATABASE)
        if database is None:
            return False
        bucket = self.resources.get(BUCKET, {"force_destroy": True})
        return (
            database.get("deletion_policy") != "DELETE"
            or database.get("delete_protection_state") == "DELETE_PROTECTION_ENABLED"
            or bucket.get("force_destroy") is not True
        )
