"""Promises about the functions: what they run, what they are told, what they may take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.infra.plan import Plan, references
from tests.infra.source import block, dynamic
from tests.infra.workbench import API_KEY, TOKENS
from transcripts.errors import SettingsError
from transcripts.settings import FUNCTIONS, GOOGLE

SOURCE = Path(__file__).resolve().parent.parent.parent / "functions"
LOCAL_ONLY = frozenset({"TRANSCRIPTS_DATA_DIR"})
"""Variables that mean nothing in the cloud."""

SECRETS = {"MAVI_API_KEY": API_KEY, "CALLBACK_TOKENS": TOKENS}


def environment_of(plan: Plan, function: str) -> dict[str, str]:
    """Return what a function finds in its environment, secrets included."""
    service = plan.service(function)
    secrets = {item["key"] for item in service.get("secret_environment_variables") or []}
    return {**plan.environment(function), **{key: SECRETS.get(key, "?") for key in secrets}}


def functions_are_those_of_the_code(plan: Plan) -> Iterator[str]:
    """Every function of the code is deployed, from its own file, on the Python that was chosen."""
    if set(plan.functions) != set(FUNCTIONS):
        yield f"functions: {sorted(plan.functions)}"
    for name, function in plan.functions.items():
        build = function.block("build_config")
        source = (build.get("environment_variables") or {}).get("GOOGLE_FUNCTION_SOURCE")
        if source != f"{name}.py" or not (SOURCE / str(source)).is_file():
            yield f"{name} is built from {source}"
        if build.get("entry_point") != name or build.get("runtime") != "python313":
            yield f"{name}: {build.get('runtime')}, {build.get('entry_point')}"
        if function["event_trigger"]:
            yield f"{name} has an event trigger, and so no dead letters"


def variables_are_those_of_the_code(plan: Plan) -> Iterator[str]:
    """Each function is given just the variables its settings read, and they are good values."""
    for name, settings in FUNCTIONS.items():
        if name not in plan.functions:
            continue
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


def defaults_are_those_of_the_code(plan: Plan) -> Iterator[str]:
    """Who sets nothing gets what the code has by itself, Mavi's pace of 1 a second included."""
    variables = plan.document["configuration"]["root_module"]["variables"]
    for settings in FUNCTIONS.values():
        for variable in settings.variables():
            ours = variables.get(variable.name.lower())
            by_terraform = variable.name == "CALLBACK_TOKENS" or variable.default is None
            if ours is None or by_terraform:
                continue
            if str(ours.get("default")) != variable.default:
                yield f"{variable.name} is {ours.get('default')} by default"
    pace = variables["mavi_requests_per_second"]["default"]
    if pace != 1:
        yield f"{pace} requests a second by default"


def defaults_are_safe(plan: Plan) -> Iterator[str]:
    """Who sets nothing has his data protected, and lets nobody in but Mavi."""
    variables = plan.document["configuration"]["root_module"]["variables"]
    safe = {"deletion_protection": True, "submit_callers": [], "uploaders": [], "static_ip": False}
    for name, wanted in safe.items():
        if variables[name].get("default") != wanted:
            yield f"{name} is {variables[name].get('default')} by default"
    for name in ("mavi_api_key", "callback_tokens"):
        if "default" in variables[name]:
            yield f"{name} has a default"


def variables_lead_to_what_is_there(plan: Plan) -> Iterator[str]:
    """Topics, queue, database, addresses and identities that functions are told of are ours."""
    queue = plan.one("cloud_tasks_queue")
    location = f"projects/{plan.project}/locations/{plan.region}"
    wanted = {
        "CALLBACK_TOPIC": plan.topic("callbacks"),
        "FIRESTORE_DATABASE": plan.one("firestore_database")["name"],
        "GOOGLE_CLOUD_PROJECT": plan.project,
        "MAVI_BASE_URL": plan.variable("mavi_base_url"),
        "MAX_OBJECT_BYTES": str(plan.variable("max_object_bytes")),
        "MAX_SUBMISSIONS_PER_DAY": str(plan.variable("max_submissions_per_day")),
        "OVERDUE_AFTER_MINUTES": str(plan.variable("overdue_after_minutes")),
        "QUEUE_INVOKER": plan.account("to-submit"),
        "REJECTED_TOPIC": plan.topic("callbacks-rejected"),
        "RESUBMIT_OVERDUE": str(plan.variable("resubmit_overdue")),
        "RETENTION_DAYS": str(plan.variable("retention_days")),
        "SUBMIT_QUEUE": f"{location}/queues/{queue['name']}",
        "SUBMIT_URL": plan.url("submit"),
    }
    for name in plan.functions:
        for variable, value in plan.environment(name).items():
            if value != wanted.get(variable, value):
                yield f"{name}: {variable} is {value}"


