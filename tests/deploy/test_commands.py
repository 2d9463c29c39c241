"""The output and the stored values of the commands; no secret reaches an argument."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.deploy import secret_values
from cli.deploy.errors import Refused
from cli.deploy.secret_values import SecretValues
from tests.deploy.conftest import Run
from tests.deploy.fake_programs import (
    KEY,
    KMS_KEY,
    PROJECT,
    RESOURCES,
    TOKEN,
    VERSIONS,
    FakePrograms,
    state,
)

GIVEN = "key-given-by-the-user"
CREATE_IDENTITY = "gcloud beta services identity create"


@pytest.fixture
def undeployed(programs: FakePrograms) -> FakePrograms:
    """A project without a deployment; after an apply everything exists."""
    programs.answer("terraform show -json", '{"format_version": "1.0"}')
    programs.answer("terraform show -json", state(), once_applied=True)
    return programs


def assert_no_secret_in_arguments(programs: FakePrograms) -> None:
    text = "\n".join(call.text for call in programs.calls)
    for secret in (KEY, TOKEN, GIVEN):
        assert secret not in text


def test_deploy_first_time_plans_creates_agents_and_applies(
    run: Run, undeployed: FakePrograms, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps have this order; the key is the user's and the token is new."""
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert f"https://transcripts-callback-1.us-central1.run.app/{TOKEN}" in result.output
    (planned,) = undeployed.calls_of("terraform plan")
    (applied,) = undeployed.calls_of("terraform apply")
    assert planned.values == applied.values
    assert planned.values["TF_VAR_mavi_api_key"] == GIVEN
    assert len(planned.values["TF_VAR_callback_tokens"]) >= 32
    assert planned.values["TF_VAR_mavi_api_key_version"] == "1"
    assert "-var-file=production.tfvars" in planned.text
    (zip_file,) = (root / "dist").iterdir()
    assert f"-var=package=../dist/{zip_file.name}" in planned.text
    assert undeployed.changes == [
        f"gcloud services enable cloudfunctions.googleapis.com --project={PROJECT} --quiet",
        f"{CREATE_IDENTITY} --service=cloudfunctions.googleapis.com --project={PROJECT} --quiet",
        f"gcloud services enable pubsub.googleapis.com --project={PROJECT} --quiet",
        f"{CREATE_IDENTITY} --service=pubsub.googleapis.com --project={PROJECT} --quiet",
        "terraform apply -input=false production.tfplan",
    ]
    assert_no_secret_in_arguments(undeployed)


