"""Promises about what is stored: the database, its indexes and expiry, the buckets, the names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import msgspec
from msgspec import inspect as shapes

from tests.infra.plan import Plan, Resource, nested, references
from transcripts.submissions import submission
from transcripts.submissions.submission import AssetOwner, Budget, Submission
from transcripts.submissions.sweep import QUERIES
from transcripts.tasks import task
from transcripts.tasks.task import Page, RawBlock, Task

DOCUMENTS: dict[str, type[msgspec.Struct]] = {
    "tasks": Task,
    "segments": Page,
    "raw": RawBlock,
    "submissions": Submission,
    "assets": AssetOwner,
    "budgets": Budget,
}
EXPIRY = "expires_at"
COMPONENTS = "tmp/parallel_composite_uploads/"
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
    if isinstance(kind, shapes.UnionType):
        return any(map(_is_large, kind.types))
    large = (shapes.ListType, shapes.DictType, shapes.StructType, shapes.BytesType)
    return isinstance(kind, large)


def everything_expires(plan: Plan) -> Iterator[str]:
    """Every collection group has its TTL, on a field that is not indexed."""
    if collection_groups() != set(DOCUMENTS):
        yield f"collection groups without a document here: {collection_groups() ^ set(DOCUMENTS)}"
    expiring = {f["collection"]: f for f in plan.all("firestore_field") if f["field"] == EXPIRY}
    for name in collection_groups() ^ set(expiring):
        yield f"{name} does not expire, or is none"
    for name, field in expiring.items():
        if not field["ttl_config"]:
            yield f"{name} has no TTL"
        if field["index_config"] != [{"indexes": []}]:
            yield f"the expiry of {name} is indexed"
        if EXPIRY not in DOCUMENTS.get(name, Budget).__struct_fields__:
            yield f"{name} has no {EXPIRY}"


def large_fields_are_not_indexed(plan: Plan) -> Iterator[str]:
    """No list, map or bytes is indexed; nothing that does not exist is exempt."""
    wanted = {(name, field) for name, doc in DOCUMENTS.items() for field in large_fields(doc)}
    fields = [field for field in plan.all("firestore_field") if field["field"] != EXPIRY]
    found = {(field["collection"], field["field"]) for field in fields}
    for collection, field in sorted(wanted ^ found):
        yield f"{collection}.{field} is indexed, or is none"
    for item in fields:
        if item["index_config"] != [{"indexes": []}]:
            yield f"{item.address} is indexed"


def queries_have_their_indexes(plan: Plan) -> Iterator[str]:
    """The composite indexes are those of the queries that the code makes, and no others."""
    found = {
        (index["collection"], *((f["field_path"], f["order"]) for f in index["fields"]))
        for index in plan.all("firestore_index")
    }
    wanted = {(c, (equal, "ASCENDING"), (time, "ASCENDING")) for c, equal, time in QUERIES}
    if found != wanted:
        yield f"indexes: {sorted(map(str, found ^ wanted))}"
    for index in plan.all("firestore_index"):
        if index["query_scope"] != "COLLECTION":
            yield f"{index.address} has the scope {index['query_scope']}"


def data_outlives_mistakes(plan: Plan) -> Iterator[str]:
    """Unless it is turned off, the database and the uploads can't be deleted by Terraform."""
    kept = plan.variable("deletion_protection")
    database, uploads = plan.one("firestore_database"), _bucket(plan, "uploads")
    if _bucket(plan, "source")["force_destroy"] is not True:
        yield "source: a destroy would stop at it"
    state = "DELETE_PROTECTION_ENABLED" if kept else "DELETE_PROTECTION_DISABLED"
    if database["delete_protection_state"] != state:
        yield f"database: {database['delete_protection_state']}"
    if database["deletion_policy"] != ("ABANDON" if kept else "DELETE"):
        yield f"database: {database['deletion_policy']}"
    if uploads["force_destroy"] is not (not kept):
        yield f"uploads: force_destroy {uploads['force_destroy']}"
    kind = (database["type"], database["concurrency_mode"])
    if kind != ("FIRESTORE_NATIVE", "OPTIMISTIC"):
        yield f"database: {kind}"
    if database["location_id"] != (plan.variable("firestore_location") or plan.region):
        yield f"database: {database['location_id']}"


