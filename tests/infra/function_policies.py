"""Policies on the functions: code, environment, secrets, sizes, start order and network."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.infra.plan import Plan, Policy, mebibytes, nested, number
from tests.infra.sandbox import API_KEY, TOKENS
from tests.infra.source import block
from transcripts.errors import SettingsError
from transcripts.google import publisher
from transcripts.settings import FUNCTIONS, GOOGLE

CODE: Final = Path(__file__).resolve().parent.parent.parent / "functions"
LOCAL_ONLY: Final = frozenset({"ALLOWED_HOSTS", "TRANSCRIPTS_DATA_DIR"})
"""Variables that have no meaning in the cloud."""

SECRETS: Final = {"MAVI_API_KEY": API_KEY, "CALLBACK_TOKENS": TOKENS}
RUNTIMES: Final = ("python311", "python312", "python313", "python314")
"""From the oldest Python of pyproject.toml to the newest of the buildpack:
https://cloud.google.com/functions/docs/runtime-support"""


def constant(file: str, name: str) -> float:
    """Return a number that a file of the functions defines, without importing the file."""
    for statement in ast.parse((CODE / file).read_text()).body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == name:
            factors = ast.unparse(statement.value).split("*") if statement.value else []
            return math.prod(float(factor) for factor in factors)
    raise LookupError(f"{file} defines no number {name}")


MIB: Final = 1024 * 1024
BASE_MIB: Final = 100
"""A function that has loaded its libraries; docs/performance.md has the measured sizes."""

BODY_MIB: Final = constant("transcripts/callbacks/message.py", "MAX_CALLBACK_BYTES") / MIB


class Bounds(NamedTuple):
    """The memory that a function needs, and the time that its callers wait."""

    held_mib: float
    """Beside ``BASE_MIB``, of what does not depend on the concurrency."""

    each_mib: float
    """For every further request at the same time."""

    shortest_s: float
    longest_s: float


@cache
def bounds() -> dict[str, Bounds]:
    """Return the bounds of each function, from the constants of its code."""
    push_s = 600 - 30  # https://cloud.google.com/pubsub/docs/subscription-properties
    body_s = constant("transcripts/web.py", "BODY_TIMEOUT_S")
    publish_s = publisher.RETRY.timeout_s
    large_bodies = constant("callback.py", "LARGE_CONCURRENCY")
    large_results = constant("transcripts/tasks/recorder.py", "LARGE_CONCURRENCY")
    uploads = constant("transcripts/mavi/client.py", "UPLOAD_THREADS")
    upload_body = "transcripts/mavi/upload_body.py"
    ahead_mib = (
        constant(upload_body, "READ_AHEAD_BYTES") + 2 * constant(upload_body, "BLOCK_BYTES")
    ) / MIB
    dispatch_s = constant("transcripts/google/queue.py", "DISPATCH_DEADLINE_S")
    run_s = constant("transcripts/submissions/sweep.py", "MAX_RUN_S")
    item_s = constant("transcripts/submissions/sweep.py", "ITEM_TIMEOUT_S")
    return {
        # A body, and the message it becomes; a small body for every other request.
        "callback": Bounds(large_bodies * 2 * BODY_MIB, 1, 2 * (body_s + publish_s), 600),
        # Each upload reads ahead and holds two blocks more; a request of 1 MiB for every caller.
        "submit": Bounds(uploads * ahead_mib, 1, dispatch_s, 3600),
        "ingest": Bounds(0, 1, 30, push_s),
        # Normalizing takes up to six times the result; every push may hold a message of 10 MB.
        "subscriber": Bounds(large_results * 6 * BODY_MIB, 10, 60, push_s),
        # The last item begins when the run is over; half a minute for the query before it.
        # One body that is normalized again, and a page of at most 900 KiB for every reader.
        "results": Bounds(6 * BODY_MIB, 3, 60, 540),
        "reader": Bounds(0, 3, 60, 540),
        "sweep": Bounds(0, 8, run_s + item_s + 30, 1800),
    }


def environment_of(plan: Plan, function: str) -> dict[str, str]:
    """Return what a function finds in its environment, secrets included."""
    service = plan.service(function)
    secrets = {item["key"] for item in service.get("secret_environment_variables") or []}
    return {**plan.environment(function), **{key: SECRETS.get(key, "?") for key in secrets}}


