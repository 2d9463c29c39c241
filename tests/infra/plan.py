"""A plan as ``terraform show -json`` prints it, and the questions that policies ask.

https://developer.hashicorp.com/terraform/internals/json-format
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from tests.infra.source import Source

DAY_S: Final = 24 * 60 * 60


class Unreadable(Exception):
    """A plan lacks what a policy reads, or a value is no number; the message says what."""


@dataclass(frozen=True)
class Resource:
    """A planned resource. An attribute that is known only after apply is absent from ``values``."""

    type: str
    address: str
    key: str
    values: dict[str, Any]
    unknown: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)

    @property
    def name(self) -> str:
        """The address without an index."""
        return self.address.split("[")[0]

    def block(self, *names: str) -> dict[str, Any]:
        """Return the first block of each name inside the previous one; empty if it is missing."""
        return nested(self.values, *names)


@dataclass(frozen=True)
class Grant:
    """A role that a member has on one resource."""

    member: str
    role: str
    kind: str
    target: str
    condition: str = ""


class Plan:
    """The resources that Terraform would make, and their source."""

    def __init__(
        self, document: dict[str, Any], source: Source, resources: list[Resource] | None = None
    ) -> None:
        self.document = document
        self.source = source
        self.resources = resources or [
            Resource(
                item["type"],
                item["address"],
                str(item.get("index", "")),
                item["change"]["after"],
                item["change"]["after_unknown"],
            )
            for item in document["resource_changes"]
            if item["mode"] == "managed"
        ]

    @property
    def project(self) -> str:
        """The project's id."""
        return str(self.variable("project"))

    @property
    def prefix(self) -> str:
        """The beginning of every name."""
        return str(self.variable("name"))

    @property
    def region(self) -> str:
        """The region."""
        return str(self.variable("region"))

    @property
    def number(self) -> str:
        """The project's number."""
        return str(self.data("google_project")["number"])

    def variable(self, name: str) -> Any:
        """Return the value of a variable; ``None`` if it has none."""
        return self.document["variables"].get(name, {}).get("value")

    def data(self, kind: str) -> dict[str, Any]:
        """Return the values of the only data source of a type."""
        (found,) = (
            item
            for item in self.document["prior_state"]["values"]["root_module"]["resources"]
            if item["type"] == kind
        )
        values: dict[str, Any] = found["values"]
        return values

    def all(self, kind: str) -> list[Resource]:
        """Return every resource of a type, which is given without its ``google_``."""
        return [resource for resource in self.resources if resource.type == f"google_{kind}"]

    def one(self, kind: str) -> Resource:
        """Return the only resource of a type; raises ``Unreadable``."""
        found = self.all(kind)
        if len(found) != 1:
            raise Unreadable(f"there are {len(found)} {kind}, not 1")
        return found[0]

    def with_resources(self, resources: list[Resource]) -> Plan:
        """Return the same plan with other resources."""
        return Plan(self.document, self.source, resources)

    def with_source(self, source: Source) -> Plan:
        """Return the same plan of another source."""
        return Plan(self.document, source, self.resources)

    @cached_property
    def functions(self) -> dict[str, Resource]:
        """The functions, by their short name."""
        return {resource.key: resource for resource in self.all("cloudfunctions2_function")}

    def service(self, function: str) -> dict[str, Any]:
        """Return the ``service_config`` of a function; empty if the function is missing."""
        found = self.functions.get(function)
        return found.block("service_config") if found else {}

    def environment(self, function: str) -> dict[str, str]:
        """Return the environment variables of a function, without the secret ones."""
        found: dict[str, str] = self.service(function).get("environment_variables") or {}
        return found

    def url(self, function: str) -> str:
        """Return the URL of a function."""
        return f"https://{self.prefix}-{function}-{self.number}.{self.region}.run.app"

    def account(self, name: str) -> str:
        """Return the e-mail address of a service account."""
        return f"{self.prefix}-{name}@{self.project}.iam.gserviceaccount.com"

    def agent(self, domain: str) -> str:
        """Return a service agent of Google as an IAM member."""
        return f"serviceAccount:service-{self.number}@{domain}.iam.gserviceaccount.com"

    def topic(self, name: str) -> str:
        """Return the path of a topic."""
        return f"projects/{self.project}/topics/{self.prefix}-{name}"

    @cached_property
    def grants(self) -> list[Grant]:
        """Every role that is granted on anything."""
        return [
            self._grant(resource)
            for resource in self.resources
            if resource.type.endswith("_iam_member")
        ]

    def _grant(self, resource: Resource) -> Grant:
        kind = resource.type.removeprefix("google_").removesuffix("_iam_member")
        condition = resource.block("condition").get("expression", "")
        target = str(resource[TARGETS[kind]])
        return Grant(resource["member"], resource["role"], kind, target, condition)


TARGETS: Final = {
    "artifact_registry_repository": "repository",
    "cloud_run_v2_service": "name",
    "cloud_tasks_queue": "name",
    "kms_crypto_key": "crypto_key_id",
    "project": "project",
    "pubsub_subscription": "subscription",
    "pubsub_topic": "topic",
    "secret_manager_secret": "secret_id",
    "service_account": "service_account_id",
    "storage_bucket": "bucket",
}
"""The argument that names the resource of a grant, by the kind of resource."""


def nested(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the first block of each name inside the previous one; empty if it is missing."""
    for name in names:
        values = (values.get(name) or [{}])[0]
    return values


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and value of everything inside that is no list or map.

    The items of a list have the path of the list; ``None`` is left out.
    """
    match value:
        case dict():
            for name, item in value.items():
                yield from leaves(item, f"{path}.{name}" if path else str(name))
        case list():
            for item in value:
                yield from leaves(item, path)
        case None:
            pass
        case _:
            yield path, value


def seconds(text: object) -> float:
    """Read a duration such as ``600s`` or ``30d``; absent is 0. Raises ``Unreadable``."""
    return _measured(text, {"s": 1, "d": DAY_S})


def number(value: object) -> float:
    """Read a number; absent is 0. Raises ``Unreadable``."""
    return _measured(value, {"": 1})


def mebibytes(text: object) -> float:
    """Read a size such as ``512Mi`` or ``1Gi``; absent is 0. Raises ``Unreadable``."""
    return _measured(text, {"Mi": 1, "Gi": 1024})


def _measured(value: object, units: Mapping[str, int]) -> float:
    if not value:
        return 0.0
    found = re.fullmatch(r"([\d.]+)(\w*)", str(value))
    if found is None or found[2] not in units:
        raise Unreadable(f"{value} has none of the units {sorted(units)}")
    return float(found[1]) * units[found[2]]


Policy = Callable[[Plan], Iterator[str]]
"""Yields the faults of a plan; its docstring states the rule."""
