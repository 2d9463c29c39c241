"""The commands, roles and numbers in the documents are true."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from cli.deploy.environment import declared_variables
from cli.deploy.preflight import FIRST_APIS
from tests.deploy.conftest import ROOT
from tests.infra.source import Source
from transcripts.settings import FUNCTIONS

DOCUMENTS: Final = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
GUIDE: Final = (ROOT / "docs" / "deploy.md").read_text()
SOURCE: Final = Source(ROOT / "infra")


# Commands -----------------------------------------------------------------------------------------

OURS: Final = re.compile(r"(gcloud|terraform|cp infra|read -rs|make|curl -H \"Auth|[A-Z_]+=\$\()")
LOCAL: Final = ("make demo", "make up", "make check", "make test", "make setup", "make soak")
"""Targets that reach no cloud; the documents about them have tests of their own."""


def blocks(text: str, language: str) -> list[str]:
    """Return the lines of all code blocks of a language; continued lines are joined."""
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for body in found for line in body.replace("\\\n", " ").splitlines()]


def documented_commands() -> set[str]:
    """Return every command on the cloud, and every line of a workflow, without comments."""
    example = (ROOT / "infra" / "backend.tf.example").read_text()
    comment = "\n".join(re.findall(r"^#   (.*)$", example, re.MULTILINE))
    lines = comment.replace("\\\n", " ").splitlines()
    for document in DOCUMENTS:
        lines += [line for line in blocks(document.read_text(), "sh") if OURS.match(line)]
        lines += blocks(document.read_text(), "yaml")
    stripped = {" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in lines}
    return {line for line in stripped if line and not line.startswith(LOCAL)}


def test_documented_targets_exist() -> None:
    """Every `make` target in a document exists."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    for document in DOCUMENTS:
        text = document.read_text()
        named = set(re.findall(r"`make ([a-z][a-z-]*)", text))
        named |= set(re.findall(r"^make ([a-z][a-z-]*)", text, re.MULTILINE))
        assert named <= targets, document


def test_documented_commands_name_their_project() -> None:
    """A command without a project would go to whatever project gcloud has as its default."""
    elsewhere = (
        *("gcloud auth ", "gcloud projects create ", "gcloud billing "),
        "gcloud logging sinks update SINK --organization ",
        *("gcloud storage ", "gcloud iam service-accounts add-iam-policy-binding "),
    )
    commands = [text for text in documented_commands() if text.startswith("gcloud ")]
    commands = [text for text in commands if not text.startswith(elsewhere)]
    assert len(commands) > 4
    assert [text for text in commands if "--project MY-PROJECT" not in text] == []


def test_documented_first_apis_are_those_that_preflight_checks() -> None:
    """A person or a service account enables the APIs that Terraform needs first."""
    enable = [c for c in documented_commands() if c.startswith("gcloud services enable ")]
    of_actions, first = sorted(
        (set(re.findall(r"\S+\.googleapis\.com", text)) for text in enable), key=len
    )
    billing = "cloudbilling.googleapis.com"
    assert first == {*FIRST_APIS, billing}
    assert of_actions == {billing, "iamcredentials.googleapis.com", "sts.googleapis.com"}


# Roles --------------------------------------------------------------------------------------------

ROLES: Final = {
    "google_artifact_registry": "artifactregistry.admin",
    "google_cloud_run": "run.admin",
    "google_cloud_scheduler": "cloudscheduler.admin",
    "google_cloud_tasks": "cloudtasks.admin",
    "google_cloudfunctions2": "cloudfunctions.admin",
    "google_compute": "compute.networkAdmin",
    "google_firestore": "datastore.owner",
    "google_kms_crypto_key_iam": "cloudkms.admin",
    "google_logging": "logging.configWriter",
    "google_monitoring": "monitoring.editor",
    "google_project_iam": "resourcemanager.projectIamAdmin",
    "google_project_service": "serviceusage.serviceUsageAdmin",
    "google_pubsub": "pubsub.admin",
    "google_secret_manager": "secretmanager.admin",
    "google_service_account": "iam.serviceAccountAdmin",
    "google_storage": "storage.admin",
}
"""The role that manages each type: https://cloud.google.com/iam/docs/understanding-roles"""

OPTIONAL: Final = {"compute.networkAdmin", "cloudkms.admin"}
BESIDE: Final = {"iam.serviceAccountUser", "browser"}
"""To deploy functions under their identities, and to read the state of the project."""


def test_documented_roles_equal_those_of_the_resource_types() -> None:
    """The deployer has the role of every type that is made, and no other."""
    needed = {
        role
        for address in SOURCE.resources
        for start, role in ROLES.items()
        if address.startswith(start)
    }
    sentence = re.search(r"needs, on the project: (.*?)\. It can", GUIDE, re.DOTALL)
    assert sentence
    always, _, optional = sentence[1].partition("with options also")
    assert set(re.findall(r"`([\w.]+)`", optional)) == OPTIONAL
    assert set(re.findall(r"`([\w.]+)`", always)) == (needed | BESIDE) - OPTIONAL


