"""Every failed check is one sentence, before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.deploy.preflight import build_region_warning
from tests.deploy.conftest import Run
from tests.deploy.fake_programs import PROJECT, FakePrograms, framed, state

OTHER = "325559405591"
OFF = f"""\
ERROR: (gcloud.billing.projects.describe) PERMISSION_DENIED: Cloud Billing API has not been used \
in project {OTHER} before or it is disabled. Enable it by visiting \
https://console.developers.google.com/apis/api/cloudbilling.googleapis.com/overview?project={OTHER}
- '@type': type.googleapis.com/google.rpc.ErrorInfo
  metadata:
    consumer: projects/{OTHER}
    service: cloudbilling.googleapis.com
  reason: SERVICE_DISABLED"""
USAGE = "serviceusage.googleapis.com"
OFF_BRIEF = f"""\
ERROR: (gcloud.services.list) PERMISSION_DENIED: disabled
- '@type': type.googleapis.com/google.rpc.ErrorInfo
  metadata:
    consumer: projects/{OTHER}
    service: {USAGE}
  reason: SERVICE_DISABLED"""
MANAGER = "cloudresourcemanager.googleapis.com"
OFF_ASKED = f"""\
API [{MANAGER}] not enabled on project [ci-project]. Would you like to enable and retry?
ERROR: (gcloud.projects.describe) PERMISSION_DENIED: disabled"""
DENIED = """\
ERROR: (gcloud.billing) denied to ada.
- '@type': type.googleapis.com/google.rpc.ErrorInfo
  reason: IAM_PERMISSION_DENIED"""
CHANGING = ("deploy", "destroy", "rotate-token", "set-api-key")


@pytest.mark.parametrize(
    ("start", "out", "code", "sentence"),
    [
        ("terraform version", '{"terraform_version": "1.10.5"}', 0, "terraform 1.10.5 is too old"),
        ("terraform version", "Terraform v0.11", 0, "does not report its version"),
        ("gcloud auth list", "", 0, "gcloud auth login"),
        ("gcloud auth application-default", "", 1, "gcloud auth application-default login"),
        ("gcloud projects describe", "no permission", 1, "does not exist, or"),
        ("gcloud projects describe", "DELETE_REQUESTED", 0, "DELETE_REQUESTED, not ACTIVE"),
        ("gcloud billing", "False", 0, f"gcloud billing projects link {PROJECT}"),
        ("gcloud billing", "denied", 1, "roles/billing.viewer"),
        ("gcloud services list", "denied", 1, "cannot be listed"),
        ("gcloud services list", "storage.googleapis.com", 0, "gcloud services enable cloudres"),
        ("terraform init", "backend trouble", 1, "backend trouble"),
        ("terraform workspace", "locked", 1, "Workspace production cannot be selected: locked"),
        ("terraform show", framed("no bucket", "Make one."), 1, "cannot be read: no bucket\n"),
        ("terraform init", framed("no such backend"), 1, "Error: no such backend\n"),
        ("gcloud billing", OFF, 1, f"enable cloudbilling.googleapis.com --project {OTHER}\n"),
        ("gcloud projects describe", OFF_ASKED, 1, f"enable {MANAGER} --project ci-project\n"),
        ("gcloud services list", OFF_BRIEF, 1, f"{USAGE} is not enabled in project {OTHER}"),
        ("gcloud billing", DENIED, 1, "(gcloud.billing) denied to ada. You need roles/"),
    ],
)
@pytest.mark.parametrize("command", CHANGING)
def test_command_with_failing_check_refuses_in_one_sentence(
    *,
    command: str,
    start: str,
    out: str,
    code: int,
    sentence: str,
    run: Run,
    programs: FakePrograms,
) -> None:
    """Nothing was changed or even planned."""
    programs.answer(start, out, code)
    result = run(command, "--yes")
    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output
    assert programs.changes == []
    assert programs.calls_of("terraform plan") == []


@pytest.mark.parametrize("missing", ["gcloud", "terraform"])
def test_deploy_without_tool_names_it_with_its_url(
    missing: str, run: Run, programs: FakePrograms
) -> None:
    """The user can install it at once."""
    (programs.folder / "bin" / missing).unlink()
    result = run("deploy", "--yes")
    assert result.exit_code == 1
    assert f"Not installed: {missing} (https://" in result.output
    assert programs.calls == []


def test_deploy_without_both_tools_names_both(run: Run, programs: FakePrograms) -> None:
    """One run reports both."""
    for name in ("gcloud", "terraform"):
        (programs.folder / "bin" / name).unlink()
    output = run("deploy", "--yes").output
    assert "terraform (https://" in output
    assert "gcloud (https://" in output


@pytest.mark.parametrize(
    ("files", "env", "sentence"),
    [
        ({"production.tfvars": None}, "production", "Copy infra/terraform.tfvars.example"),
        ({}, "staging", "infra/staging.tfvars is missing"),
        ({}, "Staging!", "ENV=Staging! is not a valid name"),
        ({"terraform.tfvars": ""}, "production", "in every environment"),
        ({"x.auto.tfvars.json": "{}"}, "production", "in every environment"),
        ({"x.auto.tfvars": ""}, "production", "in every environment"),
        ({"production.tfvars": ""}, "production", "does not name your project"),
        (
            {"production.tfvars": 'project = "my-project-123"'},
            "production",
            "does not name your project",
        ),
        (
            {"production.tfvars": f'project = "{PROJECT}"\nregoin = "us-east1"'},
            "production",
            "sets regoin, which no file in infra/ declares",
        ),
        (
            {"production.tfvars": f'project = "{PROJECT}"\nmavi_api_key = "x"'},
            "production",
            "sets mavi_api_key, which does not belong in a file",
        ),
        (
            {"staging.tfvars": f'project = "{PROJECT}" # the same\n'},
            "staging",
            "production.tfvars has the same project and name as infra/staging.tfvars",
        ),
    ],
)
def test_plan_of_bad_environment_refuses(
    *,
    files: dict[str, str | None],
    env: str,
    sentence: str,
    run: Run,
    root: Path,
    programs: FakePrograms,
) -> None:
    """No request reaches the cloud."""
    for name, content in files.items():
        path = root / "infra" / name
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
    result = run("plan", "--env", env)
    assert result.exit_code == 1
    assert sentence in result.output
    assert programs.calls_of("gcloud") == []


def test_plan_of_environment_with_other_name_succeeds(run: Run, root: Path) -> None:
    """Two environments can share a project."""
    (root / "infra" / "staging.tfvars").write_text(
        f'project = "{PROJECT}"\nname    = "transcripts-stg"\n'
    )
    assert run("plan", "--env", "staging").exit_code == 0


def test_deploy_first_in_restricted_region_warns(
    run: Run, root: Path, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first deployment warns that Cloud Build may refuse the region, and continues."""
    monkeypatch.setenv("MAVI_API_KEY", "key-given-by-the-user")
    programs.answer("terraform show -json", '{"format_version": "1.0"}')
    programs.answer("terraform show -json", state(), once_applied=True)
    with (root / "infra" / "production.tfvars").open("a") as file:
        file.write('region = "us-east4"\n')
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert "cannot run Cloud Build in us-east4" in result.output
    assert "build/docs/locations#restricted_regions_for_some_projects" in result.output


def test_deploy_in_unrestricted_region_or_again_does_not_warn(
    run: Run, root: Path, programs: FakePrograms
) -> None:
    """A region that every project may use needs no warning; a later deployment has built before."""
    assert build_region_warning("us-central1") is None
    with (root / "infra" / "production.tfvars").open("a") as file:
        file.write('region = "us-east4"\n')
    assert "Cloud Build" not in run("deploy", "--yes").output
