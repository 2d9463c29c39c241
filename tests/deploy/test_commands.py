"""What the commands do, in which order, and what they never do with a secret."""

from __future__ import annotations

import json
import re
import subprocess
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

ROOT = Path(__file__).resolve().parent.parent.parent
GIVEN = "key-given-by-the-user"
CREATE_IDENTITY = "gcloud beta services identity create"


@pytest.fixture
def undeployed(programs: FakePrograms) -> FakePrograms:
    """A project where nothing is yet; after apply, everything is."""
    programs.say("terraform show -json", '{"format_version": "1.0"}')
    programs.say("terraform show -json", state(), once_applied=True)
    return programs


def assert_no_secret_in_arguments(programs: FakePrograms) -> None:
    text = "\n".join(call.text for call in programs.calls)
    for secret in (KEY, TOKEN, GIVEN):
        assert secret not in text


def test_a_first_deployment(
    run: Run, undeployed: FakePrograms, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plan, agents, apply, in this order; the key from the user, the token new."""
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert f"https://transcripts-callback-1.us-central1.run.app/{TOKEN}" in result.output
    (planned,) = undeployed.ran("terraform plan")
    (applied,) = undeployed.ran("terraform apply")
    assert planned.given == applied.given
    assert planned.given["TF_VAR_mavi_api_key"] == GIVEN
    assert len(planned.given["TF_VAR_callback_tokens"]) >= 32
    assert planned.given["TF_VAR_mavi_api_key_version"] == "1"
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


def test_a_first_deployment_with_a_key_of_ones_own(
    run: Run, undeployed: FakePrograms, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agents that use it are made too; that one can't be made is told and no more."""
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    with (root / "infra" / "production.tfvars").open("a") as file:
        file.write(f'kms_key = "{KMS_KEY}"\n')
    undeployed.say("gcloud beta services identity create --service=firestore", "no beta", 1)
    result = run("deploy", "--yes")
    assert "The agent of firestore.googleapis.com could not be made: no beta" in result.output
    assert len(undeployed.ran("gcloud beta services identity create")) == 4
    assert len(undeployed.ran("terraform apply")) == 1


@pytest.mark.parametrize(
    ("key", "sentence"), [("", "MAVI_API_KEY is not set"), ("Bearer abc", "is no key")]
)
def test_a_first_deployment_needs_a_key(
    *, key: str, sentence: str, run: Run, undeployed: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so before it plans."""
    monkeypatch.setenv("MAVI_API_KEY", key)
    result = run("deploy", "--yes")
    assert result.exit_code == 1
    assert sentence in result.output
    assert undeployed.changes == []
    assert undeployed.ran("terraform plan") == []


def test_a_later_deployment_changes_no_secret(run: Run, programs: FakePrograms) -> None:
    """Values and versions are those that are live; the URL is printed with its token."""
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    (planned,) = programs.ran("terraform plan")
    assert planned.given == {
        "TF_VAR_mavi_api_key": KEY,
        "TF_VAR_callback_tokens": TOKEN,
        "TF_VAR_mavi_api_key_version": "3",
        "TF_VAR_callback_tokens_version": "5",
    }
    assert programs.changes == ["terraform apply -input=false production.tfplan"]
    assert f"https://transcripts-callback-1.us-central1.run.app/{TOKEN}" in result.output
    assert "https://api-platform.memories.ai/webhooks" in result.output
    assert KEY not in result.output
    assert_no_secret_in_arguments(programs)


def test_where_everything_is_logged_the_token_is_not_shown(
    run: Run, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of CI is read by more people than the secret."""
    monkeypatch.setenv("CI", "true")
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert TOKEN not in result.output
    assert programs.ran("terraform apply")


def test_another_key_is_not_taken_silently(
    run: Run, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """deploy keeps the stored one and says so."""
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    result = run("deploy", "--yes")
    assert "make set-api-key changes it" in result.output
    assert programs.ran("terraform apply")[0].given["TF_VAR_mavi_api_key"] == KEY


KEY_ONLY = {k: v for k, v in RESOURCES.items() if not k.endswith(".callback_tokens")}
TOKENS_ONLY = {k: v for k, v in RESOURCES.items() if not k.endswith(".mavi_api_key")}


def test_a_key_that_a_failed_deployment_wrote_stays(
    run: Run, undeployed: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terraform would not write another; what has no version yet is made, and the rest goes on."""
    undeployed.say("terraform show -json", state(KEY_ONLY, {}))
    undeployed.say("terraform show -json", state(), once_applied=True)
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert "is ignored: once this is deployed, make set-api-key changes it" in result.output
    given = undeployed.ran("terraform apply")[0].given
    assert given["TF_VAR_mavi_api_key"] == KEY
    assert given["TF_VAR_mavi_api_key_version"] == "3"
    assert len(given["TF_VAR_callback_tokens"]) >= 32
    assert given["TF_VAR_callback_tokens"] != TOKEN
    assert given["TF_VAR_callback_tokens_version"] == "1"
    assert undeployed.ran(CREATE_IDENTITY)


def test_a_token_that_a_failed_deployment_wrote_stays(
    run: Run, undeployed: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is asked for as the first time: it was never written."""
    undeployed.say("terraform show -json", state(TOKENS_ONLY, {}))
    undeployed.say("terraform show -json", state(), once_applied=True)
    assert "MAVI_API_KEY is not set" in run("deploy", "--yes").output
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert "is ignored" not in result.output
    given = undeployed.ran("terraform apply")[0].given
    assert given["TF_VAR_mavi_api_key"] == GIVEN
    assert given["TF_VAR_callback_tokens"] == TOKEN


def test_a_deployment_that_failed_after_its_secrets_needs_no_key(
    run: Run, programs: FakePrograms
) -> None:
    """Both are written, though nothing is told yet."""
    programs.say("terraform show -json", state(outputs={}))
    programs.say("terraform show -json", state(), once_applied=True)
    assert "make deploy comes first" in run("callback-url").output
    assert run("deploy", "--yes").exit_code == 0
    assert programs.ran("terraform apply")[0].given["TF_VAR_mavi_api_key"] == KEY


def test_a_secret_that_cannot_be_read_stops_it(run: Run, programs: FakePrograms) -> None:
    """Else an empty one would be written."""
    programs.say("gcloud secrets versions access latest --secret=transcripts-mavi", "denied", 1)
    result = run("deploy", "--yes")
    assert result.exit_code == 1
    assert "roles/secretmanager.secretAccessor" in result.output
    assert programs.changes == []


def test_a_plan_needs_no_secret(run: Run, programs: FakePrograms) -> None:
    """It reads none, and changes nothing."""
    assert run("plan").exit_code == 0
    (planned,) = programs.ran("terraform plan")
    assert planned.given["TF_VAR_callback_tokens_version"] == "5"
    assert programs.ran("gcloud secrets") == []
    assert programs.changes == []


def test_a_plan_that_fails_is_not_applied(run: Run, programs: FakePrograms) -> None:
    """Terraform's own words come first."""
    programs.say("terraform plan", "trouble", 1)
    result = run("deploy", "--yes")
    assert result.exit_code == 1
    assert "terraform plan failed. Nothing in the cloud was changed." in result.output
    assert programs.changes == []


def test_an_apply_that_fails_says_how_to_go_on(run: Run, programs: FakePrograms) -> None:
    """It can simply be repeated."""
    programs.say("terraform apply", "trouble", 1)
    result = run("deploy", "--yes")
    assert result.exit_code == 1
    assert "run make deploy again" in result.output


def test_a_rotation(run: Run, programs: FakePrograms) -> None:
    """First both tokens live, the new one in front; then the old one ends."""
    result = run("rotate-token", "--yes")
    assert result.exit_code == 0, result.output
    given = programs.ran("terraform apply")[0].given
    new, old = given["TF_VAR_callback_tokens"].split(",")
    assert (old, given["TF_VAR_callback_tokens_version"]) == (TOKEN, "6")
    assert given["TF_VAR_mavi_api_key_version"] == "3"
    assert "make rotate-token RETIRE=1" in result.output

    programs.say(
        "gcloud secrets versions access latest --secret=transcripts-callback-tokens",
        f"{new},{old}",
    )
    assert "a rotation is under way" in run("rotate-token", "--yes").output
    assert run("callback-url").stdout.strip().endswith(f"/{new}")
    assert run("rotate-token", "--yes", "--retire").exit_code == 0
    assert programs.ran("terraform apply")[-1].given["TF_VAR_callback_tokens"] == new
    assert len(programs.ran("terraform apply")) == 2
    assert_no_secret_in_arguments(programs)


def test_the_only_token_is_not_retired(run: Run, programs: FakePrograms) -> None:
    """It would lock Mavi out."""
    result = run("rotate-token", "--yes", "--retire")
    assert "Only one token is live" in result.output
    assert programs.changes == []


def test_the_key_is_replaced(
    run: Run, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a version of its own, which submit is deployed with."""
    monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    result = run("set-api-key", "--yes")
    assert result.exit_code == 0, result.output
    given = programs.ran("terraform apply")[0].given
    assert (given["TF_VAR_mavi_api_key"], given["TF_VAR_mavi_api_key_version"]) == (GIVEN, "4")
    assert given["TF_VAR_callback_tokens_version"] == "5"
    assert_no_secret_in_arguments(programs)


def test_the_same_key_is_not_written_again(
    run: Run, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody pasted the old one."""
    monkeypatch.setenv("MAVI_API_KEY", KEY)
    assert "stored already" in run("set-api-key", "--yes").output
    assert programs.changes == []


@pytest.mark.parametrize("command", ["callback-url", "rotate-token", "set-api-key"])
def test_what_needs_a_deployment_says_so(command: str, run: Run, undeployed: FakePrograms) -> None:
    """In one sentence."""
    arguments = [] if command == "callback-url" else ["--yes"]
    assert "make deploy comes first" in run(command, *arguments).output
    assert undeployed.changes == []


def test_two_environments_have_workspaces_of_their_own(
    run: Run, programs: FakePrograms, root: Path
) -> None:
    """State and variables of one never meet the other's."""
    (root / "infra" / "staging.tfvars").write_text(f'project = "{PROJECT}"\nname = "trans-stg"\n')
    assert run("plan", "--env", "staging").exit_code == 0
    assert programs.ran("terraform workspace select -or-create staging")
    assert "-var-file=staging.tfvars" in programs.ran("terraform plan")[0].text


def test_the_package_is_built(run: Run, root: Path) -> None:
    """Its name is printed."""
    assert (root / run("package").output.strip()).is_file()


def test_no_repr_shows_a_secret() -> None:
    """Nor how many tokens there are."""
    text = repr(SecretValues(KEY, (TOKEN,)))
    assert KEY not in text
    assert TOKEN not in text


def test_new_tokens_are_what_the_settings_take() -> None:
    """Long, URL-safe, and never the same."""
    tokens = {secret_values.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32,}", token) for token in tokens)


def test_placeholders_are_accepted_as_values() -> None:
    """A plan checks the form of what it does not keep."""
    values = secret_values.placeholders(VERSIONS)
    assert secret_values.checked_api_key(values.api_key)
    with pytest.raises(Refused):
        secret_values.checked_api_key("short")
    assert json.dumps(values.environ)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["deploy"], 'deploy --env "production"'),
        (["deploy", "ENV=staging", "YES=1"], 'deploy --env "staging" --yes'),
        (["deploy", "ADOPT=1"], 'deploy --env "production"  --adopt'),
        (["plan"], 'plan --env "production"'),
        (["destroy"], 'destroy --env "production"'),
        (["callback-url"], 'callback-url --env "production"'),
        (["rotate-token", "RETIRE=1"], 'rotate-token --env "production"  --retire'),
        (["set-api-key"], 'set-api-key --env "production"'),
        (["package"], "package"),
    ],
)
def test_the_targets_of_make(arguments: list[str], command: str) -> None:
    """Each calls its command."""
    done = subprocess.run(  # noqa: S603 - only says what it would run
        ["make", "-n", *arguments],  # noqa: S607 - the one of PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"python -m cli.deploy {command}" in done.stdout