def instances_are_bounded(plan: Plan) -> Iterator[str]:
    """Every function has a maximum of instances; submit, which keeps the pace, is one."""
    for name in plan.functions:
        service = plan.service(name)
        most = service.get("max_instance_count") or 0
        if not 1 <= most <= 100:
            yield f"{name} has no bound of instances"
        least = service.get("min_instance_count")
        if least != ((plan.variable("function_sizes").get(name) or {}).get("min_instances") or 0):
            yield f"{name} has {least} instances that cost even if it is idle"
        concurrency = service.get("max_instance_request_concurrency") or 1
        if concurrency > 1 and float(service.get("available_cpu") or 0) < 1:
            cpu = service.get("available_cpu")
            yield f"{name} takes {concurrency} requests at once on {cpu} CPU"
        if not service.get("timeout_seconds") or not service.get("available_memory"):
            yield f"{name} has no bound of time or memory"
    if plan.service("submit").get("max_instance_count") != 1:
        yield "two instances of submit would double the account's pace"


def secrets_are_pinned_and_unseen(plan: Plan) -> Iterator[str]:
    """No secret's value is in a plan; functions read their own secrets, each pinned."""
    text = str(plan.document)
    if API_KEY in text or TOKENS in text:
        yield "a secret's value is in the plan"
    wanted = {"submit": {"MAVI_API_KEY": "mavi-api-key"}}
    wanted["callback"] = {"CALLBACK_TOKENS": "callback-tokens"}
    for name in plan.functions:
        secrets = plan.service(name).get("secret_environment_variables") or []
        found = {item["key"]: item["secret"] for item in secrets}
        expected = {key: f"{plan.prefix}-{v}" for key, v in wanted.get(name, {}).items()}
        if found != expected:
            yield f"secrets of {name}: {found}"
        if any("version" in item for item in secrets):
            yield f"{name} reads a version that is not the one just written"
    for name in ("mavi_api_key", "callback_tokens"):
        version = plan.written[f"google_secret_manager_secret_version.{name}"]["expressions"]
        container = f'google_secret_manager_secret.this["{name.replace("_", "-")}"].id'
        if container not in references(version.get("secret")):
            yield f"{name} is written to another secret"
        if f"var.{name}" not in references(version.get("secret_data_wo")):
            yield f"{name} is not written through the write-only argument"
        if f"var.{name}_version" not in references(version.get("secret_data_wo_version")):
            yield f"{name} can't be replaced"
        if "secret_data" in version:
            yield f"{name} would be in the state"


def callers_wait_for_the_called(plan: Plan) -> Iterator[str]:
    """A first apply on an empty project: nothing is used before what it needs is there."""
    wanted = {
        "google_cloudfunctions2_function.this": {
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
        },
        "google_pubsub_subscription.push": {
            "google_cloud_run_v2_service_iam_member.caller",
            "google_cloudfunctions2_function.this",
            "google_pubsub_subscription.kept",
            "google_pubsub_topic_iam_member.dead_letters",
            "google_service_account_iam_member.push_token",
        },
        "google_storage_notification.uploads": {
            "google_pubsub_subscription.push",
            "google_pubsub_topic_iam_member.uploads",
        },
        "google_cloud_scheduler_job.sweep": {"google_cloud_run_v2_service_iam_member.caller"},
    }
    for address, needed in wanted.items():
        for missing in sorted(needed - plan.waits_for(address)):
            yield f"{address} does not wait for {missing}"
    for address, item in plan.written.items():
        ours = item["mode"] == "managed" and item["type"] != "terraform_data"
        services = "google_project_service.this"
        exempt = item["type"] in ("google_project_service", "google_project_iam_member")
        if ours and not exempt and services not in plan.waits_for(address):
            yield f"{address} does not wait for its API"


