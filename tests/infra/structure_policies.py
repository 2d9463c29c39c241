"""Policies on the configuration as a whole: each compares everything with one reviewed table.

The tables are ``arguments.toml``, ``variables.toml``, ``references.toml`` and ``addresses.txt``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.infra.plan import Plan, Policy, leaves
from tests.infra.source import META_ARGUMENTS, arguments, block

FOLDER: Final = Path(__file__).resolve().parent


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text())


# Allowed types and arguments ----------------------------------------------------------------------

ARGUMENTS: Final = _table("arguments")
ANYWHERE: Final = ("description", "display_name", "labels", "user_labels", "project")
"""Arguments that may be written on every type: they say what something is, or are checked below."""

BLOCKS: Final = (
    *("data", "locals", "moved", "output", "provider", "resource", "terraform", "variable"),
    "check",
)


def arguments_are_on_the_list(plan: Plan) -> Iterator[str]:
    """Only types, arguments and blocks are written that arguments.toml lists with a reason."""
    for kind in set(plan.source.blocks) - set(BLOCKS):
        yield f"a block {kind}"
    for address, body in (*plan.source.resources.items(), *plan.source.data.items()):
        kind = address.removeprefix("data.").split(".")[0]
        if kind not in ARGUMENTS:
            yield f"{address}: no {kind} is expected"
            continue
        expected = {*ARGUMENTS[kind], *ANYWHERE, *META_ARGUMENTS}
        for path in arguments(body):
            top = path.split(".")[0]
            if path not in expected and top not in META_ARGUMENTS and top != "timeouts":
                yield f"{address}: {path} is not listed"


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


# Lifecycle and addresses --------------------------------------------------------------------------

LIFECYCLE: Final = ("create_before_destroy", "precondition", "postcondition")
"""Allowed anywhere; ``replace_triggered_by`` only on grants. ``ignore_changes`` hides a drift, and
``prevent_destroy`` would stop `make destroy` halfway."""

FIRST_NOT_POSSIBLE: Final = (
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


def lifecycle_is_on_the_list(plan: Plan) -> Iterator[str]:
    """Nothing ignores changes, prevents a destroy or is made twice under one name."""
    for address, body in (*plan.source.resources.items(), *plan.source.data.items()):
        grant = address.split(".")[0].endswith("_iam_member")
        for item in body.get("lifecycle", []):
            expected = {*LIFECYCLE, *(("replace_triggered_by",) if grant else ())}
            if set(item) - expected:
                yield f"{address}: {sorted(set(item) - expected)}"
            if item.get("create_before_destroy") is not None and (
                grant or address.startswith(FIRST_NOT_POSSIBLE)
            ):
                yield f"{address}: create_before_destroy"


ADDRESSES: Final = tuple((FOLDER / "addresses.txt").read_text().split("\n"))


def addresses_are_kept(plan: Plan) -> Iterator[str]:
    """Every address of addresses.txt still exists, or a ``moved`` block says what it is called now.

    Terraform would destroy and make again what has another address.
    """
    if plan.variable("kms_key") and plan.variable("static_ip") and plan.variable("alert_email"):
        planned = {resource.address for resource in plan.resources}
        for address in ADDRESSES:
            if address and not address.startswith("#") and address not in planned:
                yield f"{address} is gone"


# Variables ----------------------------------------------------------------------------------------

VARIABLES: Final[Mapping[str, Mapping[str, Any]]] = _table("variables")
IDENTITY: Final = ("project", "name", "region")
"""They are part of nearly everything: more uses than the table has are no mistake."""

DESCRIPTIVE: Final = ("description", "display_name", "title", "content", "labels", "mime_type")


def variables_lead_where_the_table_says(plan: Plan) -> Iterator[str]:
    """Each variable's value shows up in exactly the attributes that variables.toml lists."""
    declared = set(plan.source.labelled("variable"))
    if declared != set(VARIABLES):
        yield f"variables without a row, or rows without a variable: {declared ^ set(VARIABLES)}"
    distinct = plan.variable("alert_email") and plan.variable("kms_key")
    for name, row in VARIABLES.items():
        if (row.get("use", "distinct") == "distinct") is not bool(distinct):
            continue
        wanted, value = set(row.get("attributes", [])), plan.variable(name)
        if not wanted or value is None:
            continue
        found = set(_attributes_with(plan, _forms(value)))
        for attribute in sorted(wanted - found):
            yield f"{name} does not decide {attribute}"
        for attribute in sorted(found - wanted) if name not in IDENTITY else ():
            yield f"{name} decides {attribute} as well"


def _forms(value: Any) -> re.Pattern[str]:
    """Match a value alone or inside a longer text; a number also as that many days in seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return re.compile(rf"(?<![\w.]){re.escape(str(value))}(?![\w.])|\b{value * 86_400}s")
    values = value if isinstance(value, list) else [value]
    return re.compile("|".join(re.escape(str(one)) for one in values))


def _attributes_with(plan: Plan, form: re.Pattern[str]) -> Iterator[str]:
    for resource in plan.resources:
        for path, value in leaves(resource.values):
            if path.split(".")[-1] not in DESCRIPTIVE and form.search(str(value)):
                yield f"{resource.name}.{path}"
    for name, output in plan.document["planned_values"].get("outputs", {}).items():
        for _, value in leaves(output.get("value")):
            if form.search(str(value)):
                yield f"output.{name}"


OUTPUTS: Final[Mapping[str, Callable[[Plan], Any]]] = {
    "callback_url": lambda plan: plan.url("callback"),
    "results_url": lambda plan: plan.url("results"),
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
    arguments_are_on_the_list,
    everything_is_in_the_project,
    everything_is_in_the_region,
    the_provider_is_the_expected_one,
    lifecycle_is_on_the_list,
    addresses_are_kept,
    variables_lead_where_the_table_says,
    outputs_are_what_they_say,
)

# References ---------------------------------------------------------------------------------------

REFERENCES: Final = _table("references")


def references_lead_to_their_own(resources: list[dict[str, Any]]) -> Iterator[str]:
    """A value known only after apply comes from the resource that references.toml names."""
    found = references(resources)
    for attribute, origin in REFERENCES.items():
        if found.get(attribute) != {origin}:
            yield f"{attribute} comes from {found.get(attribute)}, not from {origin}"


def references(resources: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return which attribute of which resource each made-up value in a state comes from.

    Mocks give every computed attribute a random text of its own:
    https://developer.hashicorp.com/terraform/language/tests/mocking
    """
    values = [
        (_any_alert(item["address"]), path, value)
        for item in resources
        for path, value in leaves(item["values"])
        if isinstance(value, str) and re.fullmatch(r"[a-z0-9]{8}|.*made-up-\d+@.*", value)
    ]
    origins = {
        value: f"{address}.{path}"
        for address, path, value in values
        if path in ("id", "version", "email", "member")
        and not address.startswith("terraform_data.")
        and not address.split(".")[0].endswith("_iam_member")
    }
    found: dict[str, set[str]] = {}
    for address, path, value in values:
        origin = origins.get(value, "")
        if origin and not origin.startswith(f"{address}."):
            found.setdefault(f"{address}.{path}", set()).add(origin)
    return found


def _any_alert(address: str) -> str:
    """Leave out which alert it is: each notifies in the same way."""
    alert = "google_monitoring_alert_policy"
    return alert if address.startswith(f"{alert}.") else address


STATE_POLICIES: Final = (references_lead_to_their_own,)
"""They take the resources of a state that was applied on mocks."""
