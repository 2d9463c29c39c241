"""Policies on what is stored: database, indexes, expiry, buckets, images, encryption and names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import inspect as shapes

from tests.infra.messaging_policies import KEPT, PUSHES
from tests.infra.plan import (
    DAY_S,
    Plan,
    Policy,
    Resource,
    Unreadable,
    leaves,
    nested,
    number,
    seconds,
)
from transcripts.results.filters import FILTERS, INDEXES
from transcripts.settings import FUNCTIONS
from transcripts.submissions import submission
from transcripts.submissions.submission import (
    AssetOwner,
    RecordingOwner,
    SpendCounter,
    Submission,
)
from transcripts.submissions.sweep import QUERIES
from transcripts.tasks import task
from transcripts.tasks.task import Page, RawChunk, Task

DOCUMENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "tasks": Task,
    "segments": Page,
    "raw": RawChunk,
    "submissions": Submission,
    "assets": AssetOwner,
    "recordings": RecordingOwner,
    "spend_counters": SpendCounter,
}
EXPIRY: Final = "expires_at"
QUERIED_LISTS: Final = {
    (collection, row.field)
    for collection, rows in FILTERS.items()
    for row in rows.values()
    if row.of_list
}
"""Lists of at most 64 short texts that tasks are found by."""

COMPONENTS: Final = "tmp/parallel_composite_uploads/"
"""Below ``gcloud/`` and ``gsutil/``: the parts of a parallel upload."""


def collection_groups() -> set[str]:
    """Return the collection group of every path that the code makes."""
    found: set[str] = set()
    for module in (task, submission):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.endswith("_path"):
                parameters = inspect.signature(function).parameters.values()
                path = function(*(0 if "int" in str(p.annotation) else "x" for p in parameters))
                found.add(path.split("/")[-2])
    return found


def large_fields(document: type[msgspec.Struct]) -> set[str]:
    """Return the fields that hold lists, maps, documents or bytes."""
    kind = shapes.type_info(document)
    if not isinstance(kind, shapes.StructType):
        raise TypeError(document)
    return {field.name for field in kind.fields if _is_large(field.type)}


def _is_large(kind: shapes.Type) -> bool:
    if isinstance(kind, shapes.Metadata):
        return _is_large(kind.type)
    if isinstance(kind, shapes.UnionType):
        return any(map(_is_large, kind.types))
    large = (shapes.ListType, shapes.DictType, shapes.StructType, shapes.BytesType)
    return isinstance(kind, large)


def every_collection_expires(plan: Plan) -> Iterator[str]:
    """Every collection group has a TTL, on a field that is not indexed."""
    if collection_groups() != set(DOCUMENTS):
        yield f"collection groups without a document here: {collection_groups() ^ set(DOCUMENTS)}"
    expiring = {f["collection"]: f for f in plan.all("firestore_field") if f["field"] == EXPIRY}
    for name in collection_groups() ^ set(expiring):
        yield f"{name} does not expire, or is no collection group"
    for name, field in expiring.items():
        if not field["ttl_config"]:
            yield f"{name} has no TTL"
        if EXPIRY not in DOCUMENTS.get(name, SpendCounter).__struct_fields__:
            yield f"{name} has no {EXPIRY}"


def large_fields_are_not_indexed(plan: Plan) -> Iterator[str]:
    """No list, map, bytes or time of expiry is indexed; no exemption names an unknown field."""
    wanted = {(name, field) for name, doc in DOCUMENTS.items() for field in large_fields(doc)}
    wanted -= QUERIED_LISTS
    fields = [field for field in plan.all("firestore_field") if field["field"] != EXPIRY]
    found = {(field["collection"], field["field"]) for field in fields}
    for collection, field in sorted(wanted ^ found):
        yield f"{collection}.{field} is indexed, or is no large field"
    for item in plan.all("firestore_field"):
        if item["index_config"] != [{"indexes": []}]:
            yield f"{item.address} is indexed"
    for item in fields:
        if item["ttl_config"]:
            yield f"{item.address} would delete documents"


def queries_have_their_indexes(plan: Plan) -> Iterator[str]:
    """The composite indexes are those of the code's queries, and no others."""
    found = {
        (
            index["collection"],
            *((f["field_path"], f["order"] or f["array_config"]) for f in index["fields"]),
        )
        for index in plan.all("firestore_index")
    }
    wanted = {(c, (equal, "ASCENDING"), (time, "ASCENDING")) for c, equal, time in QUERIES}
    wanted |= set(INDEXES)
    if found != wanted:
        yield f"indexes: {sorted(map(str, found ^ wanted))}"
    for index in plan.all("firestore_index"):
        if index["query_scope"] not in (None, "COLLECTION"):
            yield f"{index.address} has the scope {index['query_scope']}"


