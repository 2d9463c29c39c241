"""HTTP for every entry file: bounded reading, errors as answers, one outer guard."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import wraps
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from transcripts.errors import (
    BodyIncomplete,
    BodyNotReceived,
    BodyTooLarge,
    ErrorAnswer,
    ErrorContent,
    RequestError,
    TranscriptsError,
    TransientError,
)
from transcripts.logs import Log, begin_request

Handler = Callable[[Request], Awaitable[Response]]

JSON: Final = "application/json"

_PORT: Final = re.compile(r":\d+$")

BODY_TIMEOUT_S: Final = 120.0
"""The server stops reading a body that is not complete after this many seconds."""


def json_answer(status: int, content: object, headers: Mapping[str, str] | None = None) -> Response:
    """Answer ``status`` with ``content`` as JSON."""
    return Response(msgspec.json.encode(content), status, dict(headers or {}), JSON)


def error_answer(error: TranscriptsError, *, code_only: bool = False) -> Response:
    """Answer an error in the one shape of section 4 of the contract.

    ``code_only`` is for the public function, which never says more than the code.
    """
    content = (
        ErrorContent(error.code)
        if code_only
        else ErrorContent(error.code, error.message, error.details)
    )
    headers: dict[str, str] = {}
    retry_after_s = error.retry_after_s
    if retry_after_s is None and error.status == 503:
        retry_after_s = 5
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if isinstance(error, BodyTooLarge | BodyIncomplete):
        # The rest of the body must not be read as the next request.
        headers["Connection"] = "close"
    return json_answer(error.status, ErrorAnswer(content), headers)


def error_boundary(
    log: Log,
    *,
    method: str | None = None,
    hosts: Collection[str] = (),
    code_only: bool = False,
) -> Callable[[Handler], Handler]:
    """Decorate an entry: turn each error into its answer, and an unexpected one into a logged 503.

    ``method`` is the only HTTP method that the entry answers, and ``hosts`` are the only ones that
    a request may name, if they are given. Without this
    decorator the framework would answer 500 and log the path, which may hold a token.
    """

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def guard(request: Request) -> Response:
            begin_request(request.headers)
            try:
                if hosts:
                    require_host(request, hosts)
                if method is not None:
                    require_method(request, method)
                return await handler(request)
            except TranscriptsError as error:
                if isinstance(error, TransientError):
                    # The caller retries, and only this log tells why.
                    log.warning("transient_error", code=error.code, reason=error.log_text)
                return error_answer(error, code_only=code_only)
            except Exception as error:  # noqa: BLE001 - the outermost boundary
                log.unexpected("unexpected_error", error)
                internal = TranscriptsError("An unexpected error was logged; try again.")
                return error_answer(internal, code_only=code_only)

        return guard

    return decorate


def require_method(request: Request, method: str) -> None:
    """Raise ``RequestError`` (405) unless the request has this method."""
    if request.method != method:
        raise RequestError(f"{method} only.", code="method_not_allowed", status=405)


def require_host(request: Request, hosts: Collection[str]) -> None:
    """Raise ``RequestError`` (421) unless the request names one of these hosts, with any port.

    A site could let a name of its own lead to this machine (https://en.wikipedia.org/wiki/
    DNS_rebinding).
    """
    if _PORT.sub("", request.headers.get("host", "")) not in hosts:
        message = f"Use an address of {' or '.join(sorted(hosts))}."
        raise RequestError(message, code="wrong_host", status=421)


def check_content_type(request: Request) -> None:
    """Raise ``RequestError`` (415) unless the request says that it is JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise RequestError(
            "Send JSON, with the header Content-Type: application/json.",
            code="unsupported_media_type",
            status=415,
        )


class BodyReader:
    """Reads one request's body without ever holding more than ``limit_bytes`` of it."""

    def __init__(
        self, request: Request, limit_bytes: int, timeout_s: float = BODY_TIMEOUT_S
    ) -> None:
        """Raise ``BodyTooLarge`` if the announced length is over ``limit_bytes``."""
        # The HTTP server has already refused a length that is no number.
        announced = request.headers.get("content-length")
        if announced is not None and int(announced) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        self._request = request
        self._receive = request.receive
        self._limit = limit_bytes
        self._timeout_s = timeout_s
        self._chunks: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stalled = False
        self.complete = False

    async def read(self) -> bytes:
        """Return the whole body; raises what ``read_until`` raises."""
        await self.read_until(None)
        return self.take()

    async def read_until(self, size: int | None) -> None:
        """Read until the body is complete, or more than ``size`` bytes are here.

        ``complete`` tells which of both. Raises ``BodyTooLarge`` as soon as the limit is passed,
        ``BodyIncomplete`` when the client disconnects or stalls, and ``BodyNotReceived``.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise RuntimeError("a body is read in a task")
        # Most bodies are here already: reading one ends before the loop's next turn, and no timer
        # is started. ``asyncio.timeout`` starts one for each, which takes a callback 10 µs more.
        watching = loop.call_soon(self._watch, loop, task)
        try:
            while not self.complete and (size is None or self._size <= size):
                self._take_in(await self._receive())
        except asyncio.CancelledError:
            if not self._stalled or task.uncancel():
                raise
            raise BodyIncomplete(
                "The body did not arrive in time.", code="body_timeout", status=408
            ) from None
        finally:
            watching.cancel()
            if self._timer is not None:
                self._timer.cancel()
        if self.complete and not self._size and "upgrade" in self._request.headers:
            raise BodyNotReceived("The server drops the body of a request that wants an upgrade.")

    def _watch(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        self._timer = loop.call_later(self._timeout_s, self._stall, task)

    def _stall(self, task: asyncio.Task[Any]) -> None:
        self._stalled = True
        task.cancel()

    def _take_in(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            raise BodyIncomplete(
                "The connection ended before the body did.", code="body_incomplete"
            )
        chunk: bytes = message.get("body", b"")
        self._size += len(chunk)
        if self._size > self._limit:
            raise BodyTooLarge(self._limit)
        self._chunks.append(chunk)
        self.complete = not message.get("more_body", False)

    def take(self) -> bytes:
        """Return what was read and keep no reference to it: the caller decides when it is freed."""
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
