"""Who sends a request, where the platform has checked it."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request

Caller = Callable[[Request], str | None]
"""Returns who sends a request, None if that is not known."""

_CHECKED: Final = "SIGNATURE_REMOVED_BY_GOOGLE"
_IAP: Final = "@gcp-sa-iap.iam.gserviceaccount.com"
_MAX_CHARS: Final = 320


def no_caller(_: Request) -> str | None:
    """Return None: nobody checks who sends a request."""
    return None


class _Claims(msgspec.Struct):
    email: str = ""
    email_verified: bool = False


def checked_caller(request: Request) -> str | None:
    """Return the e-mail address of the person or program, None if it is not known.

    Cloud Run checks an ID token, and passes it on with these words for its signature. With both
    headers only ``X-Serverless-Authorization`` is checked
    (https://cloud.google.com/run/docs/authenticating/service-to-service). Identity-Aware Proxy
    calls as itself, takes this header from every request, and names the person there
    (https://cloud.google.com/iap/docs/identity-howto). All this holds only behind Cloud Run.
    """
    headers = request.headers
    given = headers.get("x-serverless-authorization") or headers.get("authorization") or ""
    _, claims, signature = [*given.removeprefix("Bearer ").split("."), "", "", ""][:3]
    try:
        found = msgspec.json.decode(
            urlsafe_b64decode(claims + "=" * (-len(claims) % 4)), type=_Claims
        )
    except (ValueError, msgspec.MsgspecError):
        return None
    if signature != _CHECKED or not found.email_verified:
        return None
    email = found.email
    if email.endswith(_IAP):
        email = headers.get("x-goog-authenticated-user-email", "").rpartition(":")[2]
    return email if "@" in email and email.isprintable() and len(email) <= _MAX_CHARS else None