def functions_equal_the_code(plan: Plan) -> Iterator[str]:
    """Every function of the code is deployed from its own file, on a Python that it runs on."""
    if set(plan.functions) != set(FUNCTIONS):
        yield f"functions: {sorted(plan.functions)}"
    for name, function in plan.functions.items():
        build = function.block("build_config")
        source = (build.get("environment_variables") or {}).get("GOOGLE_FUNCTION_SOURCE")
        if source != f"{name}.py" or not (CODE / str(source)).is_file():
            yield f"{name} is built from {source}"
        if build.get("entry_point") != name or build.get("runtime") not in RUNTIMES:
            yield f"{name}: {build.get('runtime')}, {build.get('entry_point')}"


def environments_equal_the_settings(plan: Plan) -> Iterator[str]:
    """Each function has exactly the variables that its settings read, with acceptable values."""
    for name, settings in FUNCTIONS.items():
        given = environment_of(plan, name)
        known = {variable.name for variable in settings.variables()} - LOCAL_ONLY
        if set(given) != known:
            yield f"{name}: {sorted(set(given) ^ known)}"
        if given.get("TRANSCRIPTS_BACKEND") != GOOGLE:
            yield f"{name} has the backend {given.get('TRANSCRIPTS_BACKEND')}"
        try:
            settings.load(given)
        except SettingsError as error:
            yield f"{name} would not start: {error}"


def written(value: object) -> str:
    """Return a variable's value as an environment holds it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def environments_name_planned_resources(plan: Plan) -> Iterator[str]:
    """Topics, queue, database, URLs and identities in the environments are those of this plan."""
    queue = plan.one("cloud_tasks_queue")
    location = f"projects/{plan.project}/locations/{plan.region}"
    uploads = f"{plan.project}-{plan.prefix}-uploads"
    wanted = {
        "CALLBACK_TOPIC": plan.topic("callbacks"),
        "FIRESTORE_DATABASE": plan.one("firestore_database")["name"],
        "GOOGLE_CLOUD_PROJECT": plan.project,
        "QUEUE_INVOKER": plan.account("to-submit"),
        "REJECTED_TOPIC": plan.topic("callbacks-rejected"),
        "RESULTS_TOPIC": plan.topic("results"),
        "SUBMIT_QUEUE": f"{location}/queues/{queue['name']}",
        "SUBMIT_URL": plan.url("submit"),
        "UPLOAD_BUCKET": uploads if plan.variable("play_media") else "",
    }
    for name in plan.functions:
        for variable, value in plan.environment(name).items():
            passed_on = plan.variable(variable.lower())
            if value != wanted.get(variable, value if passed_on is None else written(passed_on)):
                yield f"{name}: {variable} is {value}"


def defaults_equal_the_code(plan: Plan) -> Iterator[str]:
    """An unset variable has the default of the code, Mavi's rate of 1 a second included."""
    variables = plan.document["configuration"]["root_module"]["variables"]
    for settings in FUNCTIONS.values():
        for variable in settings.variables():
            ours = variables.get(variable.name.lower())
            if ours is None or variable.name in SECRETS or variable.default is None:
                continue
            if written(ours.get("default")) != variable.default:
                yield f"{variable.name} is {ours.get('default')} by default"


SAFE_DEFAULTS: Final = {
    "deletion_protection": True,
    "submit_callers": [],
    "uploaders": [],
    "static_ip": False,
    "submit_ingress": None,
    "results_callers": [],
    "results_ingress": None,
    "reader_callers": [],
    "reader_ingress": None,
    "redact_faces": False,
    "play_media": False,
    "kms_key": None,
    "alert_email": None,
    "docs_url": None,
    "firestore_location": None,
    "database": None,
    "function_sizes": {},
    "mavi_api_key_version": 1,
    "callback_tokens_version": 1,
}


def defaults_are_safe(plan: Plan) -> Iterator[str]:
    """By default data is protected, only Mavi has access, and optional parts are off."""
    variables = plan.document["configuration"]["root_module"]["variables"]
    for name, wanted in SAFE_DEFAULTS.items():
        if variables[name].get("default") != wanted:
            yield f"{name} is {variables[name].get('default')} by default"
    for name in ("mavi_api_key", "callback_tokens", "project", "package"):
        if "default" in variables[name]:
            yield f"{name} has a default"
    # A week of dead letters and replays; an upload waits in the queue for hours.
    for name, least in (("replay_days", 7), ("upload_retention_days", 7)):
        if not least <= variables[name]["default"] <= 31:
            yield f"{name} is {variables[name]['default']} by default"


