"""Policies on the whole: project, region, provider, lifecycle, variables and outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tests.infra.plan import Plan, Policy, leaves
from tests.infra.source import block


def everything_is_in_the_project(plan: Plan) -> Iterator[str]:
    """Every project is the given one, also where something is only read."""
    for address, body in plan.source.data.items():
        for argument in ("project", "project_id"):
            if body.get(argument, "${var.project}") != "${var.project}":
                yield f"{address}: {argument} is {body[argument]}"
    for resource in plan.resources:
        for path, value in leaves(resource.values):
            if path.split(".")[-1] in ("project", "project_id") and value != plan.project:
                yield f"{resource.address}: {path} is {value}"
            named = re.findall(r"(?:^|//[^/]+/)projects/([^/]+)", value) if _is_path(value) else []
            if "kms" not in path and "crypto" not in path and set(named) - {plan.project}:
                yield f"{resource.address}: {path} is {value}"


def _is_path(value: object) -> bool:
    return isinstance(value, str) and "projects/" in value and "projects/_" not in value


# Places -------------------------------------------------------------------------------------------


def everything_is_in_the_region(plan: Plan) -> Iterator[str]:
    """Every location, region and path of a location is the region; only the database may differ."""
    for resource in plan.resources:
        place = plan.region
        if resource.type == "google_firestore_database":
            place = plan.variable("firestore_location") or plan.region
        for path, value in (*leaves(resource.values), *leaves(resource.unknown)):
            name = path.split(".")[-1]
            if name in ("location", "region", "location_id", "zone") or name.endswith("_regions"):
                inherited = value is True and name == "region"
                if not inherited and str(value).lower() != place:
                    yield f"{resource.address}: {path} is {value}"
            for found in re.findall(r"/(?:locations|regions)/([^/\"]+)", str(value)):
                if found != place:
                    yield f"{resource.address}: {path} is {value}"
            for found in re.findall(r"\.([a-z]+-[a-z]+\d+)\.run\.app", str(value)):
                if found != place:
                    yield f"{resource.address}: {path} is {value}"


PROVIDER: Final = {"project": "${var.project}", "region": "${var.region}"}


def the_provider_is_the_expected_one(plan: Plan) -> Iterator[str]:
    """The provider has the given project and region, labels by environment, and nothing else."""
    for name, body in plan.source.labelled("provider").items():
        if name != "google":
            yield f"a provider {name}"
        for argument, wanted in PROVIDER.items():
            if body.get(argument) != wanted:
                yield f"provider {argument} is {body.get(argument)}"
        if set(body) - {*PROVIDER, "default_labels"}:
            yield f"provider: {sorted(set(body) - set(PROVIDER))}"
        if "var.name" not in str(body.get("default_labels")):
            yield "labels do not distinguish environments"
    required: dict[str, Any] = {}
    for terraform in plan.source.blocks.get("terraform", []):
        required |= block(terraform, "required_providers")
        if set(terraform) - {"required_version", "required_providers", "backend"}:
            yield f"terraform: {sorted(terraform)}"
        # Write-only arguments came with 1.11; without them a secret would be in the state.
        if "required_version" in terraform and ">= 1.11" not in terraform["required_version"]:
            yield f"terraform {terraform['required_version']}"
    version = str(required.get("google", {}).get("version"))
    if required.get("google", {}).get("source") != "hashicorp/google" or len(required) != 1:
        yield f"providers: {required}"
    # The checks have run on 7.x only; write-only arguments of secrets came with 6.23.
    if not re.fullmatch(r">= 7\.\d+(\.\d+)?, < 8(\.0)*|~> 7\.\d+", version):
        yield f"provider version {version}"


# Lifecycle ----------------------------------------------------------------------------------------

LIFECYCLE: Final = ("create_before_destroy", "precondition", "postcondition")
"""Allowed anywhere. ``ignore_changes`` hides a drift, and ``prevent_destroy`` would stop `make
destroy` halfway."""

FIXED_NAMES: Final = (
    "google_firestore",
    "google_storage_bucket.",
    "google_pubsub",
    "google_cloud_tasks_queue.",
    "google_cloud_scheduler",
    "google_cloudfunctions2",
    "google_secret_manager_secret.",
    "google_service_account.",
    "google_artifact",
    "google_logging",
    "google_storage_notification",
)
"""Their name is fixed, so a new one cannot be made beside the old one."""


def lifecycle_is_expected(plan: Plan) -> Iterator[str]:
    """Nothing ignores changes, prevents a destroy, ends early or is made twice under one name."""
    for address, body in (*plan.source.resources.items(), *plan.source.data.items()):
        kind = address.split(".")[0]
        grant = kind.endswith("_iam_member")
        replaced = grant or kind == "google_cloudfunctions2_function"
        for item in body.get("lifecycle", []):
            expected = {*LIFECYCLE, *(("replace_triggered_by",) if replaced else ())}
            if set(item) - expected:
                yield f"{address}: {sorted(set(item) - expected)}"
            if "create_before_destroy" in item and (grant or address.startswith(FIXED_NAMES)):
                yield f"{address}: create_before_destroy"
        for operation, limit in block(body, "timeouts").items():
            # The provider's own defaults are 20 minutes or more.
            if not re.fullmatch(r"(2\d|[3-9]\d|\d{3,})m|[1-9]\d*h", str(limit)):
                yield f"{address}: {operation} ends after {limit}"


MUST_BE_UNSET: Final = {
    "cloud_scheduler_job": {"paused"},
    "cloud_tasks_queue": {"desired_state"},
    "cloudfunctions2_function": {"service_config.all_traffic_on_latest_revision", "event_trigger"},
    "pubsub_subscription": {"filter", "push_config.no_wrapper", "enable_message_ordering"},
    "secret_manager_secret": {"ttl", "expire_time"},
    "secret_manager_secret_version": {"secret_data"},
    "storage_bucket": {"retention_policy", "default_event_based_hold"},
    "storage_notification": {"object_name_prefix"},
}
"""Arguments that stop, filter or lock something, or put a secret into the state."""


def nothing_is_stopped_or_filtered(plan: Plan) -> Iterator[str]:
    """Nothing is paused, filtered, locked or expiring, and no account has a key."""
    for address, body in plan.source.resources.items():
        kind = address.split(".")[0].removeprefix("google_")
        if kind == "service_account_key":
            yield f"{address}: a key can leak"
        for path in MUST_BE_UNSET.get(kind, ()):
            outer, _, inner = path.rpartition(".")
            if inner in (block(body, outer) if outer else body):
                yield f"{address}: {path} is set"


# Variables and outputs ----------------------------------------------------------------------------

DESCRIPTIVE: Final = ("description", "display_name", "title", "content", "labels", "mime_type")


def every_variable_decides_something(plan: Plan) -> Iterator[str]:
    """The value of every variable that is not its default stands in the plan."""
    for name, body in plan.source.labelled("variable").items():
        value = plan.variable(name)
        if len(body["description"]) < 20 or "type" not in body:
            yield f"{name} has no type or no description"
        if not isinstance(value, bool) and value not in (body.get("default"), None, "", []):
            values = [*leaves(value)] if isinstance(value, dict | list) else [("", value)]
            for _, one in values:
                if not any(_form(one).search(str(found)) for found in _planned(plan)):
                    yield f"{name} = {one} decides nothing"


def _form(value: Any) -> re.Pattern[str]:
    """Match a value alone or inside a longer text; a number also as that many days in seconds."""
    if isinstance(value, int | float):
        return re.compile(rf"(?<![\w.]){re.escape(str(value))}(?![\w.])|\b{value * 86_400}s")
    return re.compile(re.escape(str(value)))


def _planned(plan: Plan) -> Iterator[Any]:
    for resource in plan.resources:
        for path, value in leaves(resource.values):
            if path.split(".")[-1] not in DESCRIPTIVE:
                yield value


OUTPUTS: Final[Mapping[str, Callable[[Plan], Any]]] = {
    "callback_url": lambda plan: plan.url("callback"),
    "results_url": lambda plan: plan.url("results"),
    "reader_url": lambda plan: plan.url("reader"),
    "results_topic": lambda plan: plan.topic("results"),
    "urls": lambda plan: {name: plan.url(name) for name in plan.functions},
    "upload_bucket": lambda plan: f"{plan.project}-{plan.prefix}-uploads",
    "database": lambda plan: plan.variable("database") or plan.prefix,
    "queue": lambda plan: f"{plan.prefix}-submissions",
}


def outputs_are_what_they_say(plan: Plan) -> Iterator[str]:
    """`make` and docs/deploy.md read these outputs; none holds a secret."""
    outputs = plan.document["planned_values"]["outputs"]
    for name, wanted in OUTPUTS.items():
        if outputs.get(name, {}).get("value") != wanted(plan):
            yield f"output {name} is {outputs.get(name, {}).get('value')}"
    for name in ("secrets", "secret_versions", "static_ip"):
        if name not in outputs:
            yield f"output {name} is missing"


POLICIES: Final[tuple[Policy, ...]] = (
    everything_is_in_the_project,
    everything_is_in_the_region,
    the_provider_is_the_expected_one,
    lifecycle_is_expected,
    nothing_is_stopped_or_filtered,
    every_variable_decides_something,
    outputs_are_what_they_say,
)
