"""A folder that stands for a bucket: its events, and an endpoint like Cloud Storage's JSON API.

A file copied below ``buckets/<bucket>/`` is an upload; so is a PUT to ``/<bucket>/<object>``, and a
resumable upload (https://cloud.google.com/storage/docs/performing-resumable-uploads). The endpoint
serves Google's client from the same files: an object's resource, and its bytes by range
(https://cloud.google.com/storage/docs/json_api/v1/objects).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any, Final
from uuid import uuid4

import google_crc32c
import msgspec
from aiohttp import web
from msgspec.structs import replace

from transcripts.embedded.objects import FolderObjects, ObjectAttributes
from transcripts.errors import ObjectNotFound
from transcripts.ports import Message, Publisher
from transcripts.uploads.stored_object import StoredObject

POLL_S: Final = 0.25
CHUNK_BYTES: Final = 1024 * 1024
META_PREFIX: Final = "x-goog-meta-"
UPLOADS_BUCKET: Final = "uploads"
SESSION_KEPT_S: Final = 7 * 24 * 3600

_UPLOAD_ID: Final = re.compile(r"[0-9a-f]{32}")
_CONTENT_RANGE: Final = re.compile(r"bytes (?:\*|(?P<first>\d+)-\d+)/(?P<size>\d+)")


def resource(stored: StoredObject) -> dict[str, Any]:
    """Describe an object as the JSON API does: numbers are strings."""
    return {
        "kind": "storage#object",
        "bucket": stored.bucket,
        "name": stored.name,
        "generation": stored.generation,
        "metageneration": "1",
        "contentType": stored.content_type,
        "contentEncoding": stored.content_encoding,
        "size": str(stored.size),
        "crc32c": stored.crc32c,
        "md5Hash": stored.md5,
        "metadata": stored.metadata,
    }


def notification(stored: StoredObject) -> Message:
    """Return the message that a bucket notification publishes for a finished upload."""
    attributes = {
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": stored.bucket,
        "objectId": stored.name,
        "objectGeneration": stored.generation,
    }
    return Message(msgspec.json.encode(resource(stored)), attributes)


class BucketWatch:
    """Publishes an event for every new or changed file once it has stopped growing."""

    def __init__(self, objects: FolderObjects, publisher: Publisher, topic: str) -> None:
        self._objects = objects
        self._publisher = publisher
        self._topic = topic
        self._growing: dict[Path, tuple[int, int]] = {}
        self._known: dict[Path, int] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            for bucket, name in await asyncio.to_thread(self._finished):
                with suppress(ObjectNotFound):
                    stored = await asyncio.to_thread(self._checked, bucket, name)
                    await self._publisher.publish(self._topic, notification(stored))
            await asyncio.sleep(POLL_S)

    def _checked(self, bucket: str, name: str) -> StoredObject:
        """Return an object with its checksums, as the event of a real bucket has them."""
        stored = self._objects.stat(bucket, name, None)
        try:
            md5, crc32c = _checksums(self._objects.path(bucket, name))
        except OSError:
            # The function that reads the object gets the same error, and reports it.
            return stored
        return replace(stored, md5=md5, crc32c=crc32c)

    def _finished(self) -> list[tuple[str, str]]:
        """Return the files that did not change since the last call and were not announced yet."""
        finished: list[tuple[str, str]] = []
        growing: dict[Path, tuple[int, int]] = {}
        for path in self._objects.buckets.rglob("*"):
            with suppress(OSError):
                status = path.stat()
                if not path.is_file() or path.name.startswith("."):
                    continue
                if self._known.get(path) == status.st_mtime_ns:
                    continue
                seen = (status.st_size, status.st_mtime_ns)
                if self._growing.get(path) == seen:
                    self._known[path] = status.st_mtime_ns
                    finished.append(self._objects.name_of(path))
                else:
                    growing[path] = seen
        self._growing = growing
        return finished


class BucketServer:
    """The endpoint over the folders."""

    def __init__(self, objects: FolderObjects) -> None:
        self._objects = objects
        self._uploads = objects.buckets.with_name("uploads")
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self, port: int = 0) -> None:
        """Serve on this machine."""
        for path in self._uploads.glob("*"):
            if time() - path.stat().st_mtime > SESSION_KEPT_S:
                path.unlink()
        application = web.Application(client_max_size=2**50)
        application.router.add_get("/storage/v1/b/{bucket}/o/{name:.+}", self._get)
        application.router.add_get("/download/storage/v1/b/{bucket}/o/{name:.+}", self._download)
        application.router.add_post("/upload/storage/v1/b/{bucket}/o", self._begin)
        application.router.add_put("/upload/storage/v1/b/{bucket}/o", self._continue)
        application.router.add_put("/{bucket}/{name:.+}", self._put)
        self._runner = web.AppRunner(application, access_log=None, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _stored(self, request: web.Request) -> StoredObject | None:
        matched = request.match_info
        try:
            return self._objects.stat(
                matched["bucket"], matched["name"], request.query.get("generation")
            )
        except ObjectNotFound:
            return None

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("alt") == "media":
            return await self._download(request)
        stored = self._stored(request)
        if stored is None:
            return _not_found()
        return web.json_response(resource(stored))

    async def _download(self, request: web.Request) -> web.StreamResponse:
        stored = self._stored(request)
        if stored is None:
            return _not_found()
        wanted = request.headers.get("Range")
        first, last = _range(wanted, stored.size)
        if wanted and first >= stored.size:
            return web.Response(status=416)
        response = web.StreamResponse(status=206 if wanted else 200)
        response.content_length = last - first + 1
        if wanted:
            response.headers["Content-Range"] = f"bytes {first}-{last}/{stored.size}"
        response.headers["X-Goog-Generation"] = stored.generation
        await response.prepare(request)
        async for chunk in self._read(stored, first, last):
            await response.write(chunk)
        return response

    async def _read(self, stored: StoredObject, first: int, last: int) -> AsyncIterator[bytes]:
        with self._objects.open(stored) as file:
            file.seek(first)
            left = last - first + 1
            while left and (chunk := file.read(min(left, CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk

    async def _put(self, request: web.Request) -> web.StreamResponse:
        bucket, name = request.match_info["bucket"], request.match_info["name"]
        content_type = request.headers.get("Content-Type")
        attributes = ObjectAttributes(
            content_type=None
            if content_type == "application/x-www-form-urlencoded"
            else content_type,
            content_encoding=request.headers.get("Content-Encoding"),
            metadata={
                key[len(META_PREFIX) :]: value
                for key, value in request.headers.items()
                if key.lower().startswith(META_PREFIX)
            },
        )
        arriving = self._arriving(uuid4().hex)
        with arriving.open("wb") as file:
            async for chunk in request.content.iter_chunked(CHUNK_BYTES):
                file.write(chunk)
        return self._finish(arriving, bucket, name, attributes)

    def _arriving(self, upload_id: str) -> Path:
        """Return where the bytes of an upload are until it is complete."""
        self._uploads.mkdir(parents=True, exist_ok=True)
        return self._uploads / upload_id

    def _finish(
        self, arriving: Path, bucket: str, name: str, attributes: ObjectAttributes
    ) -> web.Response:
        """Give a complete file its name: it appears at once, as an object in a bucket does."""
        try:
            stored = self._objects.put(arriving, bucket, name, attributes)
        except ObjectNotFound:
            arriving.unlink()
            return _not_found()
        return web.json_response(resource(stored))

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        """Begin a resumable upload; the answer's ``Location`` is its session."""
        content = await request.json()
        bucket, name = request.match_info["bucket"], content["name"]
        if request.query.get("ifGenerationMatch") == "0" and self._exists(bucket, name):
            return web.json_response({"error": {"code": 412, "message": "exists"}}, status=412)
        upload_id = uuid4().hex
        self._arriving(upload_id).touch()
        session = _Session(
            bucket,
            name,
            content.get("crc32c"),
            ObjectAttributes(
                content_type=request.headers.get("X-Upload-Content-Type"),
                metadata=content.get("metadata") or {},
            ),
        )
        self._arriving(f"{upload_id}.json").write_bytes(msgspec.json.encode(session))
        address = f"{self.url}/upload/storage/v1/b/{bucket}/o?upload_id={upload_id}"
        return web.Response(headers={"Location": address})

    async def _continue(self, request: web.Request) -> web.StreamResponse:
        """Take the next bytes of a session, or say how many it has; the last ones end it."""
        upload_id = request.query.get("upload_id", "")
        content_range = _CONTENT_RANGE.fullmatch(request.headers.get("Content-Range", ""))
        if not _UPLOAD_ID.fullmatch(upload_id) or content_range is None:
            return web.Response(status=400)
        arriving, described = self._arriving(upload_id), self._arriving(f"{upload_id}.json")
        try:
            session = msgspec.json.decode(described.read_bytes(), type=_Session)
        except FileNotFoundError:
            return web.Response(status=410)
        has = arriving.stat().st_size
        if content_range["first"] == str(has):
            with arriving.open("ab") as file:
                async for chunk in request.content.iter_chunked(CHUNK_BYTES):
                    file.write(chunk)
            has = arriving.stat().st_size
        if has < int(content_range["size"]):
            headers = {"Range": f"bytes=0-{has - 1}"} if has else {}
            return web.Response(status=308, headers=headers)
        described.unlink()
        if session.crc32c not in (None, _checksums(arriving)[1]):
            arriving.unlink()
            return web.json_response({"error": {"code": 400, "message": "crc32c"}}, status=400)
        return self._finish(arriving, session.bucket, session.name, session.attributes)

    def _exists(self, bucket: str, name: str) -> bool:
        try:
            self._objects.stat(bucket, name, None)
        except ObjectNotFound:
            return False
        return True


class _Session(msgspec.Struct, frozen=True):
    """A resumable upload: the object that it makes."""

    bucket: str
    name: str
    crc32c: str | None
    attributes: ObjectAttributes


def _checksums(path: Path) -> tuple[str, str]:
    """Return the MD5 and the crc32c of a file, in base64."""
    md5, crc32c = hashlib.md5(usedforsecurity=False), google_crc32c.Checksum()
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            md5.update(block)
            crc32c.update(block)
    return b64encode(md5.digest()).decode(), b64encode(crc32c.digest()).decode()


def _not_found() -> web.Response:
    return web.json_response({"error": {"code": 404, "message": "Not Found"}}, status=404)


def _range(header: str | None, size: int) -> tuple[int, int]:
    """Read a header like ``bytes=0-99``: first and last byte."""
    if header is None or not header.startswith("bytes="):
        return 0, size - 1
    first, _, last = header.removeprefix("bytes=").partition("-")
    return int(first or 0), min(int(last), size - 1) if last else size - 1