def memory_of_cpu(cpu: float) -> tuple[int, int]:
    """Return the least and the most MiB that Cloud Run gives to an instance with ``cpu`` vCPUs.

    https://cloud.google.com/run/docs/configuring/services/cpu
    """
    if cpu < 1:
        return 128, 512 if cpu < 0.5 else 1024
    gibibytes = {1.0: (0.125, 4.0), 2.0: (0.125, 8.0), 4.0: (2.0, 16.0), 6.0: (4.0, 24.0)}
    least, most = gibibytes.get(cpu, (4.0, 32.0))
    return int(least * 1024), int(most * 1024)


QUOTA_CPUS: Final = 20
QUOTA_MIB: Final = 40 * 1024
"""The quota of a new project in a region. Cloud Run refuses a revision whose instances could
together use more: https://cloud.google.com/run/quotas."""


def _beyond_quota(name: str, service: dict[str, Any]) -> Iterator[str]:
    instances = number(service.get("max_instance_count"))
    cpus = instances * number(service.get("available_cpu"))
    mib = instances * mebibytes(service.get("available_memory"))
    if cpus > QUOTA_CPUS or mib > QUOTA_MIB:
        yield f"{name} may use {cpus} CPUs and {mib} MiB, more than the quota of a new project"


def sizes_hold_the_work(plan: Plan) -> Iterator[str]:
    """Each function has the memory that its code holds at once, and the time its callers wait."""
    for name, bound in bounds().items():
        service = plan.service(name)
        concurrency = number(service.get("max_instance_request_concurrency")) or 1
        needed = BASE_MIB + bound.held_mib + (concurrency * bound.each_mib)
        # More than 8 GiB is more than anything here can use, and paid by the second.
        if not needed <= mebibytes(service.get("available_memory")) <= 8 * 1024:
            yield f"{name} needs {needed} MiB and has {service.get('available_memory')}"
        timeout_s = number(service.get("timeout_seconds"))
        if not bound.shortest_s <= timeout_s <= bound.longest_s:
            yield f"{name} has {timeout_s} s, not {bound.shortest_s} to {bound.longest_s}"
        cpu, memory = number(service.get("available_cpu")), service.get("available_memory")
        if cpu < (1 if concurrency > 1 else 0.08):
            yield f"{name} serves {concurrency} requests on {cpu} CPU"
        least, most = memory_of_cpu(cpu)
        if not least <= mebibytes(memory) <= most:
            yield f"Cloud Run gives {cpu} CPU {least} to {most} MiB, and {name} has {memory}"
        if not plan.variable("function_sizes"):
            yield from _beyond_quota(name, service)
        if not bool(service.get("max_instance_request_concurrency")):
            yield f"{name} has no bound of concurrency"


def sizes_are_as_given(plan: Plan) -> Iterator[str]:
    """function_sizes decides what it names, for every function; the rest is free when idle."""
    arguments = {
        "cpu": "available_cpu",
        "memory": "available_memory",
        "concurrency": "max_instance_request_concurrency",
        "timeout_s": "timeout_seconds",
        "min_instances": "min_instance_count",
        "max_instances": "max_instance_count",
    }
    for name in plan.functions:
        service, given = plan.service(name), plan.variable("function_sizes").get(name) or {}
        for size, argument in arguments.items():
            value = given.get(size)
            if value is not None and str(service.get(argument)) != str(value):
                yield f"{name}: {argument} is {service.get(argument)}, not {value}"
        if given.get("min_instances") is None and service.get("min_instance_count"):
            yield f"{name} has instances that cost even when idle"
        # A burst of callbacks and events needs some. submit keeps the rate limit of the account.
        least, most = (1, 1) if name == "submit" else (1 if name == "sweep" else 2, 100)
        if not least <= number(service.get("max_instance_count")) <= most:
            yield f"{name} has up to {service.get('max_instance_count')} instances"


