"""Mutations of the configuration, of `make` and of the guide: the check named for each notices it.

A mutation that goes unnoticed is a check to write. Rewrites that change no meaning go unnoticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.infra.sandbox import (
    ROOT,
    TerraformFailed,
    TerraformSandbox,
    skip_without_account,
    terraform_sandbox,
)
from tests.infra.test_policies import BY_NAME, violations
from tests.infra.test_validations import unclear_messages, wrong_answers

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(300)]

TERRAFORM: Final = "terraform itself"
FOLDER_CHECKS: Final[dict[str, Callable[[Path], Iterable[str]]]] = {
    "wrong_answers": wrong_answers,
    "unclear_messages": unclear_messages,
}
COPIED: Final = (
    "cli",
    "docs",
    "functions",
    "infra",
    "tests",
    "Makefile",
    "README.md",
    "CONTRIBUTING.md",
)
CONFIGURED: Final = ("pyproject.toml", ".gitignore")


class Change(NamedTuple):
    """In ``file`` the first ``before`` is replaced by ``after``."""

    name: str
    file: str
    before: str
    after: str
    noticed_by: str = ""
    """A policy, a function of test_validations.py, a test as pytest names it, or Terraform."""

    says: str = ""
    """A text that the check's message has to contain."""


def changes(file: str) -> dict[str, list[Change]]:
    """Read a table of changes, by family."""
    table: dict[str, list[dict[str, Any]]] = tomllib.loads(
        Path(__file__).with_name(file).read_text()
    )
    return {family: [Change(**change) for change in found] for family, found in table.items()}


FAMILIES: Final = changes("mutations.toml")
MUTATIONS: Final = [mutation for found in FAMILIES.values() for mutation in found]
REWRITES: Final = [rewrite for found in changes("rewrites.toml").values() for rewrite in found]


def make(change: Change, root: Path) -> None:
    """Change the file below ``root``."""
    path = root / change.file
    text = path.read_text()
    assert change.before in text, f"{change.name}: the text to change is gone"
    path.write_text(text.replace(change.before, change.after, 1))


def objections(check: str, sandbox: TerraformSandbox) -> Iterator[str]:
    """Yield what a check has against the configuration of a sandbox."""
    try:
        if check == TERRAFORM:
            sandbox.plan({})
        elif check in FOLDER_CHECKS:
            yield from FOLDER_CHECKS[check](sandbox.folder)
        else:
            yield from violations(check, sandbox)
    except TerraformFailed as error:
        skip_without_account(str(error))
        yield str(error)


def checkout(folder: Path) -> Path:
    """Copy this checkout, to change it."""
    ignored = shutil.ignore_patterns("__pycache__", ".terraform*", "*.tfstate*", "*.tfvars")
    for name in (*COPIED, *CONFIGURED):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    return folder


def passes(tests: Iterable[str], root: Path) -> bool:
    """Run tests of a checkout, and tell whether they pass."""
    done = subprocess.run(  # noqa: S603 - our own tests
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=root,
        # Not a worker of this run: it must not share the plans of the unchanged configuration.
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode == 0


GROUP_SIZE: Final = int(os.environ.get("MUTATIONS_AT_ONCE", "8"))
"""How many mutations share a plan, which takes seconds; with 1, each has its own plan."""


def groups() -> list[list[Change]]:
    """Return the mutations that are made together.

    In one group each is noticed by another policy, or its policy has to say what is wrong.
    """
    found: list[list[Change]] = []
    for mutation in MUTATIONS:
        alone = "::" in mutation.noticed_by or mutation.noticed_by in (TERRAFORM, *FOLDER_CHECKS)
        group = next((g for g in found if not alone and _fits(mutation, g)), None)
        if group is None:
            found.append([mutation])
        else:
            group.append(mutation)
    return found


def _fits(mutation: Change, group: list[Change]) -> bool:
    """Tell whether a mutation can be made with others."""
    if len(group) >= GROUP_SIZE or group[0].noticed_by in (TERRAFORM, *FOLDER_CHECKS):
        return False
    return not any(
        "::" in other.noticed_by
        or (other.noticed_by == mutation.noticed_by and not (other.says and mutation.says))
        or (other.file == mutation.file and other.before in mutation.before)
        or (other.file == mutation.file and mutation.before in other.before)
        for other in group
    )


@pytest.mark.parametrize("group", groups(), ids=lambda group: " + ".join(m.name for m in group))
def test_mutation_is_noticed(group: list[Change], tmp_path: Path) -> None:
    """The check that is named for the mutation notices it, without any other check."""
    if "::" in group[0].noticed_by:
        root = checkout(tmp_path)
        make(group[0], root)
        assert not passes([group[0].noticed_by], root)
        return
    sandbox = terraform_sandbox().copy()
    for mutation in group:
        make(mutation._replace(file=mutation.file.removeprefix("infra/")), sandbox.folder)
    for mutation in group:
        every = objections(mutation.noticed_by, sandbox)
        found = next((text for text in every if mutation.says in text), "")
        assert found, mutation
        assert len(group) == 1 or "Error: " not in found, found


def test_policies_each_notice_a_mutation() -> None:
    """A policy that no mutation violates may notice nothing at all."""
    noticing = {mutation.noticed_by for mutation in MUTATIONS}
    assert set(BY_NAME) - noticing == set()
    assert set(FOLDER_CHECKS) - noticing == set()


def test_families_each_have_five_mutations() -> None:
    """Every kind of mistake that was once overlooked is tried in several places."""
    assert {family for family, found in FAMILIES.items() if len(found) < 5} == set()


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> TerraformSandbox:
    """A copy with all rewrites of the configuration."""
    sandbox = terraform_sandbox().copy()
    for rewrite in REWRITES:
        if rewrite.file.startswith("infra/"):
            make(rewrite._replace(file=rewrite.file.removeprefix("infra/")), sandbox.folder)
    return sandbox


@pytest.mark.parametrize("check", [TERRAFORM, *BY_NAME, *FOLDER_CHECKS])
def test_rewrites_of_the_configuration_are_accepted(
    check: str, rewritten: TerraformSandbox
) -> None:
    """Rewrites that change no meaning violate no policy: at least fifteen, all at once."""
    assert len(REWRITES) >= 15
    assert list(objections(check, rewritten)) == []


def test_rewrites_of_commands_and_guide_are_accepted(tmp_path: Path) -> None:
    """Other words in messages and in the guide change no meaning either."""
    root = checkout(tmp_path)
    for rewrite in REWRITES:
        make(rewrite, root)
    folder = "tests/deploy/test_"
    assert passes([f"{folder}{name}.py" for name in ("command_lines", "docs", "destroy")], root)
