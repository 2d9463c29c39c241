"""The provider's client, on ``requests``: its blocking calls run in a bounded pool of threads."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import quote
from uuid import uuid4

import requests
import urllib3
from requests.auth import AuthBase

from transcripts.mavi.answers import (
    AnswerLost,
    AssetState,
    DeleteAnswer,
    NotSent,
    RateLimited,
    Sent,
    SignedUrl,
    SubmitAnswer,
    Unreachable,
    UploadAnswer,
    read_delete_answer,
    read_metadata_answer,
    read_sent_answer,
    read_submit_answer,
    read_upload_answer,
)
from transcripts.mavi.rate_limit import RateLimiter, retry_after_s
from transcripts.mavi.upload_body import MultipartFile, ReadAhead, SizedFile, clean_filename
from transcripts.ports import ObjectReader
from transcripts.settings import Secret

A = TypeVar("A")

CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 60.0
UPLOAD_TIMEOUT_S: Final = 300.0
"""How long the server may be silent during an upload, which may take longer."""

MAX_ANSWER_BYTES: Final = 1024 * 1024
READ_BYTES: Final = 16 * 1024

CALL_THREADS: Final = 64
"""More than run at the same time: no call takes 80 s, and at most one starts every 1.5 s."""

UPLOAD_THREADS: Final = 8
"""Each reads ahead of what it sends (``upload_body.py``), so their memory adds up."""

FAILURES: Final = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""The errors that requests raises: its own, urllib3's for a bad host name, and a bare ``OSError``
for a missing bundle of certificates."""


class AnswerTooLong(requests.RequestException):
    """The answer has too many bytes, or does not end in time."""


NEVER_SENT: Final = (
    requests.exceptions.ConnectTimeout,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    urllib3.exceptions.LocationParseError,
)

SEND_METHODS: Final[tuple[str, ...]] = ("POST", "PUT")

SUBMIT_PATH: Final = "/transcriptions/async-generate-multi-speaker"

BeforeSend = Callable[[], Awaitable[object]]
OpenFile = Callable[[], ObjectReader]


class File(NamedTuple):
    """A file to be uploaded: how it is opened, its size in bytes and its name."""

    open: OpenFile
    size: int
    filename: str


class MaviApi(Protocol):
    """The calls to the provider that buying a transcript needs.

    Each call waits for its slot of the rate limit, at most ``max_wait_s`` seconds, else it raises
    ``RateLimitTimeout``. A call raises nothing else, except the errors of opening and reading the
    file.
    """

    async def submit(
        self, asset_id: str, max_wait_s: float, before_send: BeforeSend
    ) -> SubmitAnswer:
        """Buy a transcript of an asset, with one request; ``before_send`` runs right before it."""

    async def asset_state(self, asset_id: str, max_wait_s: float) -> AssetState | None:
        """Read the state of an asset; None if it could not be read now."""

    async def signed_url(self, filename: str, max_wait_s: float) -> UploadAnswer:
        """Make an asset, and get the address its bytes go to."""

    async def send(self, url: str, file: File) -> Sent:
        """Send the bytes to a signed address."""

    async def upload(self, file: File, max_wait_s: float) -> UploadAnswer:
        """Make an asset of a file in one request: the way without signed addresses."""


class _Key(AuthBase):
    """Sends the key as it is, without ``Bearer``, and keeps a ``.netrc`` from replacing it."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._key.reveal()
        return request


class _NoKey(AuthBase):
    """Sends no key, whatever a ``.netrc`` says."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Answer(NamedTuple):
    status: int
    body: bytes
    retry_after_s: float


class _Failure(NamedTuple):
    """A request without an answer; ``never_sent`` tells that no byte can have reached Mavi."""

    reason: str
    never_sent: bool


class _Threads:
    """A pool of threads; a caller waits for ``slots`` before it records its intent.

    Otherwise a recorded call could wait in the pool for longer than its lease lasts.
    """

    def __init__(self, number: int, name: str) -> None:
        self.slots = asyncio.Semaphore(number)
        self._executor = ThreadPoolExecutor(number, thread_name_prefix=name)

    async def run(self, call: Callable[..., A], *arguments: Any) -> A:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *arguments)