def secrets_are_pinned_and_hidden(plan: Plan) -> Iterator[str]:
    """No secret value is in a plan; each function reads its own secret, in a pinned version."""
    text = str(plan.document)
    if API_KEY in text or TOKENS in text:
        yield "a secret's value is in the plan"
    wanted = {
        "submit": {"MAVI_API_KEY": f"{plan.prefix}-mavi-api-key"},
        "callback": {"CALLBACK_TOKENS": f"{plan.prefix}-callback-tokens"},
        "results": {"MAVI_API_KEY": f"{plan.prefix}-mavi-api-key"},
    }
    for name in plan.functions:
        secrets = plan.service(name).get("secret_environment_variables") or []
        if {item["key"]: item["secret"] for item in secrets} != wanted.get(name, {}):
            yield f"secrets of {name}: {secrets}"
        if any("version" in item for item in secrets):
            yield f"{name} reads a version that is not the one just written"
    for name in ("mavi_api_key", "callback_tokens"):
        body = plan.source.resources[f"google_secret_manager_secret_version.{name}"]
        if body.get("secret_data_wo") != f"${{var.{name}}}":
            yield f"{name} is written from {body.get('secret_data_wo')}"
        variable = plan.source.labelled("variable")[name]
        if (variable.get("ephemeral"), variable.get("sensitive")) != (True, True):
            yield f"{name} would be in the plan"


NEEDED_FIRST: Final = {
    "google_cloudfunctions2_function.this": (
        "google_artifact_registry_repository.functions",
        "google_artifact_registry_repository_iam_member.build",
        "google_compute_router_nat.egress",
        "google_firestore_index.this",
        "google_firestore_field.expiry",
        "google_firestore_field.unindexed",
        "google_project_iam_member.build_logs",
        "google_project_iam_member.build_sources",
        "google_project_iam_member.database",
        "google_pubsub_topic_iam_member.functions",
        "google_secret_manager_secret_iam_member.functions",
        "google_storage_bucket_iam_member.build",
        "google_storage_bucket_object.package",
    ),
    "google_pubsub_subscription.push": (
        "google_cloud_run_v2_service_iam_member.caller",
        "google_cloudfunctions2_function.this",
        "google_pubsub_subscription.kept",
        "google_pubsub_topic_iam_member.dead_letters",
        "google_service_account_iam_member.push_token",
    ),
    "google_storage_notification.uploads": (
        "google_pubsub_subscription.push",
        "google_pubsub_topic_iam_member.uploads",
    ),
    "google_cloud_scheduler_job.sweep": ("google_cloud_run_v2_service_iam_member.caller",),
    "google_compute_router_nat.egress": ("google_compute_router.egress",),
    "google_firestore_field.expiry": ("google_firestore_database.this",),
    # Firestore refuses many changes of indexes at once: three groups, one after the other.
    "google_firestore_field.unindexed": ("google_firestore_field.expiry",),
    "google_firestore_index.this": ("google_firestore_field.unindexed",),
    "google_pubsub_subscription.kept": ("google_pubsub_topic.this",),
    "google_storage_bucket_object.package": ("google_storage_bucket.source",),
}
"""The resources that a first apply on an empty project makes before those that use them."""


def what_is_needed_is_made_first(plan: Plan) -> Iterator[str]:
    """A first apply makes every resource after those that it needs, its API included."""
    for address, needed in NEEDED_FIRST.items():
        for missing in sorted(set(needed) - plan.source.dependencies(address)):
            yield f"{address} does not wait for {missing}"
    for address in plan.source.resources:
        exempt = ("terraform_data.", "google_project_service.", "google_project_iam_member.")
        waits_for = plan.source.dependencies(address)
        if not address.startswith(exempt) and "google_project_service.this" not in waits_for:
            yield f"{address} does not wait for its API"


APIS: Final = {
    "artifact_registry": "artifactregistry",
    "cloud_run": "run",
    "cloud_scheduler": "cloudscheduler",
    "cloud_tasks": "cloudtasks",
    "cloudfunctions2": "cloudfunctions",
    "compute": "compute",
    "firestore": "firestore",
    "kms": "cloudkms",
    "logging": "logging",
    "monitoring": "monitoring",
    "project_iam": "cloudresourcemanager",
    "pubsub": "pubsub",
    "secret_manager": "secretmanager",
    "service_account": "iam",
    "storage": "storage",
}


def apis_are_enabled(plan: Plan) -> Iterator[str]:
    """The API of every resource and of the build is enabled, and stays so after a destroy."""
    services = plan.all("project_service")
    enabled = {resource["service"].removesuffix(".googleapis.com") for resource in services}
    needed = {"cloudbuild"} | ({"iamcredentials"} if plan.variable("play_media") else set())
    for resource in plan.resources:
        kind = resource.type.removeprefix("google_")
        needed |= {api for start, api in APIS.items() if kind.startswith(start)}
    if enabled != needed:
        yield f"APIs: {sorted(enabled ^ needed)}"
    for resource in services:
        if resource["disable_on_destroy"] is not False:
            yield f"{resource['service']} would be disabled for the whole project"


