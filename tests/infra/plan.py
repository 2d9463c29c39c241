"""A plan as ``terraform show -json`` gives it, and what rules ask of it.

https://developer.hashicorp.com/terraform/internals/json-format
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.infra import source


@dataclass(frozen=True)
class Resource:
    """A resource to be made. What is not known before it is made is absent from ``values``."""

    type: str
    address: str
    key: str
    values: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)

    def block(self, *names: str) -> dict[str, Any]:
        """Return the only block of that name, inside the one before; empty if there is none."""
        return nested(self.values, *names)


@dataclass(frozen=True)
class Grant:
    """A role, on one resource of a kind, to a member."""

    member: str
    role: str
    kind: str
    target: str
    condition: str = ""


class Plan:
    """What would be made, and how it is written."""

    def __init__(self, document: dict[str, Any], folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.resources = [
            Resource(
                item["type"],
                item["address"],
                str(item.get("index", "")),
                item["change"]["after"],
            )
            for item in document["resource_changes"]
            if item["mode"] == "managed"
        ]
        self.project: str = document["variables"]["project"]["value"]
        self.prefix: str = document["variables"]["name"]["value"]
        self.region: str = document["variables"]["region"]["value"]
        (project,) = (
            item
            for item in document["prior_state"]["values"]["root_module"]["resources"]
            if item["type"] == "google_project"
        )
        self.number: str = project["values"]["number"]

    def variable(self, name: str) -> Any:
        """Return the value of a variable of the configuration."""
        return self.document["variables"].get(name, {}).get("value")

    def all(self, kind: str) -> list[Resource]:
        """Return every resource of a type, without its ``google_``."""
        return [resource for resource in self.resources if resource.type == f"google_{kind}"]

    def one(self, kind: str) -> Resource:
        """Return the only resource of a type."""
        (resource,) = self.all(kind)
        return resource

    @cached_property
    def functions(self) -> dict[str, Resource]:
        """The functions, by their short name."""
        return {resource.key: resource for resource in self.all("cloudfunctions2_function")}

    def service(self, function: str) -> dict[str, Any]:
        """Return how a function runs; empty if there is none of that name."""
        found = self.functions.get(function)
        return found.block("service_config") if found else {}

    def environment(self, function: str) -> dict[str, str]:
        """Return the variables of a function that are no secrets."""
        found: dict[str, str] = self.service(function).get("environment_variables") or {}
        return found

    def url(self, function: str) -> str:
        """Return the address of a function."""
        return f"https://{self.prefix}-{function}-{self.number}.{self.region}.run.app"

    def account(self, name: str) -> str:
        """Return the e-mail address of a service account."""
        return f"{self.prefix}-{name}@{self.project}.iam.gserviceaccount.com"

    def agent(self, domain: str) -> str:
        """Return an agent of Google's as an IAM member."""
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

    @cached_property
    def written(self) -> dict[str, dict[str, Any]]:
        """The configuration of every resource and data source, by address without index."""
        items = self.document["configuration"]["root_module"]["resources"]
        return {item["address"]: item for item in items}

    @cached_property
    def source(self) -> dict[str, source.Body]:
        """Every resource as its file has it, by address without index."""
        return source.resources(self.folder)

    def waits_for(self, address: str) -> set[str]:
        """Return what a resource waits for, directly or by what it refers to."""
        found: set[str] = set()
        todo = [address]
        while todo:
            item = self.written.get(todo.pop(), {})
            named = set(item.get("depends_on", []))
            for reference in references(item.get("expressions", {})):
                name = ".".join(reference.split("[")[0].split(".")[:2])
                named.add(_LOCALS.get(name, name))
            for name in named - found:
                found.add(name)
                todo.append(name)
        return found


_LOCALS = {
    "local.topic_paths": "google_pubsub_topic.this",
    "local.caller_ids": "google_service_account.caller",
}
"""What locals refer to that are written in place of a resource: the format leaves locals out."""

TARGETS = {
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
"""What a grant is on, by its kind."""


def nested(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the only block of that name, inside the one before; empty if there is none."""
    for name in names:
        values = (values.get(name) or [{}])[0]
    return values


def references(expressions: Any) -> Iterator[str]:
    """Yield everything that expressions refer to."""
    match expressions:
        case {"references": list() as found}:
            yield from found
        case dict():
            for item in expressions.values():
                yield from references(item)
        case list():
            for item in expressions:
                yield from references(item)


Rule = Callable[[Plan], Iterator[str]]
"""Says what is wrong with a plan; its docstring is what is promised."""
