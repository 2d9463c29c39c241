"""What Terraform and checkov say of ``infra/`` by themselves, and that its examples hold."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from cli.deploy.environment import GIVEN_BY_MAKE, declared_variables
from tests.infra.test_promises import planned, ready
from tests.infra.workbench import CHECKOV, INFRA, ROOT


@pytest.mark.terraform
def test_it_is_formatted() -> None:
    """Examples too: they are copied and become files."""
    copy = ready().copy()
    for example in ("backend.tf", "terraform.tfvars"):
        shutil.copy(INFRA / f"{example}.example", copy.folder / example)
    assert copy.run("fmt", "-check", "-recursive", "-no-color") == ""


@pytest.mark.terraform
def test_it_is_valid() -> None:
    """Without warnings, such as of arguments that will go."""
    answer = json.loads(ready().run("validate", "-json"))
    assert (answer["valid"], answer["diagnostics"]) == (True, [])


@pytest.mark.terraform
def test_its_own_tests_pass() -> None:
    """Default, minimal, everything on, two environments side by side: all on mocks."""
    said = ready().run("test", "-no-color")
    names = re.findall(r'run "(\w+)"\.\.\. (\w+)', said)
    assert {outcome for _, outcome in names} == {"pass"}
    wanted = {"default", "minimal", "everything_on", "two_environments_side_by_side_second"}
    assert wanted <= {name for name, _ in names}


@pytest.mark.terraform
def test_the_example_of_variables_is_enough() -> None:
    """Whoever copies it and sets the project can deploy."""
    copy = ready().copy()
    shutil.copy(INFRA / "terraform.tfvars.example", copy.folder / "terraform.tfvars")
    assert set(planned({}, copy).functions) == {
        "submit",
        "ingest",
        "callback",
        "subscriber",
        "sweep",
    }


def test_the_example_names_variables_that_exist() -> None:
    """And none that make gives."""
    text = (INFRA / "terraform.tfvars.example").read_text()
    named = set(re.findall(r"^#? ?([a-z_]+) += ", text, re.MULTILINE))
    assert named <= declared_variables(INFRA) - set(GIVEN_BY_MAKE)


@pytest.mark.checkov
def test_checkov_finds_nothing() -> None:
    """But for what its configuration leaves out, each with a reason."""
    done = subprocess.run(  # noqa: S603 - the checkov that make installed
        [CHECKOV, "--config-file", INFRA / ".checkov.yaml", "--directory", INFRA],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"Passed checks: (\d+), Failed checks: 0", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) > 20


def test_every_skip_of_checkov_has_its_reason() -> None:
    """A comment above each."""
    lines = (INFRA / ".checkov.yaml").read_text().splitlines()
    skips = [index for index, line in enumerate(lines) if line.startswith("  - CKV")]
    assert skips
    assert all(lines[index - 1].startswith("  #") for index in skips)


def test_nothing_of_a_run_is_committed() -> None:
    """No state, no lock, no variables of anybody."""
    listed = subprocess.run(
        ["git", "ls-files", "infra"],  # noqa: S607 - the one of PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    bad = re.compile(r"\.terraform|tfstate|\.tfvars$|\.tfplan$|backend\.tf$")
    assert [path for path in listed.stdout.split() if bad.search(path)] == []