def static_ip_decides_the_network(plan: Plan) -> Iterator[str]:
    """With static_ip all that calls Mavi sends by one address; without it no network exists."""
    on = bool(plan.variable("static_ip"))
    for name in plan.functions:
        wanted = "VPC_EGRESS_ALL_TRAFFIC" if on and name in ("submit", "results") else None
        if plan.service(name).get("direct_vpc_egress") != wanted:
            yield f"{name} sends by {plan.service(name).get('direct_vpc_egress')}"
        if bool(plan.service(name).get("direct_vpc_network_interface")) != bool(wanted):
            yield f"{name} has the wrong network"
    # The provider keeps the setting that a function no longer has; a new function has none.
    lifecycle = block(plan.source.resources["google_cloudfunctions2_function.this"], "lifecycle")
    if "${terraform_data.network[each.key]}" not in lifecycle.get("replace_triggered_by", []):
        yield "functions would stay in the network when static_ip is turned off"
    for resource in plan.resources:
        if resource.address.startswith("terraform_data.network["):
            reaches = on and resource.key in ("submit", "results")
            if resource["triggers_replace"] is not reaches:
                yield f"{resource.key} is made anew at {resource['triggers_replace']}"
    kinds = ("network", "subnetwork", "address", "router", "router_nat")
    for kind in kinds:
        if len(plan.all(f"compute_{kind}")) != on:
            yield f"compute_{kind}: {len(plan.all(f'compute_{kind}'))}"


def the_network_is_one_subnet_and_one_address(plan: Plan) -> Iterator[str]:
    """The subnet is one that Cloud Run accepts, and its gateway sends by the one address."""
    for nat in plan.all("compute_router_nat"):
        subnets = (nat["source_subnetwork_ip_ranges_to_nat"], len(nat["subnetwork"] or []))
        if nat["nat_ip_allocate_option"] != "MANUAL_ONLY" or subnets != ("LIST_OF_SUBNETWORKS", 1):
            yield "the address is not fixed"
        if len(nat["nat_ips"] or []) != 1 or nat["router"] != plan.one("compute_router")["name"]:
            yield "the gateway has not the one address and the one router"
        if nested(nat.values, "subnetwork").get("source_ip_ranges_to_nat") != ["ALL_IP_RANGES"]:
            yield "the gateway does not serve the subnet"
    for network in plan.all("compute_network"):
        if network["auto_create_subnetworks"] is not False:
            yield "the network has a subnet in every region"
    for subnet in plan.all("compute_subnetwork"):
        if not subnet["private_ip_google_access"]:
            yield "Google's own APIs would be reached through the gateway"
        # /26 or larger: https://cloud.google.com/run/docs/configuring/vpc-direct-vpc
        address, _, bits = str(subnet["ip_cidr_range"]).partition("/")
        if not 8 <= number(bits) <= 26 or not address.startswith(("10.", "172.", "192.168.")):
            yield f"the subnet has the addresses {subnet['ip_cidr_range']}"


REPLACED_AFTER: Final = ("secret_manager_secret_version", "storage_bucket_object", "compute_")
"""Types whose user has to change to the new resource before the old one is destroyed."""


def nothing_is_destroyed_while_in_use(plan: Plan) -> Iterator[str]:
    """Secret versions, the package and the network are destroyed after their user has changed."""
    for address, body in plan.source.resources.items():
        first = block(body, "lifecycle").get("create_before_destroy") is True
        if address.removeprefix("google_").startswith(REPLACED_AFTER) and not first:
            yield f"{address} is destroyed before its user has changed"


POLICIES: Final[tuple[Policy, ...]] = (
    functions_equal_the_code,
    environments_equal_the_settings,
    environments_name_planned_resources,
    defaults_equal_the_code,
    defaults_are_safe,
    sizes_hold_the_work,
    sizes_are_as_given,
    secrets_are_pinned_and_hidden,
    what_is_needed_is_made_first,
    apis_are_enabled,
    static_ip_decides_the_network,
    the_network_is_one_subnet_and_one_address,
    nothing_is_destroyed_while_in_use,
)
