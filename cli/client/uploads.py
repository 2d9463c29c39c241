"""Uploading a file into the bucket: Cloud Storage, or the endpoint of the local stack.

An upload is resumable: a session takes the file in pieces, and says how far it has come
(https://cloud.google.com/storage/docs/performing-resumable-uploads).
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import google_crc32c
import urllib3

from cli.client.auth import first_line
from cli.client.sessions import Session, Sessions
from cli.client.target import Target
from cli.failures import ExitCode, Failure, Unreachable

OnPosition = Callable[[int], None]

DEFAULT_TYPE: Final = "application/octet-stream"
CHUNK_BYTES: Final = 8 * 1024 * 1024
"""Of one request: at most this much is sent again after a lost connection."""

BLOCK_BYTES: Final = 256 * 1024
CONNECT_TIMEOUT_S: Final = 10.0
TIMEOUT_S: Final = 300.0
MAX_FAILURES: Final = 7
"""Without progress in between: some two minutes of pauses."""

MAX_PAUSE_S: Final = 32.0
DIGEST_CHARS: Final = 16

_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Content(NamedTuple):
    """What a file holds: its hashes, and its size in bytes; ``crc32c`` is base64."""

    sha256: str
    crc32c: str
    size: int


class FileChanged(Failure):
    """A file was written to between its hash and its upload."""

    reason = "file_changed"

    def __init__(self) -> None:
        super().__init__(
            "It was changed while it was read, and nothing was bought. If it is still being"
            " written, submit it when it is complete."
        )


class FileUnreadable(Failure):
    """A file cannot be read."""

    reason = "file_unreadable"

    def __init__(self, error: OSError) -> None:
        super().__init__(f"It cannot be read: {error.strerror}.")


def read_content(path: Path, on_position: OnPosition = lambda _: None) -> Content:
    """Read a file; raises ``FileUnreadable``."""
    sha256, crc32c, size = hashlib.sha256(), google_crc32c.Checksum(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(CHUNK_BYTES):
                sha256.update(block)
                crc32c.update(block)
                size += len(block)
                on_position(size)
    except OSError as error:
        raise FileUnreadable(error) from error
    return Content(sha256.hexdigest(), b64encode(crc32c.digest()).decode(), size)


def usable_name(file_name: str) -> str:
    """Return a file's name as an object may have it.

    No object's name has half of a surrogate pair, which stands for a byte that is no UTF-8, and
    ``gs://`` addresses are of one line.
    """
    return _CONTROL.sub("_", os.fsencode(file_name).decode(errors="replace"))


def object_name(file_name: str, content: Content) -> str:
    """Return the name under which a file is uploaded.

    It begins with a hash of the content, so a file that is uploaded twice is one object and one
    purchase.
    """
    return f"{content.sha256[:DIGEST_CHARS]}/{usable_name(file_name)}"


class Uploaded(NamedTuple):
    """An object. ``generation`` is None, and ``existed`` true, if it was there before.

    The name of an object is made from its content, so one that was there is the same file.
    """

    uri: str
    generation: str | None
    existed: bool


class _SessionGone(Exception):
    """The session has ended: it was used up, or is too old."""


class _HashedFile:
    """A file that gives its last bytes only if its content is still the one that was hashed.

    Without its last bytes no object comes to be, so a file that was written to after it was hashed
    is neither uploaded nor bought.
    """

    def __init__(self, path: Path, content: Content) -> None:
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise FileUnreadable(error) from error
        self._content = content
        self._sha256 = hashlib.sha256()
        self._hashed = 0

    def close(self) -> None:
        self._file.close()

    def read(self, offset: int) -> bytes:
        """Return the next piece from ``offset``; raises ``FileChanged`` for another content."""
        # What another run has sent is read too: it may have changed.
        while self._hashed < offset:
            self._hash(self._hashed, min(CHUNK_BYTES, offset - self._hashed))
        return self._hash(offset, CHUNK_BYTES)

    def _hash(self, offset: int, size: int) -> bytes:
        try:
            self._file.seek(offset)
            data = self._file.read(size)
        except OSError as error:
            raise FileUnreadable(error) from error
        end = offset + len(data)
        if end > self._hashed:
            self._sha256.update(data[self._hashed - offset :])
            self._hashed = end
        is_end = len(data) < size or end >= self._content.size
        if is_end and (
            end != self._content.size or self._sha256.hexdigest() != self._content.sha256
        ):
            raise FileChanged
        return data


@dataclass(frozen=True)
class Bucket:
    """A bucket: of Cloud Storage, or of the local stack at ``endpoint``."""

    name: str
    endpoint: str | None = None
    sessions: Sessions = field(default_factory=Sessions)

    def upload(
        self,
        path: Path,
        name: str,
        content: Content,
        metadata: Mapping[str, str],
        on_position: OnPosition,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Uploaded:
        """Upload a file, unless the object is there; raises ``Failure``.

        An upload that an earlier run began goes on where it was. The right to create objects is
        enough.
        """
        key = self.sessions.key(self.endpoint, self.name, content.sha256, metadata)
        # A small file is sent as fast as its session is found.
        session = self.sessions.load(key) if content.size > CHUNK_BYTES else None
        file = _HashedFile(path, content)
        try:
            for _ in range(3):
                is_new = session is None
                if session is None:
                    session = self._begin(path, name, content, metadata)
                    if session is None:
                        return Uploaded(f"gs://{self.name}/{name}", None, existed=True)
                    if content.size > CHUNK_BYTES:
                        self.sessions.save(key, session)
                try:
                    resource = _send(file, content.size, session, on_position, sleep, new=is_new)
                except _SessionGone:
                    self.sessions.forget(key)
                    session = None
                    continue
                self.sessions.forget(key)
                uri = f"gs://{self.name}/{session.name}"
                if resource is None:
                    return Uploaded(uri, None, existed=True)
                return Uploaded(uri, str(resource["generation"]), existed=False)
        finally:
            file.close()
        raise Unreachable("Cloud Storage ends every upload. Repeat the command later.")

    def _begin(
        self, path: Path, name: str, content: Content, metadata: Mapping[str, str]
    ) -> Session | None:
        """Begin an upload by Google's client; None if the object is there."""
        import requests
        from google.api_core.exceptions import GoogleAPIError, PreconditionFailed
        from google.auth.credentials import AnonymousCredentials
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import storage

        try:
            if self.endpoint is None:
                client = storage.Client()
            else:
                client = storage.Client(
                    project="local",
                    credentials=AnonymousCredentials(),
                    client_options={"api_endpoint": self.endpoint},
                )
            blob = client.bucket(self.name).blob(name)
            blob.metadata = dict(metadata) or None
            # Cloud Storage compares it with what has arrived before it makes the object.
            blob.crc32c = content.crc32c
            # The condition makes a repeated request safe, and needs no right to read or delete.
            address = blob.create_resumable_upload_session(
                content_type=mimetypes.guess_type(path.name)[0] or DEFAULT_TYPE,
                size=content.size,
                checksum=None,
                if_generation_match=0,
            )
        except PreconditionFailed:
            return None
        except GoogleAuthError as error:
            raise Failure(
                f"You are not logged in to Cloud Storage: {first_line(error)}\n"
                "Run: gcloud auth application-default login",
                ExitCode.NOT_AUTHORIZED,
            ) from error
        except (GoogleAPIError, requests.RequestException) as error:
            raise self._failure(getattr(error, "code", None), first_line(error)) from error
        return Session(address, name)

    def _failure(self, status: int | None, why: str) -> Failure:
        if self.endpoint is not None:
            return Unreachable(
                f"The bucket of the local stack does not answer: {why}\nStart it: transcripts up"
            )
        if status in (401, 403):
            return Failure(
                f"You may not upload to {self.name}. Add your account to uploaders in the"
                " deployment's tfvars, then run: make deploy",
                ExitCode.NOT_AUTHORIZED,
            )
        if status == 404:
            return Failure(f"There is no bucket {self.name}. Run: transcripts doctor --env NAME")
        return Unreachable(f"It was not uploaded: {why}\n{GOES_ON}")


