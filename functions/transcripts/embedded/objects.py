"""Objects in folders: ``<data dir>/buckets/<bucket>/<object>``; a generation is a time of writing.

The metadata of the objects are JSON files under ``<data dir>/metadata``. The function ``results``
itself serves an object at an address that ``FolderSigner`` gives out.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import mimetypes
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from transcripts.errors import ObjectForbidden, ObjectNotFound, ObjectUnavailable, RequestError
from transcripts.uploads.stored_object import StoredObject

MAX_NAME_BYTES: Final = 255
"""File systems take no longer name; an object's name has up to 1,024 bytes."""


MEDIA_PATH: Final = "/media/{ticket}"


class ObjectAttributes(msgspec.Struct, frozen=True):
    """The attributes that an uploader sets on an object; ``name`` is that of the object."""

    content_type: str | None = None
    content_encoding: str | None = None
    metadata: dict[str, str] = {}
    name: str | None = None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ObjectNotFound("There is no such file.") from error
    except PermissionError as error:
        raise ObjectForbidden("Folder: let this user read the file.") from error
    except OSError as error:
        raise ObjectUnavailable(f"Folder: {error.strerror}.") from error


class _FileReader(io.BufferedReader):
    """A file whose failures are those of a storage."""

    def read(self, size: int | None = -1, /) -> bytes:
        with _translated():
            return super().read(size)


class FolderObjects:
    """The objects below one data folder."""

    def __init__(self, data_dir: Path) -> None:
        """The folder need not exist yet."""
        self.buckets = data_dir / "buckets"
        self._metadata = data_dir / "metadata"

    def path(self, bucket: str, name: str) -> Path:
        """Return an object's path; raises ``ObjectNotFound`` for a name that leads elsewhere."""
        return _inside(self.buckets, bucket, _usable(name))

    def attributes_path(self, bucket: str, name: str) -> Path:
        """Return where its attributes lie."""
        return _inside(self._metadata, bucket, _usable(f"{_usable(name)}.json"))

    def name_of(self, path: Path) -> tuple[str, str]:
        """Return bucket and name of the object whose path it is."""
        bucket, *parts = path.relative_to(self.buckets).parts
        name = "/".join(parts)
        return bucket, self._attributes(bucket, name).name or name

    def put(
        self, arrived: Path, bucket: str, name: str, attributes: ObjectAttributes
    ) -> StoredObject:
        """Make an object of a complete file; raises ``ObjectNotFound`` as ``path`` does."""
        path, attributes_path = self.path(bucket, name), self.attributes_path(bucket, name)
        for each in (path, attributes_path):
            each.parent.mkdir(parents=True, exist_ok=True)
        attributes_path.write_bytes(msgspec.json.encode(replace(attributes, name=name)))
        arrived.replace(path)
        return self.stat(bucket, name, None)

    def stat(self, bucket: str, name: str, generation: str | None) -> StoredObject:
        """Return what is known of a generation; see ``ports.ObjectSource``."""
        with _translated():
            status = self.path(bucket, name).stat()
        if not stat.S_ISREG(status.st_mode):
            raise ObjectNotFound("There is no such file.")
        found = str(status.st_mtime_ns)
        if generation not in (None, found):
            raise ObjectNotFound("The file was replaced meanwhile.")
        attributes = self._attributes(bucket, name)
        return StoredObject(
            bucket=bucket,
            name=name,
            generation=found,
            content_type=attributes.content_type or mimetypes.guess_type(name)[0],
            content_encoding=attributes.content_encoding,
            size=status.st_size,
            metadata=attributes.metadata,
        )

    def _attributes(self, bucket: str, name: str) -> ObjectAttributes:
        try:
            content = self.attributes_path(bucket, name).read_bytes()
        except OSError:
            return ObjectAttributes()
        return msgspec.json.decode(content, type=ObjectAttributes)

    def open(self, stored: StoredObject) -> io.BufferedReader:
        """Open just this generation; see ``ports.ObjectSource``."""
        with _translated():
            file = _FileReader(io.FileIO(self.path(stored.bucket, stored.name)))
        if str(os.fstat(file.fileno()).st_mtime_ns) != stored.generation:
            file.close()
            raise ObjectNotFound("The file was replaced meanwhile.")
        return file


def _usable(name: str) -> str:
    """Return a name in which a hash replaces each part that is too long for a file system."""
    return "/".join(
        hashlib.sha256(encoded).hexdigest() if len(encoded) > MAX_NAME_BYTES else part
        for part in name.split("/")
        for encoded in [os.fsencode(part)]
    )


def _inside(folder: Path, bucket: str, name: str) -> Path:
    root = (folder / bucket).absolute()
    path = Path(os.path.normpath(root / name))
    # No file system takes a NUL, which Cloud Storage allows.
    if not path.is_relative_to(root) or path == root or "\0" in name:
        raise ObjectNotFound("The name leads out of its bucket.")
    return path


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
        return MEDIA_PATH.format(ticket=name)

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
