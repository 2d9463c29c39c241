"""Objects in Cloud Storage, through Google's own client, which resumes and verifies downloads.

The client also reads ``STORAGE_EMULATOR_HOST``.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import requests
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from transcripts.errors import (
    ObjectForbidden,
    ObjectNotFound,
    ObjectUnavailable,
    ObjectUnreadable,
    TranscriptsError,
)
from transcripts.uploads.media import RejectReason
from transcripts.uploads.stored_object import StoredObject

# For its traces, which are off, the client would ask for the bucket of every object that it reads,
# in a thread of its own. This identity may not read buckets.
# https://github.com/googleapis/google-cloud-python/tree/main/packages/google-cloud-storage
os.environ["DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"] = "true"

CHUNK_BYTES: Final = 8 * 1024 * 1024
"""How many bytes of an object are held at a time; each chunk is one request."""

RETRY: Final = DEFAULT_RETRY.with_timeout(20.0)
"""The client's default retries for two minutes, which is too long for a waiting caller."""

_RETRYABLE: Final = frozenset({408, 409, 429, 499})
"""Of the 4xx, those that Google's table says to retry, and a request that was cancelled."""

_RATE_REASONS: Final = frozenset(
    {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"}
)
"""Usage limits, which were 403 once (https://cloud.google.com/apis/design/errors)."""

_KEY_REASONS: Final = frozenset(
    {
        "resourceIsEncryptedWithCustomerEncryptionKey",
        "customerEncryptionKeyIsIncorrect",
        "customerEncryptionKeyFormatIsInvalid",
        "customerEncryptionKeySha256IsInvalid",
        "customerEncryptionAlgorithmIsInvalid",
    }
)
_PAYER_REASONS: Final = frozenset({"userProjectMissing", "userProjectInvalid"})
_KMS_PREFIX: Final = "cloudkms"

REQUESTER_PAYS: Final = "requester_pays"
UNREADABLE: Final = "object_unreadable"

_XML_CODE: Final = re.compile(r"<Code>(\w+)</Code>")


class _ErrorDetail(msgspec.Struct):
    reason: str = ""


class _Error(msgspec.Struct):
    errors: list[_ErrorDetail] = []


class _ErrorBody(msgspec.Struct):
    error: _Error


def _text(error: GoogleAPICallError) -> str:
    return str(error.response.text) if error.response is not None else ""


def _reason(error: GoogleAPICallError) -> str:
    """Return Google's reason for an error; a download answers with JSON, XML or plain text."""
    text = _text(error)
    try:
        details = msgspec.json.decode(text, type=_ErrorBody).error.errors
    except msgspec.MsgspecError:
        code = _XML_CODE.search(text)
        return code[1][0].lower() + code[1][1:] if code else ""
    return details[0].reason if details else ""


def translate(error: GoogleAPICallError) -> TranscriptsError:
    """Tell what an answer of Cloud Storage means for an object.

    Follows Google's table (https://cloud.google.com/storage/docs/json_api/v1/status-codes). The
    statuses that it says to retry, and every 5xx, are temporary. An administrator can repair 401,
    403 and a disabled KMS key. Every other 4xx is permanent.
    """
    status, reason = int(error.code or 0), _reason(error)
    words = f"{status} {reason}".rstrip()
    if status == 404:
        return ObjectNotFound("Cloud Storage has no such object, or no such generation.")
    if reason in _RATE_REASONS or status in _RETRYABLE or not 400 <= status < 500:
        return ObjectUnavailable(f"Cloud Storage: {words}.")
    if status in (401, 403) or reason.lower().startswith(_KMS_PREFIX):
        return ObjectForbidden(
            f"Cloud Storage: {words}. Let this function's service account read the bucket"
            " (roles/storage.objectViewer), and the bucket's service agent use its KMS key."
        )
    # Plain text without a reason also names these two cases, which are permanent.
    sentence = _text(error).lower()
    if reason in _KEY_REASONS or "customer-supplied encryption key" in sentence:
        return ObjectUnreadable(
            RejectReason.CUSTOMER_KEY, "The object is encrypted with a customer-supplied key."
        )
    if reason in _PAYER_REASONS or "requester pays" in sentence:
        return ObjectUnreadable(REQUESTER_PAYS, "The bucket lets only those read who pay for it.")
    return ObjectUnreadable(UNREADABLE, f"Cloud Storage refuses the object for good: {words}.")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except GoogleAPICallError as error:
        raise translate(error) from error
    except (GoogleAPIError, GoogleAuthError, DataCorruption, requests.RequestException) as error:
        raise ObjectUnavailable(f"Cloud Storage: {type(error).__name__}.") from error


class _Reader:
    """A generation, read in chunks; each chunk is one request, which the client retries.

    The first request asks for no more than ``size``: a caller that only checks whether the object
    can be read does not wait for a whole chunk. ``raw_download`` returns the bytes as stored: Cloud
    Storage would otherwise unpack a file with Content-Encoding gzip, and its length would differ
    from ``size`` (https://cloud.google.com/storage/docs/transcoding).
    """

    def __init__(self, blob: Any) -> None:
        self._blob = blob
        self._next = 0
        self._chunk = io.BytesIO()

    def read(self, size: int, /) -> bytes:
        content = self._chunk.read(size)
        if content or self._next >= (self._blob.size or 0):
            return content
        wanted = max(size, CHUNK_BYTES) if self._next else size
        with _translated():
            chunk: bytes = self._blob.download_as_bytes(
                start=self._next,
                end=self._next + wanted - 1,
                raw_download=True,
                checksum=None,
                retry=RETRY,
            )
        self._next += len(chunk)
        self._chunk = io.BytesIO(chunk)
        return self._chunk.read(size)

    def close(self) -> None:
        self._chunk.close()


class CloudStorageObjects:
    """The objects of any bucket that this identity may read."""

    def __init__(self, project: str) -> None:
        """Name the project; the first call makes the client."""
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
            content_encoding=blob.content_encoding,
            customer_encrypted="customerEncryption" in blob._properties,  # noqa: SLF001 - no property
            size=blob.size or 0,
            metadata={key: str(value) for key, value in (blob.metadata or {}).items()},
        )

    def open(self, stored: StoredObject) -> _Reader:
        """Open just this generation; see ``ports.ObjectSource``."""
        blob = self._blob(stored.bucket, stored.name, stored.generation)
        with _translated():
            blob.reload(retry=RETRY)
        return _Reader(blob)
