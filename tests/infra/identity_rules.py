"""Promises about who may do what."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.infra.plan import TARGETS, Grant, Plan
from tests.infra.source import Body, block, instance_of
from transcripts.settings import FUNCTIONS

EVERYBODY = ("allUsers", "allAuthenticatedUsers")
BASIC = ("roles/owner", "roles/editor", "roles/viewer")
CALLED_BY = {"submit": "tasks", "ingest": "pubsub", "subscriber": "pubsub", "sweep": "scheduler"}
STORES = ("submit", "ingest", "subscriber", "sweep")
ENQUEUES = ("submit", "ingest", "sweep")


def expected_grants(plan: Plan) -> set[Grant]:
    """Return every grant there may be: the table of rights of the whole pipeline."""
    prefix = plan.prefix
    grants: set[Grant] = set()

    def grant(account: str, role: str, kind: str, target: str, condition: str = "") -> None:
        member = account if ":" in account or account == "allUsers" else f"serviceAccount:{account}"
        grants.add(Grant(member, role, kind, target, condition))

    for function in CALLED_BY:
        caller = plan.account(f"to-{function}")
        grant(caller, "roles/run.invoker", "cloud_run_v2_service", f"{prefix}-{function}")
    grant("allUsers", "roles/run.invoker", "cloud_run_v2_service", f"{prefix}-callback")
    for member in plan.variable("submit_callers"):
        grant(member, "roles/run.invoker", "cloud_run_v2_service", f"{prefix}-submit")

    callback = plan.account("callback")
    grant(callback, "roles/pubsub.publisher", "pubsub_topic", f"{prefix}-callbacks")
    grant(callback, "roles/pubsub.publisher", "pubsub_topic", f"{prefix}-callbacks-rejected")
    accessor = "roles/secretmanager.secretAccessor"
    grant(callback, accessor, "secret_manager_secret", f"{prefix}-callback-tokens")

    database = plan.one("firestore_database")["name"]
    this_database = f'resource.name == "projects/{plan.project}/databases/{database}"'
    for function in STORES:
        account = plan.account(function)
        grant(account, "roles/datastore.user", "project", plan.project, this_database)
    caller_of_submit = _account_id(plan, "to-submit")
    for function in ENQUEUES:
        account = plan.account(function)
        grant(account, "roles/cloudtasks.enqueuer", "cloud_tasks_queue", f"{prefix}-submissions")
        grant(account, "roles/iam.serviceAccountUser", "service_account", caller_of_submit)
    submit, uploads = plan.account("submit"), f"{plan.project}-{prefix}-uploads"
    grant(submit, accessor, "secret_manager_secret", f"{prefix}-mavi-api-key")
    grant(submit, "roles/storage.objectViewer", "storage_bucket", uploads)
    for member in plan.variable("uploaders"):
        grant(member, "roles/storage.objectCreator", "storage_bucket", uploads)

    pubsub, storage = plan.agent("gcp-sa-pubsub"), storage_agent(plan)
    for topic in ("callbacks-dead", "uploads-dead"):
        grant(pubsub, "roles/pubsub.publisher", "pubsub_topic", f"{prefix}-{topic}")
    for topic, function in (("callbacks", "subscriber"), ("uploads", "ingest")):
        subscription = f"{prefix}-{topic}-to-{function}"
        grant(pubsub, "roles/pubsub.subscriber", "pubsub_subscription", subscription)
        token_creator = "roles/iam.serviceAccountOpenIdTokenCreator"
        grant(pubsub, token_creator, "service_account", _account_id(plan, f"to-{function}"))
    grant(storage, "roles/pubsub.publisher", "pubsub_topic", f"{prefix}-uploads")

    build, sources = plan.account("build"), f"gcf-v2-sources-{plan.number}-{plan.region}"
    viewer = "roles/storage.objectViewer"
    grant(build, viewer, "storage_bucket", f"{plan.project}-{prefix}-source")
    writer = "roles/artifactregistry.writer"
    grant(build, writer, "artifact_registry_repository", f"{prefix}-functions")
    grant(build, "roles/logging.logWriter", "project", plan.project)
    only_sources = f'resource.name.startsWith("projects/_/buckets/{sources}")'
    grant(build, viewer, "project", plan.project, only_sources)

    if key := plan.variable("kms_key"):
        agents = [plan.agent(f"gcp-sa-{name}") for name in ("firestore", "pubsub", "secretmanager")]
        for agent in (*agents, storage):
            role = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
            grant(agent, role, "kms_crypto_key", key)
    return grants


def _account_id(plan: Plan, name: str) -> str:
    return f"projects/{plan.project}/serviceAccounts/{plan.account(name)}"


def storage_agent(plan: Plan) -> str:
    """Return Cloud Storage's agent, as the provider tells it."""
    (data,) = (
        item
        for item in plan.document["prior_state"]["values"]["root_module"]["resources"]
        if item["type"] == "google_storage_project_service_account"
    )
    member: str = data["values"]["member"]
    return member


