"""Objects in Cloud Storage, through Google's own client, which resumes and verifies by itself.

``STORAGE_EMULATOR_HOST`` is honored by that client.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import requests
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from transcripts.errors import ObjectNotFound, ObjectUnavailable
from transcripts.uploads.stored_object import StoredObject

CHUNK_BYTES: Final = 8 * 1024 * 1024
"""What is held of an object at a time: one request each, so neither too small nor too large."""

RETRY: Final = DEFAULT_RETRY.with_timeout(20.0)
"""The client's own retry goes on for two minutes, while the caller waits."""


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise ObjectNotFound("Cloud Storage has no such object, or no such generation.") from error
    except (GoogleAPIError, GoogleAuthError, DataCorruption, requests.RequestException) as error:
        raise ObjectUnavailable(f"Cloud Storage: {type(error).__name__}.") from error


class _Reader:
    """A generation, read in chunks, each an own request that is retried by the client."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        with _translated():
            content: bytes = self._file.read(size)
            return content

    def close(self) -> None:
        self._file.close()


class CloudStorageObjects:
    """The objects of any bucket that this identity may read."""

    def __init__(self, project: str) -> None:
        """Name the project; the client is made by the first call."""
        self._project = project
        self._client: Any = None

    def _blob(self, bucket: str, name: str, generation: str | None) -> Any:
        if self._client is None:
            with _translated():
                self._client = storage.Client(project=self._project)
        number = int(generation) if generation is not None else None
        return self._client.bucket(bucket).blob(name, generation=number)

    def stat(self, bucket: str, name: str, generation: str | None) -> StoredObject:
        """Return what is known of a generation; see ``ports.ObjectSource``."""
        blob = self._blob(bucket, name, generation)
        with _translated():
            blob.reload(retry=RETRY)
        return StoredObject(
            bucket=bucket,
            name=name,
            generation=str(blob.generation),
            content_type=blob.content_type,
            size=blob.size or 0,
            metadata={key: str(value) for key, value in (blob.metadata or {}).items()},
        )

    def open(self, stored: StoredObject) -> _Reader:
        """Open just this generation; see ``ports.ObjectSource``.

        ``raw_download`` keeps the bytes as they are stored: a file kept with Content-Encoding gzip
        would otherwise be unpacked on the way and differ from its size.
        """
        blob = self._blob(stored.bucket, stored.name, stored.generation)
        with _translated():
            blob.reload(retry=RETRY)
            file = blob.open("rb", chunk_size=CHUNK_BYTES, retry=RETRY, raw_download=True)
            return _Reader(file)