GOES_ON: Final = "Repeat the command: the upload goes on where it was. Nothing was bought."

_POOL: Final = urllib3.PoolManager(
    retries=False, timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=TIMEOUT_S)
)


def _send(
    file: _HashedFile,
    size: int,
    session: Session,
    on_position: OnPosition,
    sleep: Callable[[float], None],
    *,
    new: bool,
) -> Mapping[str, Any] | None:
    """Send a file to its session, and return the object; None if another upload was faster.

    After a failure, and for the session of an earlier run, the session says first how far it has
    come. Raises ``_SessionGone``, ``Failure`` and ``Unreachable``.
    """
    offset: int | None = 0 if new else None
    best, failures, why = 0, 0, ""
    while failures <= MAX_FAILURES:
        if failures:
            sleep(min(2.0 ** (failures - 1), MAX_PAUSE_S))
        if offset is None or offset >= size:
            data, span = b"", "*"
        else:
            data = file.read(offset)
            span = f"{offset}-{offset + len(data) - 1}"
        headers = {"Content-Length": str(len(data)), "Content-Range": f"bytes {span}/{size}"}
        body = _blocks(data, offset or 0, on_position) if data else None
        try:
            # The address of a session is the right to use it.
            answer = _POOL.request("PUT", session.address, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            offset, failures, why = None, failures + 1, first_line(error)
            continue
        if answer.status in (200, 201):
            on_position(size)
            resource: Mapping[str, Any] = answer.json()
            return resource
        if answer.status == 308:
            # It may be less than was sent.
            offset = _end_of(answer.headers.get("Range"))
            on_position(offset)
            if offset > best:
                best, failures = offset, 0
            elif data or offset >= size:
                failures, why = failures + 1, "no more bytes arrive"
        elif answer.status in _TRANSIENT:
            offset, failures, why = None, failures + 1, f"Cloud Storage answers {answer.status}"
        else:
            _refused(answer.status)
            return None
    raise Unreachable(f"It was not uploaded: {why}.\n{GOES_ON}")


def _refused(status: int) -> None:
    """Return for an object that is there; raises ``_SessionGone``, or ``Unreachable``."""
    if status in (404, 410):
        raise _SessionGone
    if status != 412:
        raise Unreachable(
            f"Cloud Storage refuses the upload with {status}. Repeat the command; nothing was"
            " bought."
        )


def _blocks(data: bytes, offset: int, on_position: OnPosition) -> Iterator[bytes]:
    for begin in range(0, len(data), BLOCK_BYTES):
        block = data[begin : begin + BLOCK_BYTES]
        yield block
        on_position(offset + begin + len(block))


def _end_of(header: str | None) -> int:
    """Return how many bytes have arrived, of a header like ``bytes=0-99``; without one, none."""
    match = re.fullmatch(r"bytes=0-(\d+)", header or "")
    return int(match[1]) + 1 if match else 0


def open_bucket(target: Target, name: str | None = None) -> Bucket:
    """Return the bucket of a pipeline, or the named one; raises ``Failure``."""
    bucket = name or target.bucket
    if not bucket:
        raise Failure("The bucket is not known. Add --bucket NAME.", ExitCode.USAGE)
    return Bucket(bucket, target.stack.bucket_url if target.stack is not None else None)
