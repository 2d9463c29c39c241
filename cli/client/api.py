"""The client of ``results`` and ``submit``: tokens, retries, pages, and errors in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from time import monotonic
from typing import Final, NamedTuple, TypedDict, TypeVar, Unpack
from urllib.parse import urlencode

import msgspec
import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

from cli.client.auth import id_token
from cli.client.target import Choice, Target, find_target, is_loopback
from cli.failures import ApiError, ExitCode, Failure, Unreachable
from transcripts.errors import ErrorAnswer
from transcripts.results.answers import SubmissionList, TaskList
from transcripts.submissions.requests import RequestBody

CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 120.0
SUBMIT_TIMEOUT_S: Final = 600.0
"""submit waits for its slot in Mavi's rate limit."""

CHUNK_BYTES: Final = 64 * 1024

MAX_RETRY_AFTER_S: Final = 10

MAX_PAGE_SIZE: Final = 200
"""The largest page that a list gives."""

RENEW_AFTER_S: Final = 60.0
"""A token that is refused sooner was not refused because it has expired: they last an hour."""

_TRANSIENT: Final = frozenset({429, 502, 503, 504})

T = TypeVar("T")
L = TypeVar("L", TaskList, SubmissionList)

Query = Mapping[str, str | int | bool | None]


class Options(TypedDict, total=False):
    """What a request has beside its method and path; ``content`` is sent as JSON.

    A ``repeatable`` request is repeated after an outage.
    """

    query: Query | None
    content: object
    headers: Mapping[str, str] | None
    repeatable: bool


