"""Where ID tokens come from, and how a deployment is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.auth import impersonated_credentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.oauth2 import id_token as google_id_token

from cli.client import auth, target
from cli.client.target import Choice, find_target
from cli.failures import ExitCode, Failure
from tests.deploy.fake_programs import PROJECT, FakePrograms

URL = "https://transcripts-results-1.us-central1.run.app"
ROOT = Path(__file__).resolve().parent.parent.parent


class Credentials:
    """Credentials that make a token of what they were made for."""

    def __init__(self, token: str, *, fails: bool = False) -> None:
        self._value = token
        self._fails = fails
        self.token: str | None = None

    def refresh(self, _: object) -> None:
        if self._fails:
            raise RefreshError("no\nstack")
        self.token = self._value


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    """A gcloud and a terraform with prepared answers."""
    fake = FakePrograms(tmp_path)
    fake.answer("gcloud auth print-identity-token", "gcloud-token")
    monkeypatch.setenv("PATH", fake.install())
    return fake


def no_account(*_: object) -> None:
    raise DefaultCredentialsError("none")


def test_token_that_is_given_comes_first(programs: FakePrograms) -> None:
    """gcloud and Google's library are not used."""
    assert auth.id_token(URL, Choice(token="mine", impersonate="a@b")) == "mine"
    assert programs.calls == []


def test_token_of_an_impersonated_account_names_the_function_as_audience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The token holds the account's e-mail address, which Cloud Run checks."""
    made: dict[str, Any] = {}

    def credentials(target: object, *, target_audience: str, include_email: bool) -> Credentials:
        made.update(audience=target_audience, include_email=include_email, target=target)
        return Credentials("impersonated")

    monkeypatch.setattr(google.auth, "default", lambda **_: ("source", "project"))
    monkeypatch.setattr(impersonated_credentials, "Credentials", lambda *given: given[1])
    monkeypatch.setattr(impersonated_credentials, "IDTokenCredentials", credentials)
    assert auth.id_token(URL, Choice(impersonate="reader@p.iam")) == "impersonated"
    assert made == {"audience": URL, "include_email": True, "target": "reader@p.iam"}


def test_account_that_cannot_be_impersonated_exits_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the role."""
    monkeypatch.setattr(google.auth, "default", no_account_by_name)
    with pytest.raises(Failure, match="serviceAccountTokenCreator") as caught:
        auth.id_token(URL, Choice(impersonate="reader@p.iam"))
    assert caught.value.exit_status == ExitCode.NOT_AUTHORIZED


def no_account_by_name(**_: object) -> None:
    raise DefaultCredentialsError("none")


def test_token_of_a_service_account_comes_before_gcloud(
    monkeypatch: pytest.MonkeyPatch, programs: FakePrograms
) -> None:
    """A service account key, or the metadata server."""
    made = Credentials("ambient")
    monkeypatch.setattr(google_id_token, "fetch_id_token_credentials", lambda *_: made)
    assert auth.id_token(URL, Choice()) == "ambient"
    assert programs.calls == []


def test_service_account_without_a_token_exits_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another identity is not used silently."""
    made = Credentials("ambient", fails=True)
    monkeypatch.setattr(google_id_token, "fetch_id_token_credentials", lambda *_: made)
    with pytest.raises(Failure) as caught:
        auth.id_token(URL, Choice())
    assert caught.value.exit_status == ExitCode.NOT_AUTHORIZED


def test_token_of_a_person_comes_from_gcloud(
    monkeypatch: pytest.MonkeyPatch, programs: FakePrograms
) -> None:
    """google-auth has no ID tokens for users."""
    monkeypatch.setattr(google_id_token, "fetch_id_token_credentials", no_account)
    assert auth.id_token(URL, Choice()) == "gcloud-token"


def test_person_who_is_not_logged_in_exits_4(
    monkeypatch: pytest.MonkeyPatch, programs: FakePrograms
) -> None:
    """The message says how to log in."""
    monkeypatch.setattr(google_id_token, "fetch_id_token_credentials", no_account)
    programs.answer("gcloud auth print-identity-token", "ERROR: You do not have an account.", 1)
    with pytest.raises(Failure, match="gcloud auth login") as caught:
        auth.id_token(URL, Choice())
    assert caught.value.exit_status == ExitCode.NOT_AUTHORIZED
    assert "You do not have an account" in caught.value.message


def test_machine_without_gcloud_exits_4(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message says where to get it."""
    monkeypatch.setattr(google_id_token, "fetch_id_token_credentials", no_account)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match="Log in: gcloud") as caught:
        auth.id_token(URL, Choice())
    assert caught.value.exit_status == ExitCode.NOT_AUTHORIZED


# A deployment -----------------------------------------------------------------------------------

OUTPUTS = {
    "results_url": URL,
    "callback_url": "https://transcripts-callback-1.us-central1.run.app",
    "upload_bucket": "acme-uploads",
    "urls": {"submit": "https://transcripts-submit-1.us-central1.run.app", "results": URL},
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one environment."""
    root = tmp_path / "checkout"
    (root / "infra").mkdir(parents=True)
    variables = (ROOT / "infra" / "variables.tf").read_text()
    (root / "infra" / "variables.tf").write_text(variables)
    (root / "infra" / "production.tfvars").write_text(f'project = "{PROJECT}"\n')
    monkeypatch.setattr(target, "ROOT", root)
    return root


def outputs(**changes: Any) -> str:
    """Return what ``terraform output -json`` prints."""
    return json.dumps({name: {"value": value} for name, value in (OUTPUTS | changes).items()})


def test_deployment_is_found_by_its_terraform_outputs(
    checkout: Path, programs: FakePrograms
) -> None:
    """The workspace is not switched for others who use the checkout."""
    programs.answer("terraform output -json", outputs())
    found = find_target(Choice(env="production"))
    assert (found.results_url, found.bucket) == (URL, "acme-uploads")
    assert found.submit_url == OUTPUTS["urls"]["submit"]  # type: ignore[index] # of mixed values
    (call,) = programs.calls
    assert call.environ["TF_WORKSPACE"] == "production"


def test_deployment_without_results_says_how_to_deploy(
    checkout: Path, programs: FakePrograms
) -> None:
    """An environment that was never applied has no outputs."""
    programs.answer("terraform output -json", "{}")
    with pytest.raises(Failure, match="make deploy ENV=production"):
        find_target(Choice(env="production"))


def test_deployment_whose_state_cannot_be_read_shows_terraforms_reason(
    checkout: Path, programs: FakePrograms
) -> None:
    """The reason is one sentence."""
    programs.answer("terraform output -json", "Error: Backend initialization required", 1)
    with pytest.raises(Failure, match="Backend initialization required"):
        find_target(Choice(env="production"))


def test_unknown_environment_says_which_file_is_missing(
    checkout: Path, programs: FakePrograms
) -> None:
    """Terraform is not run."""
    with pytest.raises(Failure, match="staging"):
        find_target(Choice(env="staging"))
    assert programs.calls == []
