"""Policies on identities, roles and who may call what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tests.infra.plan import TARGETS, Grant, Plan, Policy
from tests.infra.source import Body, block, instance_of
from tests.infra.uses import CALLERS
from transcripts.settings import ACCOUNT, BUCKET, DATABASE, FUNCTIONS, QUEUE, TOPIC

EVERYBODY: Final = ("allUsers", "allAuthenticatedUsers")
BASIC: Final = ("roles/owner", "roles/editor", "roles/viewer")
CALLED: Final = tuple(name for name, caller in CALLERS.items() if caller)


def named_rights(plan: Plan, function: str) -> set[Grant]:
    """Return the rights on everything that the environment of a function names."""
    member, project = f"serviceAccount:{plan.account(function)}", plan.project
    environment, rights = plan.environment(function), set()
    for variable in FUNCTIONS[function].variables():
        value = environment.get(variable.name)
        name = str(value).rpartition("/")[2]
        if not value:
            continue
        if variable.parse is TOPIC:
            rights.add(Grant(member, "roles/pubsub.publisher", "pubsub_topic", name))
        elif variable.parse is QUEUE:
            rights.add(Grant(member, "roles/cloudtasks.enqueuer", "cloud_tasks_queue", name))
        elif variable.parse is ACCOUNT:
            account = f"projects/{project}/serviceAccounts/{value}"
            rights.add(Grant(member, "roles/iam.serviceAccountUser", "service_account", account))
        elif variable.parse is BUCKET:
            rights.add(Grant(member, "roles/storage.objectViewer", "storage_bucket", name))
        elif variable.parse is DATABASE:
            this = f'resource.name == "projects/{project}/databases/{value}"'
            role = f"roles/datastore.{'viewer' if function == 'reader' else 'user'}"
            rights.add(Grant(member, role, "project", project, this))
    for secret in plan.service(function).get("secret_environment_variables") or []:
        role, kind = "roles/secretmanager.secretAccessor", "secret_manager_secret"
        rights.add(Grant(member, role, kind, secret["secret"]))
    return rights


def environments_come_with_their_rights(plan: Plan) -> Iterator[str]:
    """A function may use every topic, queue, bucket, database and secret of its environment."""
    for function in FUNCTIONS:
        for right in sorted(named_rights(plan, function) - set(plan.grants), key=str):
            yield f"the environment of {function} names {right.target}, without {right.role} on it"


def expected_grants(plan: Plan) -> set[Grant]:
    """Return every grant there may be: the table of rights of the whole pipeline."""
    prefix = plan.prefix
    grants = {right for function in FUNCTIONS for right in named_rights(plan, function)}

    def grant(account: str, role: str, kind: str, target: str, condition: str = "") -> None:
        member = account if ":" in account or account == "allUsers" else f"serviceAccount:{account}"
        grants.add(Grant(member, f"roles/{role}", kind, target, condition))

    for function in CALLED:
        caller = plan.account(f"to-{function}")
        grant(caller, "run.invoker", "cloud_run_v2_service", f"{prefix}-{function}")
    grant("allUsers", "run.invoker", "cloud_run_v2_service", f"{prefix}-callback")
    for function in ("submit", "results", "reader"):
        for member in plan.variable(f"{function}_callers"):
            grant(member, "run.invoker", "cloud_run_v2_service", f"{prefix}-{function}")

    uploads = f"{plan.project}-{prefix}-uploads"
    grant(plan.account("submit"), "storage.objectViewer", "storage_bucket", uploads)
    if plan.variable("play_media"):
        # Both sign addresses of recordings as themselves.
        for function in ("results", "reader"):
            account, itself = plan.account(function), account_id(plan, function)
            grant(account, "iam.serviceAccountTokenCreator", "service_account", itself)
    for member in plan.variable("uploaders"):
        grant(member, "storage.objectCreator", "storage_bucket", uploads)

    pubsub, storage = plan.agent("gcp-sa-pubsub"), storage_agent(plan)
    for topic in ("callbacks-dead", "uploads-dead"):
        grant(pubsub, "pubsub.publisher", "pubsub_topic", f"{prefix}-{topic}")
    for topic, function in (("callbacks", "subscriber"), ("uploads", "ingest")):
        subscription = f"{prefix}-{topic}-to-{function}"
        grant(pubsub, "pubsub.subscriber", "pubsub_subscription", subscription)
        target = account_id(plan, f"to-{function}")
        grant(pubsub, "iam.serviceAccountOpenIdTokenCreator", "service_account", target)
    grant(storage, "pubsub.publisher", "pubsub_topic", f"{prefix}-uploads")

    build, sources = plan.account("build"), f"gcf-v2-sources-{plan.number}-{plan.region}"
    only_sources = f'resource.name.startsWith("projects/_/buckets/{sources}")'
    grant(build, "storage.objectViewer", "storage_bucket", f"{plan.project}-{prefix}-source")
    grant(build, "storage.objectViewer", "project", plan.project, only_sources)
    grant(build, "logging.logWriter", "project", plan.project)
    repository = "artifact_registry_repository"
    grant(build, "artifactregistry.writer", repository, f"{prefix}-functions")

    if key := plan.variable("kms_key"):
        agents = [plan.agent(f"gcp-sa-{name}") for name in ("firestore", "pubsub", "secretmanager")]
        for agent in (*agents, storage):
            grant(agent, "cloudkms.cryptoKeyEncrypterDecrypter", "kms_crypto_key", key)
    return grants


def account_id(plan: Plan, name: str) -> str:
    """Return the resource name of a service account."""
    return f"projects/{plan.project}/serviceAccounts/{plan.account(name)}"


def storage_agent(plan: Plan) -> str:
    """Return Cloud Storage's service agent, as the provider reports it."""
    member: str = plan.data("google_storage_project_service_account")["member"]
    return member


