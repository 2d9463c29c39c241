"""What Terraform and checkov say of ``infra/`` by themselves, and that its examples hold."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from cli.deploy.environment import GIVEN_BY_MAKE, declared_variables
from tests.infra.test_promises import planned, ready, skip_without_account
from tests.infra.workbench import CHECKOV, INFRA, ROOT, TerraformFailed


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


USER_OF_THE_ADDRESS = """
variable "project" { default = "acme-media-1" }
variable "region" { default = "us-central1" }
variable "name" { default = "transcripts" }
variable "static_ip" { default = true }
resource "google_project_service" "this" { service = "compute.googleapis.com" }
resource "google_cloudfunctions2_function" "this" {
  name     = "submit"
  location = "us-central1"
  service_config {
    dynamic "direct_vpc_network_interface" {
      for_each = google_compute_subnetwork.egress[*]
      content {
        subnetwork = direct_vpc_network_interface.value.id
      }
    }
  }
  depends_on = [google_compute_router_nat.egress]
}
"""


@pytest.mark.terraform
def test_the_fixed_address_goes_when_submit_has_turned_from_it() -> None:
    """Else the gateway is gone, then the subnet can't go, and no deployment comes further."""
    copy = ready().copy()
    for path in copy.folder.glob("*.tf"):
        if path.name != "network.tf":
            path.unlink()
    (copy.folder / "used.tf").write_text(USER_OF_THE_ADDRESS)
    apply = ("apply", "-input=false", "-auto-approve", "-no-color", "-parallelism=1")
    try:
        copy.run(*apply)
    except TerraformFailed as error:
        skip_without_account(str(error))
        raise
    said = copy.run(*apply, "-var=static_ip=false")
    order = re.findall(r"^(\w+)\.\S+: (?:Modifications|Destruction) complete", said, re.MULTILINE)
    function, nat, subnet = (
        order.index(f"google_{kind}")
        for kind in ("cloudfunctions2_function", "compute_router_nat", "compute_subnetwork")
    )
    assert function < nat < subnet


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


OF_A_RUN = re.compile(r"\.terraform(?!\.lock\.hcl)|tfstate|\.tfvars$|\.tfplan$")
"""What a run leaves, or somebody's own values; a fork has its backend.tf: docs/deploy.md."""


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in this checkout; where there is none, skip."""
    done = subprocess.run(  # noqa: S603 - our own arguments
        ["git", *arguments],  # noqa: S607 - the one of PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode > 1:
        pytest.skip("not a git checkout")
    return done


def test_nothing_of_a_run_is_committed() -> None:
    """No state, no variables of anybody."""
    listed = git("ls-files", "infra").stdout.split()
    assert [path for path in listed if OF_A_RUN.search(path)] == []


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("backend.tf", False),
        ("production.tfvars", True),
        ("production.tfplan", True),
        ("terraform.tfstate", True),
        ("terraform.tfstate.d/production/terraform.tfstate.backup", True),
        (".terraform.lock.hcl", False),
        (".terraform/environment", True),
    ],
)
def test_what_a_fork_commits_git_takes(name: str, *, ignored: bool) -> None:
    """The backend, as the guide says; nothing of a run."""
    path = f"infra/{name}"
    assert (git("check-ignore", "--quiet", path).returncode == 0) is ignored
    assert bool(OF_A_RUN.search(path)) is ignored
