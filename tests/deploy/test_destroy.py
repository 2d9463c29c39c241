"""A destroy deletes or keeps each resource, and a deployment imports the kept ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import Run
from tests.deploy.fake_programs import (
    KMS_KEY,
    PROJECT,
    RESOURCES,
    FakePrograms,
    framed,
    state,
)

PROTECTED = {
    "deletion_policy": "ABANDON",
    "delete_protection_state": "DELETE_PROTECTION_ENABLED",
}
UNPROTECTED = {
    "deletion_policy": "DELETE",
    "delete_protection_state": "DELETE_PROTECTION_DISABLED",
}
DATA = (
    "google_firestore_database.this google_storage_bucket.uploads "
    "google_cloud_tasks_queue.submissions google_firestore_field.expiry "
    "google_firestore_field.unindexed"
)
GRANTS = "google_kms_crypto_key_iam_member.agents"


def deployed(
    database: Mapping[str, Any], *, may_go: bool = False, key: bool = False
) -> Mapping[str, Mapping[str, Any]]:
    """Return the deployed resources that a destroy treats differently."""
    return {
        **RESOURCES,
        "google_firestore_database.this": database,
        "google_storage_bucket.uploads": {"force_destroy": may_go},
        "google_cloud_tasks_queue.submissions": {},
        'google_firestore_field.expiry["raw"]': {},
        'google_firestore_field.unindexed["tasks.faces"]': {},
        'google_firestore_index.this["late_tasks"]': {},
        **({f'{GRANTS}["{agent}"]': {} for agent in ("pubsub", "storage")} if key else {}),
    }


def set_variable(root: Path, line: str) -> None:
    with (root / "infra" / "production.tfvars").open("a") as file:
        file.write(f"{line}\n")


@pytest.mark.parametrize("database", [PROTECTED, UNPROTECTED])
def test_destroy_of_protected_environment_keeps_the_data(
    database: Mapping[str, Any], run: Run, programs: FakePrograms
) -> None:
    """The file decides, even if it was never deployed; expiry and exemptions stay set."""
    programs.answer("terraform show -json", state(deployed(database)))
    result = run("destroy", "--yes")
    assert result.exit_code == 0, result.output
    assert f"kept: database transcripts and bucket {PROJECT}-transcripts-uploads" in result.output
    assert "the queue" in result.output
    assert "make deploy ADOPT=1" in result.output
    removed, destroyed = programs.changes
    assert removed == f"terraform state rm {DATA}"
    assert destroyed.startswith("terraform destroy -input=false -auto-approve -var-file=production")


def test_destroy_again_continues(run: Run, programs: FakePrograms) -> None:
    """A resource that Terraform forgot already is not removed from the state again."""
    programs.answer("terraform show -json", state({"google_pubsub_topic.this": {}}, {}))
    assert run("destroy", "--yes").exit_code == 0
    (destroyed,) = programs.changes
    assert destroyed.startswith("terraform destroy")


def test_destroy_with_subnet_in_use_explains_the_wait(run: Run, programs: FakePrograms) -> None:
    """The user can only wait and run the command again."""
    subnet: Mapping[str, Mapping[str, Any]] = {"google_compute_subnetwork.egress[0]": {}}
    programs.answer("terraform show -json", state(subnet))
    programs.answer("terraform destroy", framed("in use"), 1)
    result = run("destroy", "--yes")
    assert result.exit_code == 1
    assert "subnet of static_ip" in result.output


@pytest.mark.parametrize("resources", [deployed(UNPROTECTED, may_go=True), {}, RESOURCES])
def test_destroy_of_unprotected_environment_deletes_the_data(
    resources: Mapping[str, Any], run: Run, programs: FakePrograms, root: Path
) -> None:
    """The summary says so in capitals; without a database there is no data."""
    set_variable(root, "deletion_protection = false # the data may go")
    programs.answer("terraform show -json", state(resources))
    result = run("destroy", "--yes")
    assert "ALL THEIR DATA" in result.output
    assert len(programs.changes) == 1


@pytest.mark.parametrize(
    "resources",
    [
        deployed(PROTECTED, may_go=True),
        deployed(UNPROTECTED | {"deletion_policy": "ABANDON"}, may_go=True),
        deployed(
            UNPROTECTED | {"delete_protection_state": "DELETE_PROTECTION_ENABLED"}, may_go=True
        ),
        deployed(UNPROTECTED, may_go=False),
    ],
)
def test_destroy_with_undeployed_unprotection_refuses(
    resources: Mapping[str, Any], run: Run, programs: FakePrograms, root: Path
) -> None:
    """Terraform would forget the database and fail at the bucket."""
    set_variable(root, "deletion_protection = false")
    programs.answer("terraform show -json", state(resources))
    result = run("destroy", "--yes")
    assert result.exit_code == 1
    assert "Run make deploy first" in result.output
    assert programs.changes == []


@pytest.mark.parametrize("protected", [True, False])
def test_destroy_with_kms_key_keeps_the_grants_on_it(
    *, protected: bool, run: Run, programs: FakePrograms, root: Path
) -> None:
    """Kept data and other environments need the grants, which are in both states."""
    set_variable(root, f'kms_key = "{KMS_KEY}"')
    set_variable(root, f"deletion_protection = {str(protected).lower()}")
    resources = deployed(PROTECTED if protected else UNPROTECTED, may_go=not protected, key=True)
    programs.answer("terraform show -json", state(resources))
    result = run("destroy", "--yes")
    assert result.exit_code == 0, result.output
    assert f"service agents on {KMS_KEY}" in result.output
    removed = programs.changes[0]
    assert removed == f"terraform state rm {f'{DATA} ' if protected else ''}{GRANTS}"


def test_deploy_adopt_imports_what_a_destroy_kept(run: Run, programs: FakePrograms) -> None:
    """A resource that is in the state is not imported again."""
    result = run("deploy", "--yes", "--adopt")
    assert result.exit_code == 0, result.output
    database, queue = programs.calls_of("terraform import")
    assert database.text.endswith(
        f"google_firestore_database.this projects/{PROJECT}/databases/transcripts -no-color"
    )
    place = f"projects/{PROJECT}/locations/us-central1"
    assert queue.text.endswith(f"submissions {place}/queues/transcripts-submissions -no-color")


@pytest.mark.parametrize(
    "summary",
    [
        "Cannot import non-existent remote object",
        "Error when reading or editing Database: googleapi: Error 404: Not found, notFound",
    ],
)
def test_deploy_adopt_with_missing_resource_creates_it(
    summary: str, run: Run, programs: FakePrograms
) -> None:
    """A user deleted the resource after the destroy."""
    programs.answer("terraform import", framed(summary, "While attempting to import an"), 1)
    result = run("deploy", "--yes", "--adopt")
    assert result.exit_code == 0, result.output
    assert f"projects/{PROJECT}/databases/transcripts: not found" in result.output
    assert programs.calls_of("terraform apply")


def test_deploy_adopt_with_failing_import_stops(run: Run, programs: FakePrograms) -> None:
    """Otherwise a second resource would be created, or the apply would fail halfway."""
    summary = "Error when reading or editing Database: googleapi: Error 403: denied"
    programs.answer(
        "terraform import", framed(summary, "  with google_firestore_database.this,"), 1
    )
    result = run("deploy", "--yes", "--adopt")
    assert result.exit_code == 1
    assert f"databases/transcripts cannot be imported: {summary}\n" in result.output
    assert "make deploy ADOPT=1" in result.output
    assert len(programs.calls_of("terraform import")) == 1
    assert programs.calls_of("terraform plan") == []