def grants_equal_the_table(plan: Plan) -> Iterator[str]:
    """Each identity has exactly the rights that its work needs, each on one resource."""
    wanted, granted = expected_grants(plan), set(plan.grants)
    for grant in sorted(granted - wanted, key=str):
        yield f"not needed: {grant}"
    for grant in sorted(wanted - granted, key=str):
        yield f"missing: {grant}"
    if len(plan.grants) != len(granted):
        yield "a grant is made twice"


def only_callback_is_public(plan: Plan) -> Iterator[str]:
    """Only callback takes requests from anybody; people call the others as themselves."""
    public = {(grant.kind, grant.target) for grant in plan.grants if grant.member in EVERYBODY}
    if public != {("cloud_run_v2_service", f"{plan.prefix}-callback")}:
        yield f"public: {sorted(public)}"
    wanted = {"callback": "ALLOW_ALL"}
    for name in ("submit", "results", "reader"):
        usual = "ALLOW_ALL" if plan.variable(f"{name}_callers") else "ALLOW_INTERNAL_ONLY"
        wanted[name] = plan.variable(f"{name}_ingress") or usual
    for name in plan.functions:
        ingress = plan.service(name).get("ingress_settings")
        if ingress != wanted.get(name, "ALLOW_INTERNAL_ONLY"):
            yield f"ingress of {name}: {ingress}"


def roles_are_narrow(plan: Plan) -> Iterator[str]:
    """No basic role; on the project only what no resource takes, and only with a condition."""
    for grant in plan.grants:
        if grant.role in BASIC or grant.role.lower().endswith(("admin", "editor", "owner")):
            yield f"wide: {grant}"
        log_writer = grant.role == "roles/logging.logWriter"
        on_project = grant.kind in ("project", "folder", "organization")
        if on_project and not grant.condition and not log_writer:
            yield f"on the whole project: {grant}"
    for resource in plan.resources:
        if re.search(r"_iam_(binding|policy)$", resource.type):
            yield f"{resource.address} would remove what others granted"


def callback_identity_is_minimal(plan: Plan) -> Iterator[str]:
    """The identity of callback publishes to two topics, reads one secret, and has no other role."""
    member = f"serviceAccount:{plan.account('callback')}"
    found = {(g.kind, g.target) for g in plan.grants if g.member == member}
    wanted = {
        ("pubsub_topic", f"{plan.prefix}-callbacks"),
        ("pubsub_topic", f"{plan.prefix}-callbacks-rejected"),
        ("secret_manager_secret", f"{plan.prefix}-callback-tokens"),
    }
    if found != wanted:
        yield f"callback has rights on: {sorted(found)}"


def identities_are_separate(plan: Plan) -> Iterator[str]:
    """Every function, every caller and the build has its own identity; none is a default one."""
    accounts = {resource["account_id"] for resource in plan.all("service_account")}
    names = [*FUNCTIONS, *(f"to-{function}" for function in CALLED), "build"]
    if accounts != {f"{plan.prefix}-{name}" for name in names}:
        yield f"service accounts: {sorted(accounts)}"
    for name, function in plan.functions.items():
        if plan.service(name).get("service_account_email") != plan.account(name):
            yield f"{name} does not run under its own identity"
        build = function.block("build_config")
        if build.get("service_account") != account_id(plan, "build"):
            yield f"{name} is not built under the build's identity"
        repository = f"repositories/{plan.prefix}-functions"
        if not str(build.get("docker_repository")).endswith(repository):
            yield f"the image of {name} goes to {build.get('docker_repository')}"


def grants_are_replaced_with_their_resource(plan: Plan) -> Iterator[str]:
    """A grant is made again when its resource is replaced, which no plan would show."""
    # The name of a service account identifies it; project and key are not made here.
    exempt = ("project", "service_account", "kms_crypto_key")
    for address, body in plan.source.resources.items():
        kind = address.split(".")[0].removeprefix("google_").removesuffix("_iam_member")
        if not address.split(".")[0].endswith("_iam_member") or kind in exempt:
            continue
        parent = instance_of(str(body.get(TARGETS[kind])))
        if f"${{{parent}.id}}" not in _replacement_triggers(plan, body):
            yield f"{address} is not replaced with {parent or 'its resource'}"


def _replacement_triggers(plan: Plan, body: Body) -> set[str]:
    found: set[str] = set()
    for trigger in block(body, "lifecycle").get("replace_triggered_by", []):
        name = instance_of(trigger).removesuffix("[each.key]")
        between = plan.source.resources.get(name, {})
        if "triggers_replace" not in between:
            found.add(trigger)
        elif between.get("for_each") == body.get("for_each"):
            found.add(between["triggers_replace"])
    return found


POLICIES: Final[tuple[Policy, ...]] = (
    environments_come_with_their_rights,
    grants_equal_the_table,
    only_callback_is_public,
    roles_are_narrow,
    callback_identity_is_minimal,
    identities_are_separate,
    grants_are_replaced_with_their_resource,
)
