"""Uploading a file into the bucket: Cloud Storage, or the endpoint of the local stack."""

from __future__ import annotations

import hashlib
import io
import mimetypes
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import click
import urllib3

from cli.client.auth import first_line
from cli.client.target import Target
from cli.failures import ExitCode, Failure, Unreachable
from cli.output import note

OnPosition = Callable[[int], None]

LABEL_PREFIX: Final = "mavi-label-"
REPORT_EVERY_S: Final = 10.0
DEFAULT_TYPE: Final = "application/octet-stream"
CHUNK_BYTES: Final = 8 * 1024 * 1024
"""Of a resumable upload: this much is sent again after a lost connection."""

CONNECT_TIMEOUT_S: Final = 10.0
TIMEOUT_S: Final = 300.0
_MIB: Final = 1024 * 1024


DIGEST_CHARS: Final = 16


def object_name(path: Path) -> str:
    """Return the name under which a file is uploaded; it reads the file.

    The name begins with a hash of the content, so a file that is uploaded twice is one object and
    one purchase. Raises ``Failure`` for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.") from error
    return f"{digest[:DIGEST_CHARS]}/{path.name}"


class Uploaded(NamedTuple):
    """An object. ``generation`` is None if it may not be read; ``existed`` if it was there before.

    The name of an object is made from its content, so one that was there is the same file.
    """

    uri: str
    generation: str | None
    existed: bool


class _CheckedFile(io.BufferedReader):
    """A file that reports how far it was read, and gives its end only if its content has a hash.

    Without its last bytes no object comes to be, so a file that was written to after it was hashed
    is neither uploaded nor bought.
    """

    def __init__(self, path: Path, name: str, on_position: OnPosition) -> None:
        super().__init__(io.FileIO(path))
        self._path = path
        self._digest = name.partition("/")[0]
        self._on_position = on_position
        self._size = path.stat().st_size
        self._sha256 = hashlib.sha256()
        self._hashed = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; raises ``Failure`` instead of the last ones of another content."""
        begin = self.tell()
        data = super().read(size)
        end = begin + len(data)
        # A part that is sent again after a lost connection was hashed before.
        self._sha256.update(data[self._hashed - begin :] if begin < self._hashed else data)
        self._hashed = max(self._hashed, end)
        cut = not data and end < self._size
        if cut or (end >= self._size and not self._sha256.hexdigest().startswith(self._digest)):
            raise Failure(
                f"{self._path} was changed while it was read, and nothing was bought. If it is"
                " still being written, submit it when it is complete."
            )
        self._on_position(end)
        return data


def _content_type(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or DEFAULT_TYPE


class LocalBucket:
    """The bucket of the local stack: see ``cli.local.bucket``."""

    def __init__(self, url: str, bucket: str) -> None:
        self._url = url
        self._bucket = bucket
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=TIMEOUT_S)
        self._pool = urllib3.PoolManager(retries=False, timeout=timeout)

    def upload(
        self, path: Path, name: str, labels: Mapping[str, str], on_position: OnPosition
    ) -> Uploaded:
        """Upload a file, unless the object is there; raises ``Failure``."""
        address = quote(name)
        try:
            known = self._pool.request(
                "GET", f"{self._url}/storage/v1/b/{self._bucket}/o/{address}"
            )
            if known.status == 200:
                return _uploaded(known.json(), existed=True)
            with _CheckedFile(path, name, on_position) as file:
                answer = self._pool.request(
                    "PUT",
                    f"{self._url}/{self._bucket}/{address}",
                    body=file,
                    headers={
                        "Content-Type": _content_type(path),
                        "Content-Length": str(path.stat().st_size),
                        **{f"x-goog-meta-{key}": value for key, value in labels.items()},
                    },
                )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(
                "The bucket of the local stack does not answer. Start it: transcripts up"
            ) from error
        if answer.status != 200:
            raise Failure(f"The local bucket answers {answer.status} to {name}.")
        return _uploaded(answer.json(), existed=False)