class Answer(NamedTuple):
    """A complete answer. ``known`` tells that the address has answered as the function before."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    known: bool

    def read(self, kind: type[T]) -> T:
        """Return the body as one of the types of ``answers``; a field it does not have is ignored.

        Raises ``Failure`` for another shape.
        """
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.ValidationError as error:
            raise Failure(
                f"The answer has another shape: {error}. The command and the function are of"
                " different versions, or the address is not that of the function."
            ) from error
        except msgspec.DecodeError as error:
            if self.known:
                raise Unreachable("Something else answers at the function's address.") from error
            raise Failure(
                "The answer is no JSON: the address is not that of the function."
            ) from error


class _Token(NamedTuple):
    """An ID token, None where none is needed, and when it was fetched (monotonic seconds)."""

    value: str | None
    since: float


class Api:
    """Speaks to one pipeline."""

    def __init__(self, target: Target, choice: Choice) -> None:
        self.target = target
        self._choice = choice
        self._tokens: dict[str, _Token] = {}
        self._known: set[str] = set()
        """The addresses that have answered as the function does."""

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
        )

    def get(self, path: str, query: Query | None = None) -> Answer:
        """Read; raises ``ApiError`` and ``Unreachable``."""
        return self.call("GET", path, query=query, repeatable=True)

    def call(self, method: str, path: str, **options: Unpack[Options]) -> Answer:
        """Call ``results``; raises ``ApiError`` and ``Unreachable``."""
        return self._call(method, self.target.results_url, path, **options)

    def submit(self, body: RequestBody, kind: type[T]) -> T:
        """Post to ``submit``, once; raises ``ApiError`` and ``Unreachable``."""
        url = self.target.submit_url
        if not url:
            raise Failure(
                "The address of submit is not known. Add --submit-url URL.", ExitCode.USAGE
            )
        return self._call("POST", url.rstrip("/"), "/", content=body).read(kind)

    def pages(self, path: str, kind: type[L], query: Query | None = None) -> Iterator[L]:
        """Yield the pages of a list; raises ``ApiError`` and ``Unreachable``."""
        parameters = dict(query or {})
        while True:
            page = self.get(path, parameters).read(kind)
            yield page
            parameters["page_token"] = page.next_page_token
            if not page.next_page_token:
                return

    @contextmanager
    def stream(
        self, path: str, query: Query | None = None
    ) -> Iterator[tuple[Mapping[str, str], Iterator[bytes]]]:
        """Give the headers and the chunks of an answer; raises ``ApiError`` and ``Unreachable``."""
        response = self._request(
            "GET", self.target.results_url, path, query=query, repeatable=True, stream=True
        )
        try:
            if response.status >= 400:
                raise self._error(
                    Answer(
                        response.status,
                        response.headers,
                        response.data,
                        self.target.results_url in self._known,
                    ),
                    path,
                )
            yield response.headers, self._chunks(response)
        finally:
            response.release_conn()

    @staticmethod
    def _chunks(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            yield from response.stream(CHUNK_BYTES)
        except HTTPError as error:
            raise Unreachable("The transcript was cut off while it was sent. Try again.") from error

    def _call(self, method: str, base: str, path: str, **options: Unpack[Options]) -> Answer:
        response = self._request(method, base, path, **options)
        answer = Answer(response.status, response.headers, response.data, base in self._known)
        if answer.status >= 300:
            raise self._error(answer, path)
        if answer.headers.get("Content-Type", "").startswith("application/json"):
            self._known.add(base)
        return answer

    def _request(
        self, method: str, base: str, path: str, *, stream: bool = False, **options: Unpack[Options]
    ) -> urllib3.BaseHTTPResponse:
        given = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in (options.get("query") or {}).items()
            if value is not None
        }
        content, repeatable = options.get("content"), options.get("repeatable", False)
        sent = dict(options.get("headers") or {})
        token = self._tokens.get(base) or self._login(base)
        if token.value:
            sent["Authorization"] = f"Bearer {token.value}"
        body = None
        if content is not None:
            body = msgspec.json.encode(content)
            sent["Content-Type"] = "application/json"
        url = f"{base}{path}?{urlencode(given, errors='replace')}" if given else f"{base}{path}"
        timeout = SUBMIT_TIMEOUT_S if base != self.target.results_url else READ_TIMEOUT_S
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=sent,
                retries=_retries(base, repeatable=repeatable),
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=timeout),
                redirect=False,
                preload_content=not stream,
            )
        except HTTPError as error:
            raise self._unreachable(base, error) from error
        if response.status != 401 or monotonic() - token.since < RENEW_AFTER_S:
            return response
        # A refused request had no effect, so every call may be sent again with a new token.
        response.release_conn()
        self._login(base)
        return self._request(method, base, path, stream=stream, **options)

    def _login(self, base: str) -> _Token:
        """Fetch a token for an address, and keep it; raises ``Failure``."""
        token = self._tokens[base] = _Token(id_token(base, self._choice), monotonic())
        return token

    def _unreachable(self, base: str, error: HTTPError) -> Unreachable:
        cause = error.reason if isinstance(error, MaxRetryError) else error
        why = "refuses connections" if isinstance(cause, NewConnectionError) else "did not answer"
        return Unreachable(f"{base} {why}. {self.target.start_hint}")

    def _error(self, answer: Answer, path: str) -> Failure:
        try:
            error = msgspec.json.decode(answer.body, type=ErrorAnswer).error
        except msgspec.MsgspecError:
            # The platform refuses a token in words of its own; so does a network's login page.
            if answer.status == 401 or (answer.status == 403 and not answer.known):
                return self._refused(answer.status)
            if answer.status in _TRANSIENT or answer.known:
                return Unreachable(f"{self.target.name} answers {answer.status}. Try again later.")
            return Failure(
                f"{path} is answered {answer.status} without a reason: the address is not that of"
                f" the function. {self.target.start_hint}"
            )
        message = error.message or error.code
        if answer.status == 503:
            return Unreachable(
                f"{message} Try again in {answer.headers.get('Retry-After', '5')} s."
            )
        wait = answer.headers.get("Retry-After")
        return ApiError(
            f"{message} Try again in {wait} s." if wait else message,
            status=answer.status,
            code=error.code,
            details=error.details or {},
        )

    def _refused(self, status: int) -> Failure:
        if status == 401:
            text = "The token is not accepted: it has expired, or is for another address."
            return Failure(f"{text}\nLog in again: gcloud auth login", ExitCode.NOT_AUTHORIZED)
        environment = self.target.environment
        where = f"infra/{environment.name}.tfvars" if environment else "the deployment's tfvars"
        text = f"You may not call {self.target.name}."
        return Failure(
            f"{text} Add your account to results_callers (submit_callers to submit) in {where},"
            " then run: make deploy",
            ExitCode.NOT_AUTHORIZED,
        )


def _retries(base: str, *, repeatable: bool) -> urllib3.Retry:
    if not repeatable:
        return urllib3.Retry(0, raise_on_status=False)
    # A local server that does not accept connections is not running.
    return urllib3.Retry(
        3,
        connect=0 if is_loopback(base) else 3,
        backoff_factor=0.5,
        status_forcelist=_TRANSIENT,
        allowed_methods=None,
        raise_on_status=False,
        retry_after_max=MAX_RETRY_AFTER_S,
    )


def open_api(choice: Choice) -> Api:
    """Return the client of the chosen pipeline; raises ``Failure``."""
    return Api(find_target(choice), choice)
