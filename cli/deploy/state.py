"""Terraform's state. It holds no secret value.

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
    """The values of resources by address, and the outputs."""

    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> State:
        """Read the output of ``terraform show -json``; before the first apply it has no values."""
        values = json.loads(text or "{}").get("values") or {}
        resources = (values.get("root_module") or {}).get("resources") or []
        return cls(
            {item["address"]: item.get("values") or {} for item in resources},
            {name: item["value"] for name, item in (values.get("outputs") or {}).items()},
        )

    def has(self, address: str) -> bool:
        """Tell whether a resource exists, or any instance of it."""
        return any(known == address or known.startswith(f"{address}[") for known in self.resources)

    @property
    def secret_versions(self) -> dict[str, int]:
        """The version number of each stored secret."""
        return {
            address.removeprefix(SECRET_VERSION): int(values.get("secret_data_wo_version") or 1)
            for address, values in self.resources.items()
            if address.startswith(SECRET_VERSION)
        }

    @property
    def protects_data(self) -> bool:
        """Whether a destroy would keep database or uploads; without a database it keeps nothing."""
        database = self.resources.get(DATABASE)
        if database is None:
            return False
        bucket = self.resources.get(BUCKET, {"force_destroy": True})
        return (
            database.get("deletion_policy") != "DELETE"
            or database.get("delete_protection_state") == "DELETE_PROTECTION_ENABLED"
            or bucket.get("force_destroy") is not True
        )
