"""What the documents tell people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.deploy.environment import declared_variables
from cli.deploy.preflight import FIRST_APIS
from tests.infra import identity_rules

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = ("README.md", "docs/deploy.md")
GUIDE = (ROOT / "docs" / "deploy.md").read_text()


def test_every_target_exists() -> None:
    """Of make."""
    text = GUIDE
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z][a-z-]*)", text))
    named |= set(re.findall(r"^make ([a-z][a-z-]*)", text, re.MULTILINE))
    assert named <= targets
    assert len(named) > 5


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_inside_leads_somewhere(document: str) -> None:
    """To a file, and to a heading of it."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", (ROOT / document).read_text()):
        path, _, anchor = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.is_file(), target
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^a-z0-9 -]", "", text.lower()).replace(" ", "-") for text in headings}
        assert not anchor or anchor in anchors, target


def test_every_variable_exists() -> None:
    """Words with an underscore in code marks are variables, but for these."""
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", GUIDE))
    assert named <= declared_variables(ROOT / "infra") | {"asset_id"}
    assert "max_submissions_per_day" in named


def gcloud_commands() -> list[str]:
    """Return every command of the guide that calls gcloud, each on one line."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL))
    lines = blocks.replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+", " ", line) for line in lines if line.startswith("gcloud ")]


def test_every_command_names_its_project() -> None:
    """Else it goes to whatever project gcloud has in mind."""
    elsewhere = (
        *("gcloud auth ", "gcloud projects create ", "gcloud billing projects link "),
        *("gcloud storage cp ", "gcloud iam service-accounts add-iam-policy-binding "),
    )
    commands = [text for text in gcloud_commands() if not text.startswith(elsewhere)]
    assert len(commands) > 8
    assert [text for text in commands if "--project MY-PROJECT" not in text] == []


def test_the_apis_that_come_first_are_enabled() -> None:
    """What is read before Terraform can enable anything, by a person and by a service account."""
    first, of_actions = (
        set(re.findall(r"\S+\.googleapis\.com", text))
        for text in gcloud_commands()
        if text.startswith("gcloud services enable ")
    )
    billing = "cloudbilling.googleapis.com"
    assert first == {*FIRST_APIS, billing}
    assert of_actions == {billing, "iamcredentials.googleapis.com", "sts.googleapis.com"}


def test_names_are_those_of_terraform() -> None:
    """Subscriptions and identities, as the default environment calls them."""
    text = "\n".join(path.read_text() for path in (ROOT / "infra").glob("*.tf"))
    for name in ("callbacks-dead", "uploads-dead", "callbacks-rejected"):
        assert f"transcripts-{name}-kept" in GUIDE
        assert f'"{name}"' in text
    assert '"${var.name}-${each.key}-kept"' in text
    assert '"${var.name}-${each.key}-to-${each.value.function}"' in text
    assert "transcripts-to-subscriber@" in GUIDE
    assert "subscriber" in identity_rules.CALLED_BY