APIS = {
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
    """The API of every resource is enabled, the build's too, and stays so for whoever else."""
    services = plan.all("project_service")
    enabled = {resource["service"].removesuffix(".googleapis.com") for resource in services}
    needed = {"cloudbuild"}
    for resource in plan.resources:
        kind = resource.type.removeprefix("google_")
        needed |= {api for start, api in APIS.items() if kind.startswith(start)}
    if enabled != needed:
        yield f"APIs: {sorted(enabled ^ needed)}"
    for resource in services:
        if resource["disable_on_destroy"] is not False:
            yield f"{resource['service']} would be disabled for everybody"


def mavi_sees_one_address(plan: Plan) -> Iterator[str]:
    """With static_ip all that submit sends leaves by one address; nothing else is led that way."""
    for name in plan.functions:
        egress = plan.service(name).get("direct_vpc_egress")
        wanted = (
            "VPC_EGRESS_ALL_TRAFFIC" if plan.variable("static_ip") and name == "submit" else None
        )
        if egress != wanted:
            yield f"{name} sends by {egress}"
        if bool(plan.service(name).get("direct_vpc_network_interface")) != bool(wanted):
            yield f"{name} has the wrong network"
    service = block(plan.source["google_cloudfunctions2_function.this"], "service_config")
    place = dynamic(service, "direct_vpc_network_interface")
    for argument, attribute in (("network", "network"), ("subnetwork", "id")):
        if place.get(argument) != f"${{direct_vpc_network_interface.value.{attribute}}}":
            yield f"submit is in the {argument} {place.get(argument)}"


def the_way_out_is_one_gateway(plan: Plan) -> Iterator[str]:
    """The network is one subnet that Cloud Run takes, with a gateway that has the address."""
    for nat in plan.all("compute_router_nat"):
        if nat["nat_ip_allocate_option"] != "MANUAL_ONLY":
            yield "the address is not fixed"
    gateway = plan.written["google_compute_router_nat.egress"]["expressions"]
    if "google_compute_address.egress[0].id" not in references(gateway.get("nat_ips")):
        yield "the gateway has another address"
    for network in plan.all("compute_network"):
        if network["auto_create_subnetworks"] is not False:
            yield "the network has a subnet in every region"
    for subnet in plan.all("compute_subnetwork"):
        if not subnet["private_ip_google_access"]:
            yield "Google's own APIs would go through the gateway"
        # https://cloud.google.com/run/docs/configuring/vpc-direct-vpc wants /26 or more.
        _, _, bits = str(subnet["ip_cidr_range"]).partition("/")
        if not 8 <= int(bits or 0) <= 26:
            yield f"the subnet has the addresses {subnet['ip_cidr_range']}"


def nothing_goes_while_it_is_used(plan: Plan) -> Iterator[str]:
    """Secrets' versions, the package and the network go after their user has turned from them."""
    kinds = ("secret_manager_secret_version", "storage_bucket_object", "compute_")
    for address, body in plan.source.items():
        after = block(body, "lifecycle").get("create_before_destroy") is True
        if address.removeprefix("google_").startswith(kinds) and not after:
            yield f"{address} goes before its user has turned from it"


RULES = (
    functions_are_those_of_the_code,
    variables_are_those_of_the_code,
    defaults_are_those_of_the_code,
    defaults_are_safe,
    variables_lead_to_what_is_there,
    instances_are_bounded,
    secrets_are_pinned_and_unseen,
    callers_wait_for_the_called,
    apis_are_enabled,
    mavi_sees_one_address,
    the_way_out_is_one_gateway,
    nothing_goes_while_it_is_used,
)
