"""Who sends a request: only what the platform has checked counts."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest
from starlette.requests import Request

from transcripts.results.callers import checked_caller

CHECKED = "SIGNATURE_REMOVED_BY_GOOGLE"
IAP = "service-1@gcp-sa-iap.iam.gserviceaccount.com"


def token(email: object, *, signature: str = CHECKED, verified: object = True) -> str:
    claims = json.dumps({"email": email, "email_verified": verified, "sub": "1"}).encode()
    return f"Bearer e30.{urlsafe_b64encode(claims).decode().rstrip('=')}.{signature}"


def found(**headers: str) -> str | None:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return checked_caller(Request({"type": "http", "headers": raw}))


def test_caller_is_the_email_of_the_checked_token() -> None:
    """Of a person or of a service account."""
    assert found(authorization=token("ada@example.com")) == "ada@example.com"


def test_caller_with_both_headers_is_that_of_the_checked_one() -> None:
    """Cloud Run does not look at the other one: anybody could have written it."""
    headers = {"authorization": token("eve@example.com")}
    assert found(**headers, x_serverless_authorization=token("ada@example.com")) == (
        "ada@example.com"
    )
    assert found(**headers, x_serverless_authorization="Bearer broken") is None


def test_caller_behind_iap_is_the_person_that_it_names() -> None:
    """Nobody else may name somebody."""
    named = {"x_goog_authenticated_user_email": "accounts.google.com:ada@example.com"}
    assert found(authorization=token(IAP), **named) == "ada@example.com"
    assert found(authorization=token("bot@example.com"), **named) == "bot@example.com"
    assert found(**named) is None
    assert found(authorization=token(IAP)) is None


@pytest.mark.parametrize(
    "given",
    [
        token("ada@example.com", signature="c2lnbmVk"),
        token("ada@example.com", verified=False),
        token("ada@example.com", verified="yes"),
        token(7),
        token("a\n@example.com"),
        token("a" * 400 + "@example.com"),
        token("nobody"),
        "Bearer a.b.c",
        "Bearer é..",
        "Bearer",
        "Basic YTpi",
        "",
    ],
)
def test_caller_of_what_is_not_checked_is_unknown(given: str) -> None:
    """A token that still has its signature was not checked by Cloud Run."""
    assert found(authorization=given) is None
