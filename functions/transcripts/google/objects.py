"""Objects in Cloud Storage, through Google's own client.

The client also reads ``STORAGE_EMULATOR_HOST``. An object is read as one stream. The client itself
streams only to a file that takes pieces of 8 KiB, so this module reads from the client's session,
and resumes and verifies as the client does.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock
from time import monotonic
from typing import Any, Final, TypeVar

import google_crc32c
import msgspec
import requests
import urllib3
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError, from_http_status
from google.api_core.retry import exponential_sleep_generator
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from urllib3.util import wait_for_read

from transcripts.errors import (
    ObjectCorrupted,
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

T = TypeVar("T")

RETRY: Final = DEFAULT_RETRY.with_timeout(20.0)
"""The client's default retries for two minutes, which is too long for a waiting caller."""

TIMEOUTS_S: Final = (10.0, 20.0)
"""How long a download may take to connect, and be silent. A silent one is resumed."""

FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 5.0
"""The pauses between the attempts to resume a download grow from the first to the second."""

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
    except (
        GoogleAPIError,
        GoogleAuthError,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise ObjectUnavailable(f"Cloud Storage: {type(error).__name__}.") from error


_TRANSIENT: Final[Callable[[Exception], bool]] = DEFAULT_RETRY._predicate  # noqa: SLF001 - no property
"""Tells which failures the client retries."""

_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+)")
_CRC32C: Final = re.compile(r"\bcrc32c=([A-Za-z0-9+/]{6}==)")


class _Download:
    """A generation of an object, read as one stream; a broken one is resumed where it broke.

    The bytes are those that are stored: with ``Accept-Encoding: gzip``, Cloud Storage does not
    unpack a file with Content-Encoding gzip, whose length would then differ from its size
    (https://cloud.google.com/storage/docs/transcoding). The response has the checksum of the whole
    object (https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash); emulators
    may leave it out, and then nothing is compared.
    """

    def __init__(self, session: requests.Session, url: str, stored: StoredObject) -> None:
        """Request the bytes; raises what ``ports.ObjectSource.open`` raises."""
        self._session = session
        self._url = url
        self._stored = stored
        self._received = 0
        self._checksum = google_crc32c.Checksum()
        self._expected_checksum: str | None = None
        self._response: requests.Response | None = None
        self._lock = Lock()
        self._closed = Event()
        self._retried(self._connected)

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; see ``ports.ObjectReader``."""
        content = self._retried(lambda: self._read(size))
        self._received += len(content)
        self._checksum.update(content)
        if not content:
            self._verify()
        return content

    def close(self) -> None:
        """End the download; see ``ports.ObjectReader``."""
        self._closed.set()
        self._disconnect()

    def _read(self, size: int) -> bytes:
        if self._received == self._stored.size and self._response is None:
            return b""
        response = self._connected()
        content = self._arrived(response.raw, size)
        # A closed connection may return bytes that are not the object's.
        self._check_open()
        if len(content) > self._stored.size - self._received:
            raise ObjectUnavailable("Cloud Storage sent more bytes than the object has.")
        if not content:
            self._disconnect()
            if self._received < self._stored.size:
                # Only an answer without a length ends early in silence.
                raise requests.ConnectionError("The download ended early.")
        return content

    def _arrived(self, raw: Any, size: int) -> bytes:
        """Wait for some bytes, and return all that have arrived, at most ``size``.

        A read of TLS returns one record, of 16 KiB at most.
        """
        pieces: list[bytes] = []
        left = min(size, self._stored.size - self._received) or 1
        while True:
            try:
                piece = raw.read1(left, decode_content=False)
            except Exception as error:
                if not pieces or not _TRANSIENT(error):
                    raise
                # The earlier pieces are good; the next read resumes after them.
                self._disconnect()
                return b"".join(pieces)
            pieces.append(piece)
            left -= len(piece)
            if not piece or not left or not wait_for_read(raw, 0.0):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _verify(self) -> None:
        actual = b64encode(self._checksum.digest()).decode()
        if self._expected_checksum not in (None, actual):
            raise ObjectCorrupted("Cloud Storage: the bytes do not match the object's crc32c.")

    def _connected(self) -> requests.Response:
        """Return the open response, or request the rest of the object."""
        if self._response is not None:
            return self._response
        headers = {"Accept-Encoding": "gzip"}
        if self._received:
            headers["Range"] = f"bytes={self._received}-"
        response = self._session.get(self._url, headers=headers, stream=True, timeout=TIMEOUTS_S)
        try:
            self._check(response)
        except BaseException:
            response.close()
            raise
        with self._lock:
            self._response = response
        self._check_open()
        return response

    def _check(self, response: requests.Response) -> None:
        """Check that the answer has just the bytes that are wanted."""
        if response.status_code not in (200, 206):
            # The client's ``from_http_response`` fails if ``error`` in the answer is no object.
            raise from_http_status(  # type: ignore[no-untyped-call] # Google's own, without types
                response.status_code, response.text, response=response
            )
        answered = response.headers
        if answered.get("X-Goog-Generation", self._stored.generation) != self._stored.generation:
            raise ObjectNotFound("Cloud Storage sent another generation of the object.")
        first, size = 0, int(answered.get("Content-Length", self._stored.size))
        if response.status_code == 206:
            found = _CONTENT_RANGE.fullmatch(answered.get("Content-Range", ""))
            first, size = (int(found[1]), int(found[2])) if found else (0, -1)
        if (first, size) != (self._received, self._stored.size):
            raise ObjectUnavailable("Cloud Storage did not send the bytes that were asked for.")
        if self._expected_checksum is None:
            found = _CRC32C.search(answered.get("X-Goog-Hash", ""))
            self._expected_checksum = found[1] if found else None

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ObjectUnavailable("The download was closed.")

    def _disconnect(self) -> None:
        with self._lock:
            response, self._response = self._response, None
        if response is not None:
            # Closing alone would wait for a read that is under way. A complete response has given
            # its connection back already.
            with suppress(ValueError, RuntimeError, OSError):
                response.raw.shutdown()
            response.close()

    def _retried(self, step: Callable[[], T]) -> T:
        """Repeat a step as the client does, from the byte that was reached, until it is closed."""
        deadline: float | None = None
        pauses_s = exponential_sleep_generator(FIRST_PAUSE_S, MAX_PAUSE_S)
        with _translated():
            while True:
                try:
                    return step()
                except Exception as error:
                    self._disconnect()
                    # A connection that another thread closes may fail in any way.
                    self._check_open()
                    # The time runs from the first failure: a silent download is resumed, too.
                    deadline = deadline or monotonic() + (RETRY.timeout or 0.0)
                    pause_s = next(pauses_s)
                    if not _TRANSIENT(error) or monotonic() + pause_s > deadline:
                        raise
                self._closed.wait(pause_s)
                self._check_open()


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
            crc32c=blob.crc32c,
            md5=blob.md5_hash,
            metadata={key: str(value) for key, value in (blob.metadata or {}).items()},
        )

    def open(self, stored: StoredObject) -> _Download:
        """Open just this generation; see ``ports.ObjectSource``."""
        blob = self._blob(stored.bucket, stored.name, stored.generation)
        with _translated():
            session = self._client._http  # noqa: SLF001 - no property
            url = blob._get_download_url(self._client)  # noqa: SLF001 - no property
        return _Download(session, url, stored)
