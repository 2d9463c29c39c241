"""Renaming speakers by a form: reading it, refusing one of another site, and undoing a change.

A field ``name`` is for each speaker of the fields ``speaker``; a field ``name.s2`` is for one. A
blank name takes the name away. ``same_as`` gives the display name of another speaker, which makes
both one speaker.

A page sets a random cookie, which no other site can read, and every form carries a token made of
that cookie and the form's address. Browsers also say where a request comes from
(https://www.w3.org/TR/fetch-metadata/); cookies are shared by all ports of a host, but another port
is another origin.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from transcripts.changes.speaker_names import Changes
from transcripts.errors import RequestError
from transcripts.tasks.speakers import display_names, name_key, shown_speakers
from transcripts.tasks.task import Task
from transcripts.web import BodyReader

COOKIE: Final = "csrf"
TOKEN_FIELD: Final = "token"  # noqa: S105 - the name of a field
MAX_FORM_BYTES: Final = 512 * 1024
MAX_FIELDS: Final = 2_000

_COOKIE_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")

Fields = list[tuple[str, str]]

UNDO_COOKIE: Final = "undo"
CONFLICT_COOKIE: Final = "conflict"
KEPT_S: Final = 3600
"""So long is the undoing of a change offered, and a change kept that was not saved."""

_MAX_COOKIE_CHARS: Final = 3_800
"""Browsers keep 4,096 bytes (https://www.rfc-editor.org/rfc/rfc6265#section-6.1)."""

_OWN_NAME: Final = "name."

Names = dict[str, str]
"""The display name of each speaker by the speaker's id, "" for none."""


def form_cookie(request: Request) -> str:
    """Return the reader's random value, a new one if the request has none."""
    found = request.cookies.get(COOKIE, "")
    return found if _COOKIE_VALUE.fullmatch(found) else secrets.token_urlsafe(32)


def set_form_cookie(answer: Response, value: str, root: str) -> None:
    """Let the browser keep the reader's random value.

    The cookie is not ``Secure``: the loopback proxy that the browser talks to has no TLS, and
    Safari would drop the cookie there.
    """
    answer.set_cookie(COOKIE, value, httponly=True, samesite="lax", path=f"{root}/")


def form_token(cookie: str, path: str) -> str:
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
    expected = form_token(cookie, request.url.path)
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


class KeptNames(msgspec.Struct, frozen=True):
    """Names that the browser keeps; ``etag`` is that of the task when they were kept."""

    etag: str
    names: Names


def requested_names(fields: Fields, task: Task) -> Names:
    """Return what a form asks for; raises ``RequestError`` (``bad_form``, ``unknown_speaker``)."""
    given = dict(fields)
    name = given.get("name", "")
    if "same_as" in given:
        shown = shown_speakers(task)
        others = {each.id: each.name for each in shown.listed}
        if given["same_as"] not in others:
            raise RequestError("Choose the other speaker.", code="bad_form")
        name = others[given["same_as"]]
    names = {value: name for field, value in fields if field == "speaker"}
    names |= {
        field.removeprefix(_OWN_NAME): value
        for field, value in fields
        if field.startswith(_OWN_NAME)
    }
    if not names:
        raise RequestError("The form names no speaker.", code="bad_form")
    unknown = names.keys() - {speaker.id for speaker in task.speakers}
    if unknown:
        raise RequestError("The transcript has no such speaker.", code="unknown_speaker")
    return names


def changes_of(names: Names, task: Task) -> Changes:
    """Return the same by the provider's names, None for a blank one."""
    provider_names = {speaker.id: speaker.name for speaker in task.speakers}
    return {
        provider_names[speaker_id]: name if name_key(name) else None
        for speaker_id, name in names.items()
    }


def current_names(task: Task) -> Names:
    """Return the display name of each speaker that people have named."""
    chosen = display_names(task.speaker_names)
    return {
        speaker.id: chosen[name_key(speaker.name)]
        for speaker in task.speakers
        if name_key(speaker.name) in chosen
    }


def named_by(task: Task) -> Names:
    """Return who named each speaker, where that is known, by the speaker's id."""
    known = {name_key(each.name): each.named_by for each in task.speaker_names}
    found = ((speaker.id, known.get(name_key(speaker.name))) for speaker in task.speakers)
    return {speaker_id: who for speaker_id, who in found if who}


def keep_names(answer: Response, cookie: str, path: str, kept: KeptNames) -> bool:
    """Let the browser keep names, which stand in no address and no log.

    Return False if they are too many: the cookie is deleted then.
    """
    value = urlsafe_b64encode(msgspec.json.encode(kept)).decode()
    if len(value) > _MAX_COOKIE_CHARS:
        answer.delete_cookie(cookie, path)
        return False
    answer.set_cookie(cookie, value, max_age=KEPT_S, httponly=True, samesite="lax", path=path)
    return True


def kept_names(request: Request, cookie: str, task: Task) -> KeptNames | None:
    """Return the names that the browser keeps, None if the task has no such speakers."""
    try:
        kept = msgspec.json.decode(urlsafe_b64decode(request.cookies[cookie]), type=KeptNames)
    except (KeyError, binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    known = kept.names.keys() <= {speaker.id for speaker in task.speakers}
    return kept if kept.names and known else None