def _uploaded(resource: Mapping[str, Any], *, existed: bool) -> Uploaded:
    uri = f"gs://{resource['bucket']}/{resource['name']}"
    return Uploaded(uri, str(resource["generation"]), existed)


@dataclass(frozen=True)
class GoogleBucket:
    """A bucket of Cloud Storage, through Google's client, which resumes and verifies uploads."""

    name: str

    def upload(
        self, path: Path, name: str, labels: Mapping[str, str], on_position: OnPosition
    ) -> Uploaded:
        """Upload a file, unless the object is there; raises ``Failure``.

        The right to create objects is enough.
        """
        import requests
        from google.api_core.exceptions import GoogleAPIError, PreconditionFailed
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import storage

        uri = f"gs://{self.name}/{name}"
        try:
            bucket = storage.Client().bucket(self.name)
            blob = bucket.blob(name, chunk_size=CHUNK_BYTES)
            blob.metadata = dict(labels) or None
            with _CheckedFile(path, name, on_position) as file:
                # The condition makes a repeated request safe, and needs no right to read or delete.
                blob.upload_from_file(
                    file,
                    size=path.stat().st_size,
                    content_type=_content_type(path),
                    if_generation_match=0,
                    timeout=TIMEOUT_S,
                )
        except PreconditionFailed:
            return Uploaded(uri, None, existed=True)
        except GoogleAuthError as error:
            raise Failure(
                f"You are not logged in to Cloud Storage: {first_line(error)}\n"
                "Run: gcloud auth application-default login",
                ExitCode.NOT_AUTHORIZED,
            ) from error
        except (GoogleAPIError, requests.RequestException) as error:
            raise self._failure(path, error) from error
        return Uploaded(uri, str(blob.generation), existed=False)

    def _failure(self, path: Path, error: Exception) -> Failure:
        status = getattr(error, "code", None)
        if status in (401, 403):
            return Failure(
                f"You may not upload to {self.name}. Add your account to uploaders in the"
                " deployment's tfvars, then run: make deploy",
                ExitCode.NOT_AUTHORIZED,
            )
        if status == 404:
            return Failure(f"There is no bucket {self.name}. Run: transcripts doctor --env NAME")
        return Unreachable(
            f"{path} was not uploaded: {first_line(error)}\nRepeat the command; nothing was bought."
        )


Bucket = LocalBucket | GoogleBucket


def open_bucket(target: Target, name: str | None = None) -> Bucket:
    """Return the bucket of a pipeline, or the named one; raises ``Failure``."""
    bucket = name or target.bucket
    if not bucket:
        raise Failure("The bucket is not known. Add --bucket NAME.", ExitCode.USAGE)
    if target.stack is not None:
        return LocalBucket(target.stack.bucket_url, bucket)
    return GoogleBucket(bucket)


class Progress:
    """Shows how an upload advances, on stderr: a bar with a rate, or a line every 10 s."""

    def __init__(self, label: str, size: int) -> None:
        """``size`` is in bytes."""
        self._label = label
        self._size = size
        self._started = self._reported = time.monotonic()
        self._position = 0
        self._bar: Any = None

    def __enter__(self) -> Self:
        """Show the bar, if stderr is a terminal."""
        if sys.stderr.isatty():
            self._bar = click.progressbar(
                length=self._size,
                label=self._label,
                file=sys.stderr,
                item_show_func=lambda _: self._rate(),
            )
            self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def at(self, position: int) -> None:
        """Show that ``position`` bytes were sent; it may go back when an upload is resumed."""
        advanced, self._position = position - self._position, position
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(advanced, current_item=position)
        elif now - self._reported >= REPORT_EVERY_S:
            self._reported = now
            note(f"{self._label}: {position * 100 // max(self._size, 1)} %, {self._rate()}")

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._started, 0.001)
        return f"{self._position / _MIB / seconds:.1f} MiB/s"
