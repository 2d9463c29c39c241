"""The forms of a transcript: new names of speakers, and undoing the last change.

A field ``name`` is for each speaker of the fields ``speaker``; a field ``name.s2`` is for one. A
blank name takes the name away. ``same_as`` gives the display name of another speaker, which makes
both one speaker.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from transcripts.changes.speaker_names import Changes
from transcripts.errors import RequestError
from transcripts.tasks.speakers import display_names, name_key, shown_speakers
from transcripts.tasks.task import Task
from transcripts.viewer.forms import Fields

UNDO_COOKIE: Final = "undo"
UNDO_S: Final = 3600
"""So long is the undoing of a change offered."""

_MAX_COOKIE_CHARS: Final = 3_800
"""Browsers keep 4,096 bytes (https://www.rfc-editor.org/rfc/rfc6265#section-6.1). Larger changes
are rare, and are undone by hand."""

_OWN_NAME: Final = "name."

_LINE: Final = re.compile(r"l[0-9]{1,9}")

Names = dict[str, str]
"""The display name of each speaker by the speaker's id, "" for none."""


class Undo(msgspec.Struct, frozen=True):
    """The names before a change, for as long as the task has the entity tag after it."""

    etag: str
    names: dict[str, str]


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


def place_of(fields: Fields) -> str:
    """Return the anchor to go back to: the line that was in view, or else the speakers."""
    place = dict(fields).get("place", "")
    return place if _LINE.fullmatch(place) else "speakers"


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


def offer_undo(answer: Response, path: str, undo: Undo) -> None:
    """Let the browser keep the names before a change; they stand in no address and no log."""
    value = urlsafe_b64encode(msgspec.json.encode(undo)).decode()
    if len(value) <= _MAX_COOKIE_CHARS:
        answer.set_cookie(
            UNDO_COOKIE, value, max_age=UNDO_S, httponly=True, samesite="lax", path=path
        )
    else:
        answer.delete_cookie(UNDO_COOKIE, path)


def offered_undo(request: Request, task: Task, etag: str) -> Names | None:
    """Return the names before the last change, if the task has not changed since."""
    try:
        undo = msgspec.json.decode(urlsafe_b64decode(request.cookies[UNDO_COOKIE]), type=Undo)
    except (KeyError, binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    known = undo.names.keys() <= {speaker.id for speaker in task.speakers}
    return undo.names if undo.etag == etag and undo.names and known else None
