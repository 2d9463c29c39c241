"""Reports of terraform and checkov on ``infra/``, its examples, and git's ignored files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from hcl2.api import loads

from cli.deploy.environment import GIVEN_BY_MAKE, declared_variables
from tests.infra.sandbox import (
    CHECKOV,
    INFRA,
    ROOT,
    TerraformFailed,
    skip_without_account,
    terraform_sandbox,
)
from tests.infra.source import Source

pytestmark = pytest.mark.timeout(300)


@pytest.mark.terraform
def test_configuration_and_examples_are_formatted() -> None:
    """Examples are copied and become files."""
    copy = terraform_sandbox().copy()
    for example in ("backend.tf", "terraform.tfvars"):
        shutil.copy(INFRA / f"{example}.example", copy.folder / example)
    assert copy.run("fmt", "-check", "-recursive", "-no-color") == ""


@pytest.mark.terraform
def test_configuration_is_valid_without_warnings() -> None:
    """A warning may announce that an argument will be removed."""
    answer = json.loads(terraform_sandbox().run("validate", "-json"))
    assert (answer["valid"], answer["diagnostics"]) == (True, [])


@pytest.mark.terraform
def test_own_tests_of_terraform_pass() -> None:
    """They run with defaults and with everything on, on mocks, also without an account."""
    output = terraform_sandbox().run("test", "-no-color")
    outcomes = dict(re.findall(r'run "(\w+)"\.\.\. (\w+)', output))
    assert outcomes == {"default": "pass", "everything_on": "pass"}


@pytest.mark.terraform
def test_backend_example_is_a_backend_and_says_how_to_make_it() -> None:
    """A user sets one name; the bucket keeps old states and is never public."""
    text = (INFRA / "backend.tf.example").read_text()
    (backend,) = loads(text)["terraform"]
    assert backend == {"backend": [{"gcs": {"bucket": "BUCKET", "prefix": "mavi-transcripts"}}]}
    for option in ("--uniform-bucket-level-access", "--public-access-prevention", "--versioning"):
        assert option in text
    copy = terraform_sandbox().copy()
    shutil.copy(INFRA / "backend.tf.example", copy.folder / "backend.tf")
    assert json.loads(copy.run("validate", "-json"))["valid"]


@pytest.mark.terraform
def test_documented_additions_are_valid_each_alone_and_together() -> None:
    """A user copies one file of docs/events.md and docs/iap.md, or several, beside the others."""
    pages = [INFRA.parent / "docs" / f"{name}.md" for name in ("events", "iap")]
    text = "\n".join(page.read_text() for page in pages)
    additions = re.findall(r"^```hcl\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(additions) == 4
    together = terraform_sandbox().copy()
    for number, addition in enumerate(additions):
        alone = terraform_sandbox().copy()
        for copy in (alone, together):
            (copy.folder / f"addition-{number}.tf").write_text(addition)
        for copy in (alone, together):
            answer = json.loads(copy.run("validate", "-json"))
            assert (answer["valid"], answer["diagnostics"]) == (True, [])
    assert together.run("fmt", "-check", "-no-color") == ""


def test_documented_functions_are_built_with_our_rights() -> None:
    """The build account has its right on one repository, and Eventarc needs its API."""
    text = (INFRA.parent / "docs" / "events.md").read_text()
    subscribers = re.findall(r"^```hcl\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (found,) = (each for each in map(loads, subscribers) if "event_trigger" in str(each))
    resources = {kind: body for block in found["resource"] for kind, body in block.items()}
    function = resources["google_cloudfunctions2_function"]["slack"]
    repository = "${google_artifact_registry_repository.functions.id}"
    assert function["build_config"][0]["docker_repository"] == repository
    ours = Source(INFRA).resources["google_cloudfunctions2_function.this"]["depends_on"]
    build = {name for name in ours if ".build" in name}
    assert build | {"${google_project_service.eventarc}"} <= set(function["depends_on"])
    service = resources["google_project_service"]["eventarc"]["service"]
    assert service == "eventarc.googleapis.com"


def test_example_names_only_variables_that_exist() -> None:
    """Comments count too; what make sets is not among them."""
    text = (INFRA / "terraform.tfvars.example").read_text()
    named = set(re.findall(r"^#? ?([a-z_]+) += ", text, re.MULTILINE))
    assert named <= declared_variables(INFRA) - set(GIVEN_BY_MAKE)
    assert {"project", "max_submissions_per_day", "alert_email"} <= named


USER_OF_THE_NETWORK = """
variable "project" { default = "acme-media-1" }
variable "region" { default = "us-central1" }
variable "name" { default = "transcripts" }
variable "static_ip" { default = true }
locals { functions = { submit = { reaches_mavi = true } } }
resource "google_project_service" "this" { service = "compute.googleapis.com" }
resource "google_cloudfunctions2_function" "this" {
  for_each = local.functions
  name     = each.key
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
  lifecycle { replace_triggered_by = [terraform_data.network[each.key]] }
}
"""


@pytest.mark.terraform
def test_static_ip_turned_off_makes_submit_anew_before_the_network_goes() -> None:
    """A changed function keeps the setting, and Google refuses to delete a subnet in use."""
    copy = terraform_sandbox().copy()
    for path in copy.folder.glob("*.tf"):
        if path.name != "network.tf":
            path.unlink()
    (copy.folder / "used.tf").write_text(USER_OF_THE_NETWORK)
    apply = ("apply", "-input=false", "-auto-approve", "-no-color", "-parallelism=1")
    try:
        copy.run(*apply)
    except TerraformFailed as error:
        skip_without_account(str(error))
        raise
    output = copy.run(*apply, "-var=static_ip=false")
    order = re.findall(r"^(\w+)\.\S+: Destruction complete", output, re.MULTILINE)
    function, nat, subnet = (
        order.index(f"google_{kind}")
        for kind in ("cloudfunctions2_function", "compute_router_nat", "compute_subnetwork")
    )
    assert function < nat < subnet
    assert "google_compute_network.egress" not in copy.run("state", "list")


@pytest.mark.checkov
def test_checkov_finds_no_failure() -> None:
    """Except what its configuration skips, each with a reason."""
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


def test_checkov_skips_each_have_a_reason() -> None:
    """The reason is the comment above it."""
    lines = (INFRA / ".checkov.yaml").read_text().splitlines()
    skips = [index for index, line in enumerate(lines) if line.startswith("  - CKV")]
    assert skips
    assert all(lines[index - 1].startswith("  #") for index in skips)


OF_A_RUN = re.compile(r"\.terraform(?!\.lock\.hcl)|tfstate|\.tfvars$|\.tfplan$")
"""Files that a run writes, or that hold a user's values. A fork commits backend.tf and the lock."""


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in this checkout; skip the test if git does not know the folder."""
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


def test_files_of_a_run_are_not_committed() -> None:
    """No state and no values of a user."""
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
def test_gitignore_of_infra_files_is_as_documented(name: str, *, ignored: bool) -> None:
    """A fork commits its backend and the lock file (docs/deploy.md), and nothing of a run."""
    path = f"infra/{name}"
    assert (git("check-ignore", "--quiet", path).returncode == 0) is ignored
    assert bool(OF_A_RUN.search(path)) is ignored
