"""Addresses of files below the data folder, which the function ``results`` itself serves."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from transcripts.embedded.objects import FolderObjects
from transcripts.errors import RequestError
from transcripts.uploads.stored_object import StoredObject

PATH: Final = "/media/{ticket}"


class _Ticket(NamedTuple):
    stored: StoredObject
    media_type: str
    until: datetime


class FolderSigner:
    """Gives out random addresses, and forgets each when its time is over."""

    def __init__(self, objects: FolderObjects, clock: Callable[[], datetime]) -> None:
        self._objects = objects
        self._clock = clock
        self._tickets: dict[str, _Ticket] = {}

    def sign(self, stored: StoredObject, media_type: str, until: datetime) -> str:
        """Return a path of this function; see ``ports.MediaSigner``."""
        now = self._clock()
        for old in [name for name, each in self._tickets.items() if each.until <= now]:
            self._tickets.pop(old, None)
        name = secrets.token_urlsafe(32)
        self._tickets[name] = _Ticket(stored, media_type, until)
        return PATH.format(ticket=name)

    async def show(self, request: Request) -> Response:
        """Answer the file, or the range of it that the browser wants."""
        ticket = self._tickets.get(request.path_params["ticket"])
        if ticket is None or ticket.until <= self._clock():
            raise RequestError("The address is no longer valid.", code="not_found", status=404)
        stored = ticket.stored
        await asyncio.to_thread(self._objects.stat, stored.bucket, stored.name, stored.generation)
        return FileResponse(
            self._objects.path(stored.bucket, stored.name),
            headers={
                "Content-Disposition": "attachment",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Referrer-Policy": "no-referrer",
            },
            media_type=stored.content_type or ticket.media_type,
        )