def indexes_and_expiry_are_in_the_database(plan: Plan) -> Iterator[str]:
    """Every index and field is set in the one database, whose name is the variable's."""
    name = plan.variable("database") or plan.prefix
    if plan.one("firestore_database")["name"] != name:
        yield f"the database is {plan.one('firestore_database')['name']}"
    for item in (*plan.all("firestore_field"), *plan.all("firestore_index")):
        if item["database"] != name:
            yield f"{item.address} is in {item['database']}"


def deletion_protection_decides(plan: Plan) -> Iterator[str]:
    """The database and the uploads can be deleted only if deletion_protection is off."""
    kept = plan.variable("deletion_protection")
    database, uploads = plan.one("firestore_database"), bucket(plan, "uploads")
    if bucket(plan, "source")["force_destroy"] is not True:
        yield "source: a destroy would stop at it"
    state = "DELETE_PROTECTION_ENABLED" if kept else "DELETE_PROTECTION_DISABLED"
    if database["delete_protection_state"] != state:
        yield f"database: {database['delete_protection_state']}"
    if database["deletion_policy"] != ("ABANDON" if kept else "DELETE"):
        yield f"database: {database['deletion_policy']}"
    if bool(uploads["force_destroy"]) is not (not kept):
        yield f"uploads: force_destroy {uploads['force_destroy']}"
    kind = (database["type"], database["concurrency_mode"])
    if kind != ("FIRESTORE_NATIVE", "OPTIMISTIC"):
        yield f"database: {kind}"


def buckets_are_private(plan: Plan) -> Iterator[str]:
    """No bucket can become public or grant rights on single objects."""
    for item in plan.all("storage_bucket"):
        if item["public_access_prevention"] != "enforced":
            yield f"{item.address} may become public"
        if item["uniform_bucket_level_access"] is not True:
            yield f"{item.address} has rights on single objects"


def buckets_delete_only_what_they_should(plan: Plan) -> Iterator[str]:
    """Media goes after upload_retention_days, left-over parts after a day, nothing else ever."""
    days = plan.variable("upload_retention_days")
    media = {("Delete", (("age", days),))} if days else set()
    prefixes = tuple(("matches_prefix", f"{tool}/{COMPONENTS}") for tool in ("gcloud", "gsutil"))
    parts = {("Delete", (("age", 1), *prefixes))}
    wanted = {"uploads": media | parts, "source": set()}
    for item in plan.all("storage_bucket"):
        found = {_lifecycle(rule) for rule in item["lifecycle_rule"] or []}
        aborted = {rule for rule in found if rule[0] == "AbortIncompleteMultipartUpload"}
        # A slow upload of several days must not be aborted; a month of leftovers costs too much.
        if not any(
            len(rule) == 1 and 2 <= number(dict(rule).get("age")) <= 31 for _, rule in aborted
        ):
            yield f"{item.address} keeps uploads that were never finished"
        name = str(item["name"]).rsplit("-", 1)[-1]
        if name not in wanted:
            yield f"{item.address} is no bucket of this list: say here what it deletes"
        elif found - aborted != wanted[name]:
            yield f"{item.address} deletes {sorted(map(str, found - aborted))}"


def _lifecycle(rule: dict[str, Any]) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """Return the action of a rule, and its conditions without those that are off."""
    conditions = [(k, v) for k, v in leaves(nested(rule, "condition")) if v not in (False, "", 0)]
    return str(nested(rule, "action").get("type")), tuple(sorted(conditions))


def bucket(plan: Plan, name: str) -> Resource:
    """Return the bucket with that end of its name; raises ``Unreadable``."""
    for found in plan.all("storage_bucket"):
        if str(found["name"]).endswith(f"-{name}"):
            return found
    raise Unreadable(f"there is no bucket {name}")


