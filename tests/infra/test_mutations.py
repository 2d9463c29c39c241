"""Policies notice mistakes: each planned value is changed, each resource and dependency left out.

Nothing is planned again: a mutation changes the plan, or the parsed source, that policies read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from tests.infra.plan import Plan, Policy, Resource, Unreadable
from tests.infra.sandbox import plan_of
from tests.infra.source import Source, block
from tests.infra.structure_policies import DESCRIPTIVE
from tests.infra.test_policies import POLICIES

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(300)]

FREE: Final = frozenset(
    {
        *DESCRIPTIVE,
        *("effective_labels", "terraform_labels"),  # derived from labels
        # there is one condition; see alerts_reach_the_address
        *("combiner", "notification_channels"),
        *("max_doublings", "stackdriver_logging_config", "content_type", "format"),
        "group_by_fields",  # at most the service: a_silent_sweep_raises_an_alert
    }
)
"""Names of values that may have any other value, or that another policy reads in the source."""

FREE_OF_TYPE: Final[Mapping[str, frozenset[str]]] = {
    "google_artifact_registry_repository": frozenset({"id"}),
    "google_compute_address": frozenset({"name"}),
    "google_compute_network": frozenset({"name"}),
    "google_compute_router_nat": frozenset({"name"}),
    "google_compute_subnetwork": frozenset({"name"}),
    "google_logging_project_exclusion": frozenset({"name"}),
    "google_service_account": frozenset({"email", "member"}),  # derived from account_id
}


def changed(value: Any) -> list[Any]:
    """Return other values in place of one: far outside of what any policy accepts."""
    match value:
        case bool():
            return [not value]
        case int() | float():
            return [value * 1000 + 1, *([0] if value else [])]
        case str() if value[:-1].isdigit() and value.endswith("s"):
            return ["99999999s", *(["0s"] if value != "0s" else [])]
        case str():
            return [f"{value}-x" if value else "x"]
        case _:
            return []


def mutants(value: Any, free: frozenset[str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value with one leaf changed, or one item of a list left out, and where."""
    match value:
        case dict():
            for name, item in value.items():
                if name not in free:
                    for inner, mutant in mutants(item, free, f"{path}.{name}"):
                        yield inner, {**value, name: mutant}
        case list():
            for index, item in enumerate(value):
                yield f"{path}[{index}]", [*value[:index], *value[index + 1 :]]
                for inner, mutant in mutants(item, free, f"{path}[{index}]"):
                    yield inner, [*value[:index], mutant, *value[index + 1 :]]
        case _:
            yield from ((f"{path}: {value} is {other}", other) for other in changed(value))


class Reviewer:
    """All policies; first it asks the one that noticed the last mutation of a type."""

    def __init__(self) -> None:
        self.order: dict[str, list[Policy]] = {}

    def objects(self, plan: Plan, kind: str) -> bool:
        policies = self.order.setdefault(kind, list(POLICIES))
        for policy in policies:
            try:
                fault = next(iter(policy(plan)), None)
            except Unreadable as error:
                fault = str(error)
            if fault is not None:
                policies.remove(policy)
                policies.insert(0, policy)
                return True
        return False


def replaced(plan: Plan, old: Resource, new: Resource | None) -> Plan:
    """Return the plan with another resource, or none, in place of one."""
    found = [new if each is old else each for each in plan.resources]
    return plan.with_resources([each for each in found if each is not None])


def test_every_changed_value_is_noticed() -> None:
    """One value of one resource is changed at a time, with everything on."""
    plan, reviewer = plan_of("distinct"), Reviewer()
    unnoticed = [
        f"{resource.address}{where}"
        for resource in plan.resources
        for where, values in mutants(
            resource.values, FREE | FREE_OF_TYPE.get(resource.type, frozenset())
        )
        if not reviewer.objects(
            replaced(
                plan,
                resource,
                Resource(resource.type, resource.address, resource.key, values, resource.unknown),
            ),
            resource.type,
        )
    ]
    assert unnoticed == []


def test_every_missing_resource_is_noticed() -> None:
    """One resource is left out at a time, but for those that only trigger others."""
    plan, reviewer = plan_of("distinct"), Reviewer()
    unnoticed = [
        resource.address
        for resource in plan.resources
        if resource.type != "terraform_data"
        and not reviewer.objects(replaced(plan, resource, None), resource.type)
    ]
    assert unnoticed == []


def left_out(source: Source) -> Iterator[tuple[str, Source]]:
    """Yield the source without one dependency, or without one part of a ``lifecycle``."""
    for address, body in source.resources.items():
        waits_for = body.get("depends_on", [])
        for index, dependency in enumerate(waits_for):
            rest = [*waits_for[:index], *waits_for[index + 1 :]]
            mutant = source.with_resource(address, {**body, "depends_on": rest})
            # Many a resource waits for another one in two ways.
            if mutant.dependencies(address) != source.dependencies(address):
                yield f"{address} without {dependency}", mutant
        for part in set(block(body, "lifecycle")) - {"precondition"}:
            rest = [{k: v for k, v in block(body, "lifecycle").items() if k != part}]
            yield (
                f"{address} without {part}",
                source.with_resource(address, {**body, "lifecycle": rest}),
            )


def test_every_missing_dependency_is_noticed() -> None:
    """A first apply on an empty project would stop halfway, or a change would destroy too early."""
    plan, reviewer = plan_of("distinct"), Reviewer()
    unnoticed = [
        where
        for where, source in left_out(plan.source)
        if not reviewer.objects(plan.with_source(source), "")
    ]
    assert unnoticed == []
