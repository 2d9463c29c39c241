"""What a destroy takes and what it leaves, and how that is taken over again."""

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
    """Return everything that a deployment leaves and that is of interest here."""
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
def test_destroying_keeps_the_data(
    database: Mapping[str, Any], run: Run, programs: FakePrograms
) -> None:
    """As the file has it, even if it was never deployed so; expiry and exemptions stay set."""
    programs.say("terraform show -json", state(deployed(database)))
    result = run("destroy", "--yes")
    assert result.exit_code == 0, result.output
    assert f"stays: database transcripts and bucket {PROJECT}-transcripts-uploads" in result.output
    assert "the queue" in result.output
    assert "make deploy ADOPT=1" in result.output
    removed, destroyed = programs.changes
    assert removed == f"terraform state rm {DATA}"
    assert destroyed.startswith("terraform destroy -input=false -auto-approve -var-file=production")


def test_destroying_again_goes_on(run: Run, programs: FakePrograms) -> None:
    """What Terraform was made to forget it need not forget again."""
    programs.say("terraform show -json", state({"google_pubsub_topic.this": {}}, {}))
    assert run("destroy", "--yes").exit_code == 0
    (destroyed,) = programs.changes
    assert destroyed.startswith("terraform destroy")


def test_a_subnet_that_is_held_is_explained(run: Run, programs: FakePrograms) -> None:
    """Only time helps."""
    subnet: Mapping[str, Mapping[str, Any]] = {"google_compute_subnetwork.egress[0]": {}}
    programs.say("terraform show -json", state(subnet))
    programs.say("terraform destroy", framed("in use"), 1)
    result = run("destroy", "--yes")
    assert result.exit_code == 1
    assert "Google holds the subnet of static_ip for an hour or two" in result.output


@pytest.mark.parametrize("resources", [deployed(UNPROTECTED, may_go=True), {}, RESOURCES])
def test_destroying_what_is_not_protected(
    resources: Mapping[str, Any], run: Run, programs: FakePrograms, root: Path
) -> None:
    """The data go too, and that is said in capitals; without a database there are none."""
    set_variable(root, "deletion_protection = false # the data may go")
    programs.say("terraform show -json", state(resources))
    result = run("destroy", "--yes")
    assert "with ALL THEY HOLD" in result.output
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
def test_what_is_still_protected_is_not_half_destroyed(
    resources: Mapping[str, Any], run: Run, programs: FakePrograms, root: Path
) -> None:
    """Terraform would forget the database, and stop at the bucket."""
    set_variable(root, "deletion_protection = false")
    programs.say("terraform show -json", state(resources))
    result = run("destroy", "--yes")
    assert result.exit_code == 1
    assert "make deploy first" in result.output
    assert programs.changes == []


@pytest.mark.parametrize("protected", [True, False])
def test_what_is_granted_on_a_key_stays(
    *, protected: bool, run: Run, programs: FakePrograms, root: Path
) -> None:
    """Kept data, and another environment's, are read with it; both states hold the same grants."""
    set_variable(root, f'kms_key = "{KMS_KEY}"')
    set_variable(root, f"deletion_protection = {str(protected).lower()}")
    resources = deployed(PROTECTED if protected else UNPROTECTED, may_go=not protected, key=True)
    programs.say("terraform show -json", state(resources))
    result = run("destroy", "--yes")
    assert result.exit_code == 0, result.output
    assert f"stays: what Google's agents may do with {KMS_KEY}" in result.output
    removed = programs.changes[0]
    assert removed == f"terraform state rm {f'{DATA} ' if protected else ''}{GRANTS}"


def test_adopting_takes_over_what_a_destroy_kept(run: Run, programs: FakePrograms) -> None:
    """What Terraform knows already is left alone."""
    result = run("deploy", "--yes", "--adopt")
    assert result.exit_code == 0, result.output
    database, queue = programs.ran("terraform import")
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
def test_what_is_not_there_is_not_adopted(summary: str, run: Run, programs: FakePrograms) -> None:
    """Somebody deleted it meanwhile: it is made."""
    programs.say("terraform import", framed(summary, "While attempting to import an"), 1)
    result = run("deploy", "--yes", "--adopt")
    assert result.exit_code == 0, result.output
    assert f"projects/{PROJECT}/databases/transcripts: not there, so it is made" in result.output
    assert programs.ran("terraform apply")


def test_what_cannot_be_adopted_stops_it(run: Run, programs: FakePrograms) -> None:
    """Else a second one would be made, or the apply would fail half-way."""
    summary = "Error when reading or editing Database: googleapi: Error 403: denied"
    programs.say("terraform import", framed(summary, "  with google_firestore_database.this,"), 1)
    result = run("deploy", "--yes", "--adopt")
    assert result.exit_code == 1
    assert f"databases/transcripts can't be taken over: {summary}\n" in result.output
    assert "make deploy ADOPT=1" in result.output
    assert len(programs.ran("terraform import")) == 1
    assert programs.ran("terraform plan") == []
