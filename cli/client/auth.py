"""The ID token that a private function asks for, from the first source that has one.

1. a token that the user gives,
2. a service account that the user may impersonate,
3. a service account key, or the metadata server,
4. gcloud's user, since google-auth has no ID tokens for users.
"""

from __future__ import annotations

from cli.client.target import Choice, is_loopback
from cli.failures import ExitCode, Failure

HELP = (
    "Log in: gcloud auth login\nOr give --impersonate-service-account ACCOUNT, or a token: --token"
)


def id_token(url: str, choice: Choice) -> str | None:
    """Return a token for the function at ``url``, None if it needs none; raises ``Failure``."""
    if choice.token:
        return choice.token
    if is_loopback(url):
        return None
    if choice.impersonate:
        return _impersonated(url, choice.impersonate)
    return _of_this_machine(url) or _of_gcloud()


def _impersonated(url: str, account: str) -> str:
    import google.auth
    from google.auth import impersonated_credentials
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    scope = "https://www.googleapis.com/auth/cloud-platform"
    try:
        source, _ = google.auth.default(scopes=[scope])
        target = impersonated_credentials.Credentials(source, account, [scope])
        credentials = impersonated_credentials.IDTokenCredentials(
            target, target_audience=url, include_email=True
        )
        credentials.refresh(Request())
    except GoogleAuthError as error:
        raise Failure(
            f"{account} cannot be impersonated: {first_line(error)}\n"
            "You need roles/iam.serviceAccountTokenCreator on it, and: "
            "gcloud auth application-default login",
            ExitCode.NOT_AUTHORIZED,
        ) from error
    return str(credentials.token)


def _of_this_machine(url: str) -> str | None:
    """Return the token of a service account, None where this machine has none."""
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.auth.transport.requests import Request
    from google.oauth2.id_token import fetch_id_token_credentials

    try:
        credentials = fetch_id_token_credentials(  # type: ignore[no-untyped-call] # Google's own, without types
            url, Request()
        )
    except DefaultCredentialsError:
        return None
    try:
        credentials.refresh(Request())
    except GoogleAuthError as error:
        raise Failure(
            f"The service account of this machine gives no token: {first_line(error)}\n{HELP}",
            ExitCode.NOT_AUTHORIZED,
        ) from error
    return str(credentials.token)


def _of_gcloud() -> str:
    from cli.deploy.programs import gcloud, is_installed

    if not is_installed("gcloud"):
        raise Failure(
            "You are not logged in, and gcloud is not installed: "
            f"https://cloud.google.com/sdk/docs/install\n{HELP}",
            ExitCode.NOT_AUTHORIZED,
        )
    answer = gcloud("auth", "print-identity-token")
    if answer.code or not answer.out.strip():
        raise Failure(
            f"gcloud gives no token: {answer.error_message}\n{HELP}", ExitCode.NOT_AUTHORIZED
        )
    return answer.out.strip()


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return next(iter(str(error).splitlines()), type(error).__name__)
