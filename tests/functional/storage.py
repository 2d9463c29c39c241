"""A stand-in for Cloud Storage with one object, whose answers a test chooses."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from transcripts.google.objects import CloudStorageObjects

CONTENT = b"a recording of a meeting"
RESOURCE = {
    "kind": "storage#object",
    "bucket": "uploads",
    "name": "a.mp4",
    "generation": "7",
    "contentType": "video/mp4",
    "size": str(len(CONTENT)),
}


def json_error(status: int, reason: str, message: str = "injected") -> web.Response:
    """Answer as the JSON API does."""
    details = [{"domain": "global", "reason": reason, "message": message}]
    error = {"code": status, "message": message, "errors": details}
    return web.json_response({"error": error}, status=status)


def text_error(status: int, text: str) -> web.Response:
    """Answer as a download does."""
    return web.Response(status=status, text=text)


class Storage:
    """One object at the paths of the JSON API.

    ``described`` and ``sent`` refuse. ``breaks_after`` says after how many bytes each of the next
    downloads ends, ``more`` what its description has, ``headers`` those of its downloads, and
    ``write`` sends the body in another way.
    """

    def __init__(self) -> None:
        self.described: Any = None
        self.sent: Any = None
        self.content = CONTENT
        self.breaks_after: list[int] = []
        self.more: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.ignores_ranges = False
        self.write: Callable[[web.StreamResponse], Awaitable[None]] | None = None
        self.ranges: list[str | None] = []
        self.queries: list[dict[str, str]] = []

    async def describe(self, _: web.Request) -> web.StreamResponse:
        if self.described is not None:
            return web.Response(
                status=self.described.status,
                body=self.described.body,
                content_type=self.described.content_type,
            )
        return web.json_response(RESOURCE | {"size": str(len(self.content))} | self.more)

    async def send(self, request: web.Request) -> web.StreamResponse:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        self.queries.append(dict(request.query))
        if self.sent is not None:
            return web.Response(
                status=self.sent.status, body=self.sent.body, content_type=self.sent.content_type
            )
        response = web.StreamResponse(headers=self.headers)
        first = 0
        if wanted is not None and not self.ignores_ranges:
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
            response.set_status(206)
            last, size = len(self.content) - 1, len(self.content)
            response.headers.setdefault("Content-Range", f"bytes {first}-{last}/{size}")
        content = self.content[first:]
        if "Transfer-Encoding" not in self.headers:
            response.content_length = len(content)
        await response.prepare(request)
        if self.write is not None:
            await self.write(response)
        elif self.breaks_after:
            await response.write(content[: self.breaks_after.pop(0)])
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write(content)
        return response


@contextmanager
def cloud_storage() -> Iterator[CloudStorageObjects]:
    """Give a source whose connections are closed at the end."""
    source = CloudStorageObjects(os.environ["STORAGE_EMULATOR_HOST"])
    try:
        yield source
    finally:
        source._session.close()


def read_whole() -> bytes:
    """Describe, open and read in pieces, as an upload does."""
    with cloud_storage() as source:
        return read_with(source)


def read_with(source: CloudStorageObjects) -> bytes:
    reader = source.open(source.stat("uploads", "a.mp4", "7"))
    content = b""
    while piece := reader.read(10):
        content += piece
    reader.close()
    return content
