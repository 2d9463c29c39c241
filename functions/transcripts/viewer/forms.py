"""Forms of the pages: reading them, and refusing those that another site sends.

A page sets a random cookie, which no other site can read, and every form carries a token made of
that cookie and the form's address. Browsers also say where a request comes from
(https://www.w3.org/TR/fetch-metadata/); cookies are shared by all ports of a host, but another port
is another origin.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from transcripts.errors import RequestError
from transcripts.web import BodyReader

COOKIE: Final = "csrf"
TOKEN_FIELD: Final = "token"  # noqa: S105 - the name of a field
MAX_FORM_BYTES: Final = 512 * 1024
MAX_FIELDS: Final = 2_000

_COOKIE_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")

Fields = list[tuple[str, str]]


def cookie_of(request: Request) -> str:
    """Return the reader's random value, a new one if the request has none."""
    found = request.cookies.get(COOKIE, "")
    return found if _COOKIE_VALUE.fullmatch(found) else secrets.token_urlsafe(32)


def set_cookie(answer: Response, value: str) -> None:
    """Let the browser keep the reader's random value.

    The cookie is not ``Secure``: the loopback proxy that the browser talks to has no TLS, and
    Safari would drop the cookie there.
    """
    answer.set_cookie(COOKIE, value, httponly=True, samesite="lax", path="/")


def token(cookie: str, path: str) -> str:
    """Return the token of the forms that are sent to ``path``."""
    return hmac.new(cookie.encode(), path.encode(), hashlib.sha256).hexdigest()


async def read_form(request: Request) -> Fields:
    """Return the fields of a form of this site, in order.

    Raises ``RequestError``: ``foreign_form`` (403) if another site may have sent it, ``bad_form``.
    """
    site = request.headers.get("sec-fetch-site")
    if site not in (None, "same-origin"):
        raise _foreign_form()
    media_type = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise RequestError("The request is not a form of this page.", code="bad_form")
    body = await BodyReader(request, MAX_FORM_BYTES).read()
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise RequestError("The form can't be read.", code="bad_form") from error
    given = next((value for name, value in fields if name == TOKEN_FIELD), "")
    cookie = request.cookies.get(COOKIE, "")
    expected = token(cookie, request.url.path)
    if not _COOKIE_VALUE.fullmatch(cookie) or not hmac.compare_digest(
        given.encode(), expected.encode()
    ):
        raise _foreign_form()
    return fields


def _foreign_form() -> RequestError:
    return RequestError(
        "Nothing was changed: the form was not sent from this page, or the page was open for too"
        " long. Go back, reload the page, and repeat the change.",
        code="foreign_form",
        status=403,
    )