# Numbers ------------------------------------------------------------------------------------------

WORDS: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen"),
)
NUMBER: Final = rf"\$?\d[\d,.]*\d|\$?\d|{'|'.join(WORDS[1:])}"


def default(name: str) -> Any:
    """Return the default of a variable."""
    return SOURCE.labelled("variable")[name]["default"]


def local(name: str) -> Any:
    """Return a local value."""
    return SOURCE.locals[name]


def required(name: str) -> str:
    """Return the least version that is required of terraform or Python."""
    if name == "terraform":
        versions = [b["required_version"] for b in SOURCE.blocks["terraform"]]
    else:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        versions = [project["requires-python"]]
    found = re.search(r"\d+\.\d+", versions[0])
    assert found
    return found[0]


def retry_hours() -> float:
    """Return how long a message is retried before it is a dead letter, in hours."""
    pauses = int(default("max_delivery_attempts")) - 1
    return float(sum(min(10 * 2**pause, 600) for pause in range(pauses))) / 3600


FACTS: Final[tuple[tuple[str, Callable[[], object]], ...]] = (
    (r"Python (\d\.\d+)", lambda: required("python")),
    (r"[Tt]erraform (\d\.\d+)", lambda: required("terraform")),
    (r"terraform_version: ~(\d\.\d+)", lambda: required("terraform")),
    (r"`hashicorp/google` (\d\.\d+)", lambda: "7.46"),  # the stand-in's schema
    (rf"({NUMBER}) functions\s+are built", lambda: len(FUNCTIONS)),
    (rf"media deleted after ({NUMBER}) days", lambda: default("upload_retention_days")),
    (rf"({NUMBER}) days in the bucket", lambda: default("upload_retention_days")),
    (rf"({NUMBER}) tasks? a second", lambda: default("mavi_requests_per_second")),
    (rf"sweep, every ({NUMBER}) minutes", lambda: str(default("sweep_schedule"))[2:4]),
    (rf"(?:kept for|waits in|-kept` for)\D{{0,80}}?({NUMBER}) days", lambda: 31),
)
"""A sentence with a number, and the number that the configuration has."""


@pytest.mark.parametrize(("pattern", "expected"), FACTS, ids=[pattern for pattern, _ in FACTS])
def test_documented_number_equals_the_configuration(
    pattern: str, expected: Callable[[], object]
) -> None:
    """Every occurrence in every document has the number of the configuration."""
    texts = [" ".join(document.read_text().split()) for document in DOCUMENTS]
    found = {match for text in texts for match in re.findall(pattern, text, re.IGNORECASE)}
    wanted = expected()
    words = {str(wanted), WORDS[wanted] if isinstance(wanted, int) and wanted < 16 else ""}
    assert found
    assert {one.lower() for one in found} <= words, found


def test_documented_retries_equal_the_configuration() -> None:
    """Some two and a half hours pass until a message is a dead letter."""
    assert 2.25 <= retry_hours() <= 2.75
    assert "two and a half hours" in GUIDE
    assert (
        "two and a half hours"
        in SOURCE.labelled("variable")["max_delivery_attempts"]["description"]
    )


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documented_links_lead_to_a_file_and_heading(document: Path) -> None:
    """Every link inside of the repository has its target."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text()):
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            kept = {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}
            assert anchor in kept, target


def test_documented_variables_exist() -> None:
    """Words with an underscore in code marks are variables, but for a few."""
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", GUIDE))
    others = {"named_by", "provider_no_credit", "provider_no_webhook", "read_only", "reader_url"}
    assert named <= declared_variables(ROOT / "infra") | others
    assert "max_submissions_per_day" in named


def test_documented_names_are_those_of_terraform() -> None:
    """Subscriptions, buckets, secrets and identities, as the default environment has them."""
    prefix = default("name")
    known = {
        *(
            f"{prefix}-{topic}-kept"
            for topic in ("callbacks-dead", "callbacks-rejected", "uploads-dead")
        ),
        *(f"{prefix}-{name}" for name in FUNCTIONS),
        *(f"{prefix}-to-{name}" for name in ("submit", "ingest", "subscriber", "sweep")),
        f"{prefix}-callbacks-to-subscriber",
        f"{prefix}-results",
        f"{prefix}-uploads-to-ingest",
        f"{prefix}-uploads",
        f"{prefix}-submissions",
    }
    for document in DOCUMENTS:
        named = set(re.findall(rf"\b{prefix}-[a-z-]*[a-z]", document.read_text()))
        assert named <= known, named - known