def rights_are_the_table(plan: Plan) -> Iterator[str]:
    """Each identity has just the rights that its work needs, each on the one resource."""
    wanted, granted = expected_grants(plan), set(plan.grants)
    for grant in sorted(granted - wanted, key=str):
        yield f"nobody needs {grant}"
    for grant in sorted(wanted - granted, key=str):
        yield f"missing: {grant}"
    if len(plan.grants) != len(granted):
        yield "a grant is made twice"


def only_callback_is_public(plan: Plan) -> Iterator[str]:
    """Only callback takes requests of anybody; what people call, they call as themselves."""
    public = {(grant.kind, grant.target) for grant in plan.grants if grant.member in EVERYBODY}
    if public != {("cloud_run_v2_service", f"{plan.prefix}-callback")}:
        yield f"public: {sorted(public)}"
    open_to_all = {name for name in plan.functions if _ingress(plan, name) == "ALLOW_ALL"}
    wanted = {"callback", "submit"} if plan.variable("submit_callers") else {"callback"}
    if open_to_all != wanted:
        yield f"ingress ALLOW_ALL: {sorted(open_to_all)}"
    for name in set(plan.functions) - open_to_all:
        if _ingress(plan, name) != "ALLOW_INTERNAL_ONLY":
            yield f"ingress of {name}: {_ingress(plan, name)}"


def _ingress(plan: Plan, function: str) -> str | None:
    ingress: str | None = plan.service(function).get("ingress_settings")
    return ingress


def no_wide_rights(plan: Plan) -> Iterator[str]:
    """No basic role; on the project only what no resource takes, and that under a condition."""
    for grant in plan.grants:
        if grant.role in BASIC or grant.role.lower().endswith(("admin", "editor", "owner")):
            yield f"wide: {grant}"
        log_writer = grant.role == "roles/logging.logWriter"
        on_project = grant.kind in ("project", "folder", "organization")
        if on_project and not grant.condition and not log_writer:
            yield f"on all of the project: {grant}"
    for resource in plan.resources:
        if re.search(r"_iam_(binding|policy)$", resource.type):
            yield f"{resource.address} would take away what others granted"


def callback_may_next_to_nothing(plan: Plan) -> Iterator[str]:
    """callback's identity publishes to two topics, reads one secret, and can do nothing else."""
    member = f"serviceAccount:{plan.account('callback')}"
    found = sorted((g.role, g.kind, g.target) for g in plan.grants if g.member == member)
    wanted = [
        ("roles/pubsub.publisher", "pubsub_topic", f"{plan.prefix}-callbacks"),
        ("roles/pubsub.publisher", "pubsub_topic", f"{plan.prefix}-callbacks-rejected"),
        (
            "roles/secretmanager.secretAccessor",
            "secret_manager_secret",
            f"{plan.prefix}-callback-tokens",
        ),
    ]
    if found != wanted:
        yield f"callback may: {found}"


def identities_are_separate(plan: Plan) -> Iterator[str]:
    """Every function and every caller is an identity of its own, and nothing is the default one."""
    accounts = {resource["account_id"] for resource in plan.all("service_account")}
    names = [*FUNCTIONS, *(f"to-{function}" for function in CALLED_BY), "build"]
    if accounts != {f"{plan.prefix}-{name}" for name in names}:
        yield f"service accounts: {sorted(accounts)}"
    for name in plan.functions:
        if plan.service(name).get("service_account_email") != plan.account(name):
            yield f"{name} does not run as itself"
        build = plan.functions[name].block("build_config")
        if build.get("service_account") != _account_id(plan, "build"):
            yield f"{name} is not built by the build's identity"
        repository = f"repositories/{plan.prefix}-functions"
        if not str(build.get("docker_repository")).endswith(repository):
            yield f"the image of {name} goes elsewhere"


def grants_outlive_their_parents(plan: Plan) -> Iterator[str]:
    """A grant is made anew with the resource it is on: Terraform would show no difference."""
    # The name of a service account says which it is; project and key are not made here.
    exempt = ("project", "service_account", "kms_crypto_key")
    for address, body in plan.source.items():
        kind = address.split(".")[0].removeprefix("google_").removesuffix("_iam_member")
        if not address.split(".")[0].endswith("_iam_member") or kind in exempt:
            continue
        parent = instance_of(body.get(TARGETS[kind]))
        if f"${{{parent}.id}}" not in _made_anew_with(plan, body):
            yield f"{address} is not made anew with {parent or 'what it is on'}"


def _made_anew_with(plan: Plan, body: Body) -> set[str]:
    found: set[str] = set()
    for trigger in block(body, "lifecycle").get("replace_triggered_by", []):
        between = plan.source.get(instance_of(trigger).removesuffix("[each.key]"), {})
        if "triggers_replace" not in between:
            found.add(trigger)
        elif between.get("for_each") == body.get("for_each"):
            found.add(between["triggers_replace"])
    return found


RULES = (
    rights_are_the_table,
    only_callback_is_public,
    no_wide_rights,
    callback_may_next_to_nothing,
    identities_are_separate,
    grants_outlive_their_parents,
)