def new_code_is_deployed(plan: Plan) -> Iterator[str]:
    """The package is the given file, named by its content, and every function is built from it."""
    package = plan.one("storage_bucket_object")
    written = plan.source.resources["google_storage_bucket_object.package"]
    if "filesha256(var.package)" not in str(written.get("name")):
        yield f"the package is called {package['name']}"
    if package["source"] != plan.variable("package"):
        yield f"the package is {package['source'] or package['content']}"
    if package["bucket"] != bucket(plan, "source")["name"]:
        yield f"the package is in {package['bucket']}"
    for name, function in plan.functions.items():
        source = function.block("build_config", "source", "storage_source")
        if (source.get("object"), source.get("bucket")) != (package["name"], package["bucket"]):
            yield f"{name} is built from {source}"


def old_images_are_deleted(plan: Plan) -> Iterator[str]:
    """The newest images are kept, and all others are deleted after weeks."""
    policies = plan.one("artifact_registry_repository")["cleanup_policies"] or []
    kept = [nested(p, "most_recent_versions") for p in policies if p["action"] == "KEEP"]
    # The image that runs, and the one before it to go back to.
    if not any(2 <= number(policy.get("keep_count")) <= 20 for policy in kept):
        yield f"images are kept by {kept}"
    deleted = [nested(p, "condition") for p in policies if p["action"] == "DELETE"]
    if not any(7 <= seconds(policy.get("older_than")) / DAY_S <= 90 for policy in deleted):
        yield f"images are deleted by {deleted}"


def a_key_of_your_own_is_used(plan: Plan) -> Iterator[str]:
    """Everything that takes a key has kms_key, and waits for the grants on the key."""
    for address, body in plan.source.resources.items():
        granted = "google_kms_crypto_key_iam_member.agents" in plan.source.dependencies(address)
        if "kms_key_name" in str(body) and not granted:
            yield f"{address} does not wait for the grants on the key"
    key = plan.variable("kms_key")
    encrypted = {
        "google_firestore_database",
        "google_pubsub_topic",
        "google_secret_manager_secret",
        "google_storage_bucket",
    }
    for resource in plan.resources:
        keys = {value for path, value in leaves(resource.values) if path.endswith("kms_key_name")}
        if keys != ({key} if key and resource.type in encrypted else set()):
            yield f"{resource.address} is encrypted with {keys}"


def names_distinguish_environments(plan: Plan) -> Iterator[str]:
    """Every name begins with the environment's, so that two environments can share a project."""
    unnamed = ("google_project_service", "google_firestore_database", "_iam_member")
    for resource in plan.resources:
        if resource.type.endswith((*unnamed, "google_storage_bucket_object")):
            continue
        for field in ("name", "account_id", "secret_id", "repository_id"):
            value = resource[field]
            start = plan.project + "-" if resource.type == "google_storage_bucket" else ""
            if isinstance(value, str) and not value.startswith(f"{start}{plan.prefix}-"):
                yield f"{resource.address} is called {value}"


def names_are_those_that_others_use(plan: Plan) -> Iterator[str]:
    """URLs, `make`, `transcripts` and alerts find functions, secrets and subscriptions by name."""
    wanted = {
        ("cloudfunctions2_function", "name"): FUNCTIONS,
        ("secret_manager_secret", "secret_id"): ("mavi-api-key", "callback-tokens"),
        ("pubsub_subscription", "name"): (
            *(f"{topic}-to-{function}" for topic, (function, _) in PUSHES.items()),
            *(f"{topic}-kept" for topic in KEPT),
        ),
        ("cloud_scheduler_job", "name"): ("sweep",),
        ("artifact_registry_repository", "repository_id"): ("functions",),
    }
    for (kind, field), names in wanted.items():
        found = {resource[field] for resource in plan.all(kind)}
        if found != {f"{plan.prefix}-{name}" for name in names}:
            yield f"{kind}: {sorted(map(str, found))}"


POLICIES: Final[tuple[Policy, ...]] = (
    every_collection_expires,
    large_fields_are_not_indexed,
    queries_have_their_indexes,
    indexes_and_expiry_are_in_the_database,
    deletion_protection_decides,
    buckets_are_private,
    buckets_delete_only_what_they_should,
    new_code_is_deployed,
    old_images_are_deleted,
    a_key_of_your_own_is_used,
    names_distinguish_environments,
    names_are_those_that_others_use,
)