def buckets_are_private(plan: Plan) -> Iterator[str]:
    """Buckets are never public, have no rights on single objects, and tidy up after themselves."""
    for bucket in plan.all("storage_bucket"):
        if bucket["public_access_prevention"] != "enforced":
            yield f"{bucket.address} may become public"
        if bucket["uniform_bucket_level_access"] is not True:
            yield f"{bucket.address} has rights on single objects"
        aborted = [
            nested(rule, "condition").get("age")
            for rule in bucket["lifecycle_rule"] or []
            if nested(rule, "action").get("type") == "AbortIncompleteMultipartUpload"
        ]
        if aborted != [7]:
            yield f"{bucket.address} is tidied up after {aborted} days"
    deleted = {
        (nested(rule, "condition").get("age"), prefix)
        for rule in _bucket(plan, "uploads")["lifecycle_rule"] or []
        if nested(rule, "action").get("type") == "Delete"
        for prefix in nested(rule, "condition").get("matches_prefix") or [""]
    }
    days = plan.variable("upload_retention_days")
    parts = {(1, f"{tool}/{COMPONENTS}") for tool in ("gcloud", "gsutil")}
    if deleted != parts | ({(days, "")} if days else set()):
        yield f"uploads are deleted after {deleted} days"


def _bucket(plan: Plan, name: str) -> Resource:
    (found,) = (b for b in plan.all("storage_bucket") if str(b["name"]).endswith(f"-{name}"))
    return found


def code_is_named_by_its_content(plan: Plan) -> Iterator[str]:
    """New code is deployed, and the same code is not deployed again."""
    package = plan.one("storage_bucket_object")
    written = plan.written["google_storage_bucket_object.package"]["expressions"]
    if "var.package" not in references(written.get("name")):
        yield f"the package is called {package['name']}"
    if "var.package" not in references(written.get("source")):
        yield f"the package is {package['source'] or package['content']}"
    for name, function in plan.functions.items():
        source = function.block("build_config", "source", "storage_source")
        if (source.get("object"), source.get("bucket")) != (package["name"], package["bucket"]):
            yield f"{name} is built from {source}"


def images_are_tidied_up(plan: Plan) -> Iterator[str]:
    """Of the built images the last five are kept, and what else is older than a month goes."""
    policies = plan.one("artifact_registry_repository")["cleanup_policies"] or []
    found = {policy.get("action"): policy for policy in policies}
    wanted = {
        "KEEP": ("most_recent_versions", "keep_count", 5),
        "DELETE": ("condition", "older_than", "30d"),
    }
    for action, (block, field, value) in wanted.items():
        if nested(found.get(action, {}), block).get(field) != value:
            yield f"images: {action} is {found.get(action)}"
    if plan.one("artifact_registry_repository")["cleanup_policy_dry_run"]:
        yield "images are not tidied up"


def own_key_is_used(plan: Plan) -> Iterator[str]:
    """With a key of one's own, buckets, topics, secrets and database are encrypted with it."""
    key = plan.variable("kms_key")
    found = {
        **{
            bucket.address: bucket.block("encryption").get("default_kms_key_name")
            for bucket in plan.all("storage_bucket")
        },
        **{t.address: t["kms_key_name"] for t in plan.all("pubsub_topic")},
        "database": plan.one("firestore_database").block("cmek_config").get("kms_key_name"),
    }
    for secret in plan.all("secret_manager_secret"):
        encryption = ("replication", "user_managed", "replicas", "customer_managed_encryption")
        found[secret.address] = secret.block(*encryption).get("kms_key_name")
    for address, used in found.items():
        if used != key:
            yield f"{address} is encrypted with {used}"


def names_tell_environments_apart(plan: Plan) -> Iterator[str]:
    """Everything is called by the environment's name, so two of them share a project."""
    for resource in plan.resources:
        for field in ("name", "account_id", "secret_id", "repository_id"):
            value = resource[field]
            unnamed = ("google_project_service", "google_firestore_database", "_iam_member")
            if not isinstance(value, str) or resource.type.endswith(unnamed):
                continue
            if resource.type == "google_storage_bucket_object":
                continue
            start = plan.project + "-" if resource.type == "google_storage_bucket" else ""
            if not value.startswith(f"{start}{plan.prefix}-"):
                yield f"{resource.address} is called {value}"


RULES = (
    everything_expires,
    large_fields_are_not_indexed,
    queries_have_their_indexes,
    data_outlives_mistakes,
    buckets_are_private,
    code_is_named_by_its_content,
    images_are_tidied_up,
    own_key_is_used,
    names_tell_environments_apart,
)