class MaviClient:
    """Calls one account's endpoints, each within its rate limit."""

    def __init__(
        self,
        base_url: str,
        key: Secret,
        per_second: float,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self._base_url = base_url
        self._auth = _Key(key)
        self._timeout = (CONNECT_TIMEOUT_S, answer_timeout_s)
        # A socket's time-out starts again with every byte; this one bounds the whole call.
        self._call_within_s = CONNECT_TIMEOUT_S + answer_timeout_s
        self._calls = _Threads(CALL_THREADS, "mavi-call")
        self._uploads = _Threads(UPLOAD_THREADS, "mavi-upload")
        self._rate_limiters = {
            endpoint: RateLimiter(1.0 / per_second)
            for endpoint in ("submit", "metadata", "signed_url", "upload", "send", "delete")
        }
        self._send_methods = SEND_METHODS

    async def submit(
        self, asset_id: str, max_wait_s: float, before_send: BeforeSend
    ) -> SubmitAnswer:
        """Buy a transcript of an asset, with one request."""
        content = {"asset_id": asset_id}
        answer = await self._limited(
            "submit", max_wait_s, "POST", SUBMIT_PATH, content, before_send=before_send
        )
        if isinstance(answer, _Failure):
            return NotSent(answer.reason) if answer.never_sent else AnswerLost(answer.reason)
        return self._heeded("submit", read_submit_answer(*answer))

    async def asset_state(self, asset_id: str, max_wait_s: float) -> AssetState | None:
        """Read the state of an asset; None if it could not be read now."""
        path = f"/{quote(asset_id, safe='')}/metadata"
        answer = await self._limited("metadata", max_wait_s, "GET", path)
        if isinstance(answer, _Failure):
            return None
        state = self._heeded("metadata", read_metadata_answer(*answer))
        return None if isinstance(state, RateLimited) else state

    async def delete(self, asset_id: str, max_wait_s: float) -> DeleteAnswer:
        """Delete an asset, which cannot be undone; one that is gone already is no error."""
        path = f"/{quote(asset_id, safe='')}"
        answer = await self._limited("delete", max_wait_s, "DELETE", path)
        if isinstance(answer, _Failure):
            return DeleteAnswer.UNAVAILABLE
        found = read_delete_answer(answer.status, answer.body)
        if found is not None:
            return found
        # A 400 may be rate limiting, for this question too: only the same answer twice counts.
        for _ in range(2):
            if await self.asset_state(asset_id, max_wait_s) is not AssetState.MISSING:
                return DeleteAnswer.UNAVAILABLE
        return DeleteAnswer.GONE

    async def signed_url(self, filename: str, max_wait_s: float) -> UploadAnswer:
        """Make an asset, and get the address its bytes go to."""
        content = {"original_filename": clean_filename(filename)}
        answer = await self._limited(
            "signed_url", max_wait_s, "POST", "/upload/signed-url", content
        )
        if isinstance(answer, _Failure):
            return Unreachable()
        found = self._heeded("signed_url", read_upload_answer(*answer))
        # Recordings are not sent in clear text; a fake Mavi on this machine is http, too.
        if isinstance(found, SignedUrl) and not found.url.startswith("https://"):
            return found if self._base_url.startswith("http://") else None
        return found

    async def send(self, url: str, file: File) -> Sent:
        """Send with POST, which Mavi documents, then with PUT, which signed addresses usually want.

        The method that worked is tried first next time. A server that rejects the method may close
        the connection early, so after an interrupted request the other method is first next time.
        Before that, the caller reads in the asset's state whether the bytes have arrived.
        """
        for method in self._send_methods:
            async with self._uploads.slots, self._rate_limiters["send"].slot(float("inf")):
                answer = await self._uploads.run(self._stream, method, url, file, _NoKey())
            if isinstance(answer, _Failure):
                sent = Sent.UNREACHABLE if answer.never_sent else Sent.INTERRUPTED
            else:
                sent = read_sent_answer(answer.status)
            others = [each for each in SEND_METHODS if each != method]
            if sent is Sent.ACCEPTED:
                self._send_methods = (method, *others)
            if sent is Sent.INTERRUPTED:
                self._send_methods = (*others, method)
            if sent is not Sent.REFUSED:
                return sent
        return Sent.REFUSED

    async def upload(self, file: File, max_wait_s: float) -> UploadAnswer:
        """Make an asset of a file in one request."""
        url = f"{self._base_url}/upload"
        async with self._uploads.slots, self._rate_limiters["upload"].slot(max_wait_s):
            answer = await self._uploads.run(self._stream, "POST", url, file, self._auth)
        if isinstance(answer, _Failure):
            return Unreachable() if answer.never_sent else None
        return self._heeded("upload", read_upload_answer(*answer))

    async def _limited(
        self,
        endpoint: str,
        max_wait_s: float,
        method: str,
        path: str,
        content: dict[str, str] | None = None,
        *,
        before_send: BeforeSend | None = None,
    ) -> _Answer | _Failure:
        """Make a call in its slot."""
        slot = self._rate_limiters[endpoint].slot(max_wait_s, before_send)
        async with self._calls.slots, slot:
            try:
                async with asyncio.timeout(self._call_within_s):
                    return await self._calls.run(self._call, method, path, content)
            except TimeoutError:
                return _Failure("timeout", never_sent=False)
            except FAILURES as error:
                return _Failure(_reason(error), _never_sent(error))

    def _heeded(self, endpoint: str, answer: A) -> A:
        """Return an answer, and give no slot of its endpoint in the time that Mavi asks for."""
        if isinstance(answer, RateLimited):
            self._rate_limiters[endpoint].hold_off(answer.retry_after_s)
        return answer

    def _stream(self, method: str, url: str, file: File, auth: AuthBase) -> _Answer | _Failure:
        """Send a file, with POST as a form, while the next bytes of it are read."""
        try:
            with ReadAhead(file.open(), file.size) as blocks, requests.Session() as session:
                body = (
                    MultipartFile(blocks, file.size, file.filename, uuid4().hex)
                    if method == "POST"
                    else SizedFile(blocks, file.size)
                )
                return _request(
                    session,
                    method,
                    url,
                    data=body,
                    headers={"Content-Type": body.content_type},
                    auth=auth,
                    timeout=(CONNECT_TIMEOUT_S, UPLOAD_TIMEOUT_S),
                )
        except FAILURES as error:
            return _Failure(_reason(error), _never_sent(error))

    def _call(self, method: str, path: str, content: dict[str, str] | None = None) -> _Answer:
        # Each call has a new connection: if the server has closed a kept one, the error looks like
        # a lost answer, and here that costs money.
        with requests.Session() as session:
            return _request(
                session,
                method,
                self._base_url + path,
                json=content,
                auth=self._auth,
                timeout=self._timeout,
            )


def _request(
    session: requests.Session, method: str, url: str, *, timeout: tuple[float, float], **more: Any
) -> _Answer:
    """Send a request and read its whole answer, bounded in size and time."""
    with session.request(
        method, url, timeout=timeout, allow_redirects=False, stream=True, **more
    ) as response:
        deadline = monotonic() + timeout[1]
        body = b""
        # read1 returns what has arrived; iter_content would wait for a whole chunk.
        while chunk := response.raw.read1(READ_BYTES, decode_content=True):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES or monotonic() > deadline:
                raise AnswerTooLong
        pause_s = retry_after_s(response.headers.get("Retry-After"))
        return _Answer(response.status_code, body, pause_s)


def _reason(error: Exception) -> str:
    """Return a stable code of a failed request, for the ledger and for the answer of ``submit``."""
    if isinstance(error, AnswerTooLong):
        return "answer_too_long"
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return "timeout"
    if isinstance(error, requests.exceptions.SSLError):
        return "tls_failed"
    if isinstance(error, requests.exceptions.ProxyError):
        return "proxy_failed"
    return "connection_failed"


def _never_sent(error: Exception) -> bool:
    """Tell whether no byte of the request can have reached the provider."""
    if isinstance(error, NEVER_SENT):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.exceptions.SSLError):
        # Only a rejected certificate certainly comes before the request; other TLS failures may
        # end a connection at any time.
        cause = reason.args[0] if isinstance(reason, Exception) and reason.args else None
        return isinstance(cause, ssl.SSLCertVerificationError)
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ProxyError)
