"""Objects in Cloud Storage, over its JSON API.

An object is read as one stream. ``google-cloud-storage`` streams only to a file that takes pieces
of 8 KiB, and its session is not public, so this module makes its requests with the
``AuthorizedSession`` of google-auth, which also renews a refused token. It resumes and verifies a
download as Google's client does.
"""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from threading import Event, Lock
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import google.auth
import google_crc32c
import msgspec
import requests
import urllib3
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession

from transcripts.errors import (
    ObjectCorrupted,
    ObjectForbidden,
    ObjectNotFound,
    ObjectUnavailable,
    ObjectUnreadable,
    TranscriptsError,
)
from transcripts.retry import RetryPolicy
from transcripts.uploads.rejections import RejectReason
from transcripts.uploads.stored_object import StoredObject, read_resource

T = TypeVar("T")

URL: Final = "https://storage.googleapis.com"
SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_only",)

RETRY: Final = RetryPolicy(first_pause_s=0.1, max_pause_s=5.0, timeout_s=20.0)
"""The time runs from the first failure: a download that was silent for long is resumed, too."""

TIMEOUTS_S: Final = (10.0, 20.0)
"""How long a request may take to connect, and be silent. A silent download is resumed."""

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


def _reason(text: str) -> str:
    """Return Google's reason for an error; a download answers with JSON, XML or plain text."""
    try:
        details = msgspec.json.decode(text, type=_ErrorBody).error.errors
    except msgspec.MsgspecError:
        code = _XML_CODE.search(text)
        return code[1][0].lower() + code[1][1:] if code else ""
    return details[0].reason if details else ""


def translate(status: int, text: str) -> TranscriptsError:
    """Tell what an answer of Cloud Storage means for an object.

    Follows Google's table (https://cloud.google.com/storage/docs/json_api/v1/status-codes). The
    statuses that it says to retry, and every 5xx, are temporary. An administrator can repair 401,
    403 and a disabled KMS key. Every other 4xx is permanent.
    """
    reason = _reason(text)
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
    sentence = text.lower()
    if reason in _KEY_REASONS or "customer-supplied encryption key" in sentence:
        return ObjectUnreadable(
            RejectReason.CUSTOMER_KEY, "The object is encrypted with a customer-supplied key."
        )
    if reason in _PAYER_REASONS or "requester pays" in sentence:
        return ObjectUnreadable(REQUESTER_PAYS, "The bucket lets only those read who pay for it.")
    return ObjectUnreadable(UNREADABLE, f"Cloud Storage refuses the object for good: {words}.")


class _HttpError(Exception):
    """Cloud Storage answered with an error."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__()
        self.status = response.status_code
        self.text = response.text


_FAILURES: Final = (
    _HttpError,
    GoogleAuthError,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)
"""What a request, and reading its answer, may raise."""


def _translated(error: Exception) -> TranscriptsError:
    if isinstance(error, _HttpError):
        return translate(error.status, error.text)
    return ObjectUnavailable(f"Cloud Storage: {type(error).__name__}.")


def _retried(step: Callable[[], T], wait: Callable[[float], object] = time.sleep) -> T:
    """Return what ``step`` returns, repeated after failures that pass; ``wait`` pauses."""
    deadline: float | None = None
    pauses_s = RETRY.pauses_s()
    while True:
        try:
            return step()
        except _FAILURES as error:
            failure = _translated(error)
            now, pause_s = time.monotonic(), next(pauses_s)
            deadline = deadline or now + RETRY.timeout_s
            # google-auth has repeated its own requests already.
            passes = type(failure) is ObjectUnavailable and not isinstance(error, GoogleAuthError)
            if not passes or now + pause_s > deadline:
                raise failure from error
        wait(pause_s)


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
        self._resumed(self._connected)

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; see ``ports.ObjectReader``."""
        content = self._resumed(lambda: self._read(size))
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
        wanted = min(size, self._stored.size - self._received) or 1
        content: bytes = response.raw.read(wanted, decode_content=False)
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
            raise _HttpError(response)
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

    def _resumed(self, step: Callable[[], T]) -> T:
        """Repeat a step from the byte that was reached, until the download is closed."""

        def attempt() -> T:
            try:
                return step()
            except Exception:
                self._disconnect()
                # A connection that another thread closes may fail in any way.
                self._check_open()
                raise

        def wait(pause_s: float) -> None:
            self._closed.wait(pause_s)
            self._check_open()

        return _retried(attempt, wait)


class CloudStorageObjects:
    """The objects of any bucket that this identity may read."""

    def __init__(self, emulator_url: str | None) -> None:
        """``emulator_url`` is None for the real service; the first call connects."""
        self._emulator_url = emulator_url

    @cached_property
    def _session(self) -> requests.Session:
        credentials: Any = AnonymousCredentials()
        if self._emulator_url is None:
            try:
                credentials, _ = google.auth.default(scopes=SCOPES)
            except (GoogleAuthError, OSError, ValueError) as error:
                raise ObjectUnavailable(f"No Google identity: {type(error).__name__}.") from error
        session: requests.Session = AuthorizedSession(credentials)
        return session

    def _url(self, path: str, bucket: str, name: str, **parameters: str) -> str:
        address = f"{path}/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"
        return f"{self._emulator_url or URL}{address}?{urlencode(parameters)}"

    def stat(self, bucket: str, name: str, generation: str | None) -> StoredObject:
        """Return what is known of a generation; see ``ports.ObjectSource``."""
        wanted = {} if generation is None else {"generation": generation}
        session, url = self._session, self._url("", bucket, name, **wanted)

        def get() -> bytes:
            response = session.get(url, timeout=TIMEOUTS_S)
            if response.status_code != 200:
                raise _HttpError(response)
            return response.content

        try:
            return read_resource(_retried(get))
        except ValueError as error:
            raise ObjectUnavailable("Cloud Storage did not describe the object.") from error

    def open(self, stored: StoredObject) -> _Download:
        """Open just this generation; see ``ports.ObjectSource``."""
        url = self._url(
            "/download", stored.bucket, stored.name, alt="media", generation=stored.generation
        )
        return _Download(self._session, url, stored)