def test_deploy_with_failing_service_agent_goes_on(
    run: Run, undeployed: FakePrograms, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent may exist already; agents that use a KMS key are created too."""
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    with (root / "infra" / "production.tfvars").open("a") as file:
        file.write(f'kms_key = "{KMS_KEY}"\n')
    undeployed.answer("gcloud beta services identity create --service=firestore", "no beta", 1)
    result = run("deploy", "--yes")
    assert "firestore.googleapis.com could not be created: no beta" in result.output
    assert len(undeployed.calls_of("gcloud beta services identity create")) == 4
    assert len(undeployed.calls_of("terraform apply")) == 1


@pytest.mark.parametrize(
    ("key", "sentence"), [("", "MAVI_API_KEY is not set"), ("Bearer abc", "malformed")]
)
def test_deploy_first_time_without_valid_key_refuses(
    *, key: str, sentence: str, run: Run, undeployed: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses before it plans."""
    monkeypatch.setenv("MAVI_API_KEY", key)
    result = run("deploy", "--yes")
    assert result.exit_code == 1
    assert sentence in result.output
    assert undeployed.changes == []
    assert undeployed.calls_of("terraform plan") == []


def test_deploy_again_keeps_stored_secrets(run: Run, programs: FakePrograms, root: Path) -> None:
    """Values and versions are the stored ones; the URL is printed with its token."""
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    (planned,) = programs.calls_of("terraform plan")
    assert planned.values == {
        "TF_VAR_mavi_api_key": KEY,
        "TF_VAR_callback_tokens": TOKEN,
        "TF_VAR_mavi_api_key_version": "3",
        "TF_VAR_callback_tokens_version": "5",
    }
    assert programs.changes == ["terraform apply -input=false production.tfplan"]
    assert not (root / "infra" / "production.tfplan").exists()
    assert f"https://transcripts-callback-1.us-central1.run.app/{TOKEN}" in result.output
    assert "https://api-platform.memories.ai/webhooks" in result.output
    assert KEY not in result.output
    assert_no_secret_in_arguments(programs)


def test_deploy_in_ci_does_not_print_the_token(
    run: Run, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More people can read a CI log than the secret."""
    monkeypatch.setenv("CI", "true")
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert TOKEN not in result.output
    assert programs.calls_of("terraform apply")


def test_deploy_with_another_key_keeps_the_stored_one_and_reports_it(
    run: Run, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only set-api-key replaces the stored key."""
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    result = run("deploy", "--yes")
    assert "make set-api-key" in result.output
    assert programs.calls_of("terraform apply")[0].values["TF_VAR_mavi_api_key"] == KEY


KEY_ONLY = {k: v for k, v in RESOURCES.items() if not k.endswith(".callback_tokens")}
TOKENS_ONLY = {k: v for k, v in RESOURCES.items() if not k.endswith(".mavi_api_key")}


def test_deploy_after_failure_keeps_the_stored_key(
    run: Run, undeployed: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terraform would not store another key; the missing token is created."""
    undeployed.answer("terraform show -json", state(KEY_ONLY, {}))
    undeployed.answer("terraform show -json", state(), once_applied=True)
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert "is ignored" in result.output
    given = undeployed.calls_of("terraform apply")[0].values
    assert given["TF_VAR_mavi_api_key"] == KEY
    assert given["TF_VAR_mavi_api_key_version"] == "3"
    assert len(given["TF_VAR_callback_tokens"]) >= 32
    assert given["TF_VAR_callback_tokens"] != TOKEN
    assert given["TF_VAR_callback_tokens_version"] == "1"
    assert undeployed.calls_of(CREATE_IDENTITY)


def test_deploy_after_failure_keeps_the_stored_token(
    run: Run, undeployed: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is required as in a first deployment: it was never stored."""
    undeployed.answer("terraform show -json", state(TOKENS_ONLY, {}))
    undeployed.answer("terraform show -json", state(), once_applied=True)
    assert "MAVI_API_KEY is not set" in run("deploy", "--yes").output
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert "is ignored" not in result.output
    given = undeployed.calls_of("terraform apply")[0].values
    assert given["TF_VAR_mavi_api_key"] == GIVEN
    assert given["TF_VAR_callback_tokens"] == TOKEN


def test_deploy_after_failure_with_both_secrets_needs_no_key(
    run: Run, programs: FakePrograms
) -> None:
    """Both are stored, although there are no outputs yet."""
    programs.answer("terraform show -json", state(outputs={}))
    programs.answer("terraform show -json", state(), once_applied=True)
    assert "Run make deploy first" in run("callback-url").output
    assert run("deploy", "--yes").exit_code == 0
    assert programs.calls_of("terraform apply")[0].values["TF_VAR_mavi_api_key"] == KEY


def test_deploy_with_unreadable_secret_refuses(run: Run, programs: FakePrograms) -> None:
    """Continuing would store an empty value."""
    programs.answer("gcloud secrets versions access latest --secret=transcripts-mavi", "denied", 1)
    result = run("deploy", "--yes")
    assert result.exit_code == 1
    assert "roles/secretmanager.secretAccessor" in result.output
    assert programs.changes == []


def test_plan_reads_no_secret_and_changes_nothing(run: Run, programs: FakePrograms) -> None:
    """A plan stores no value, so it needs none."""
    assert run("plan").exit_code == 0
    (planned,) = programs.calls_of("terraform plan")
    assert planned.values["TF_VAR_callback_tokens_version"] == "5"
    assert programs.calls_of("gcloud secrets") == []
    assert programs.changes == []


def test_deploy_with_failing_plan_applies_nothing(run: Run, programs: FakePrograms) -> None:
    """The message says that nothing was changed."""
    programs.answer("terraform plan", "trouble", 1)
    result = run("deploy", "--yes")
    assert result.exit_code == 1
    assert "terraform plan failed. Nothing in the cloud was changed." in result.output
    assert programs.changes == []


def test_deploy_with_failing_apply_says_how_to_continue(run: Run, programs: FakePrograms) -> None:
    """The same command can be repeated."""
    programs.answer("terraform apply", "trouble", 1)
    result = run("deploy", "--yes")
    assert result.exit_code == 1
    assert "run make deploy again" in result.output


def test_rotate_token_twice_replaces_the_token(run: Run, programs: FakePrograms) -> None:
    """First both tokens are accepted, the new one first; then the old one is removed."""
    result = run("rotate-token", "--yes")
    assert result.exit_code == 0, result.output
    given = programs.calls_of("terraform apply")[0].values
    new, old = given["TF_VAR_callback_tokens"].split(",")
    assert (old, given["TF_VAR_callback_tokens_version"]) == (TOKEN, "6")
    assert given["TF_VAR_mavi_api_key_version"] == "3"
    assert "make rotate-token RETIRE=1" in result.output

    programs.answer(
        "gcloud secrets versions access latest --secret=transcripts-callback-tokens",
        f"{new},{old}",
    )
    assert "make rotate-token RETIRE=1" in run("rotate-token", "--yes").output
    assert run("callback-url").stdout.strip().endswith(f"/{new}")
    assert run("rotate-token", "--yes", "--retire").exit_code == 0
    assert programs.calls_of("terraform apply")[-1].values["TF_VAR_callback_tokens"] == new
    assert len(programs.calls_of("terraform apply")) == 2
    assert_no_secret_in_arguments(programs)


def test_rotate_token_retire_with_one_token_refuses(run: Run, programs: FakePrograms) -> None:
    """Without that token Mavi could not call back."""
    result = run("rotate-token", "--yes", "--retire")
    assert "Only one token is live" in result.output
    assert programs.changes == []


def test_set_api_key_stores_the_key_under_a_new_version(
    run: Run, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """submit is deployed with the new version."""
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    result = run("set-api-key", "--yes")
    assert result.exit_code == 0, result.output
    given = programs.calls_of("terraform apply")[0].values
    assert (given["TF_VAR_mavi_api_key"], given["TF_VAR_mavi_api_key_version"]) == (GIVEN, "4")
    assert given["TF_VAR_callback_tokens_version"] == "5"
    assert_no_secret_in_arguments(programs)


def test_set_api_key_with_the_stored_key_refuses(
    run: Run, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user may have pasted the old key."""
    monkeypatch.setenv("MAVI_API_KEY", KEY)
    assert "stored already" in run("set-api-key", "--yes").output
    assert programs.changes == []


@pytest.mark.parametrize("command", ["callback-url", "rotate-token", "set-api-key"])
def test_command_before_first_deployment_refuses(
    command: str, run: Run, undeployed: FakePrograms
) -> None:
    """The message names the command to run first."""
    arguments = [] if command == "callback-url" else ["--yes"]
    assert "Run make deploy first" in run(command, *arguments).output
    assert undeployed.changes == []


def test_plan_of_another_environment_uses_its_workspace_and_file(
    run: Run, programs: FakePrograms, root: Path
) -> None:
    """Environments never share state or variables."""
    (root / "infra" / "staging.tfvars").write_text(f'project = "{PROJECT}"\nname = "trans-stg"\n')
    assert run("plan", "--env", "staging").exit_code == 0
    assert programs.calls_of("terraform workspace select -or-create staging")
    assert programs.calls_of("terraform plan")[0].chdir == [f"-chdir={root / 'infra'}"]
    assert "-var-file=staging.tfvars" in programs.calls_of("terraform plan")[0].text


def test_package_prints_the_path_of_the_zip(run: Run, root: Path) -> None:
    """The printed path exists."""
    assert (root / run("package").output.strip()).is_file()


def test_secret_values_repr_hides_the_values() -> None:
    """It hides the number of tokens too."""
    text = repr(SecretValues(KEY, (TOKEN,)))
    assert KEY not in text
    assert TOKEN not in text


def test_new_token_is_accepted_by_the_settings() -> None:
    """It is long, URL-safe and different every time."""
    tokens = {secret_values.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32,}", token) for token in tokens)


def test_placeholders_have_the_form_of_values() -> None:
    """A plan validates values that it does not store."""
    values = secret_values.placeholders(VERSIONS)
    assert secret_values.checked_api_key(values.api_key)
    with pytest.raises(Refused):
        secret_values.checked_api_key("short")
    assert json.dumps(values.environ)
