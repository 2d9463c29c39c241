"""HTTP for every entry file: bounded reading, errors as answers, one outer guard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

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
from transcripts.logs import Log

Handler = Callable[[Request], Awaitable[Response]]

JSON: Final = "application/json"

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
    log: Log, *, method: str | None = None, code_only: bool = False
) -> Callable[[Handler], Handler]:
    """Decorate an entry: turn each error into its answer, and an unexpected one into a logged 503.

    ``method`` is the only HTTP method that the entry answers, if it is given. Without this
    decorator the framework would answer 500 and log the path, which may hold a token.
    """

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def guard(request: Request) -> Response:
            try:
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


def header(request: Request, name: bytes) -> str | None:
    """Return the first header of that lower-case name: starlette's way costs five times as much."""
    for key, value in request.scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


class BodyWatch:
    """Cancels the reading of bodies that do not arrive within ``timeout_s``.

    One timer serves all requests: ``asyncio.timeout`` starts one for each, which takes longer than
    reading a usual body.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._started: dict[asyncio.Task[Any], float] = {}
        self.expired: set[asyncio.Task[Any]] = set()
        """The tasks that were cancelled for taking too long."""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> asyncio.Task[Any]:
        """Watch the running task until ``stop``; it is cancelled if reading takes too long."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be watched")
        self._started[task] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s / 4, self._check, loop)
        return task

    def stop(self, task: asyncio.Task[Any]) -> None:
        """Stop watching."""
        del self._started[task]
        if task in self.expired:
            self.expired.remove(task)
            task.uncancel()

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        latest = loop.time() - self._timeout_s
        for task, started in self._started.items():
            if started <= latest and task not in self.expired:
                self.expired.add(task)
                task.cancel()
        self._timer = None
        if self._started:
            self._timer = loop.call_later(self._timeout_s / 4, self._check, loop)


WATCH: Final = BodyWatch(BODY_TIMEOUT_S)


class BodyReader:
    """Reads one request's body without ever holding more than ``limit_bytes`` of it."""

    def __init__(self, request: Request, limit_bytes: int, watch: BodyWatch = WATCH) -> None:
        """Raise ``BodyTooLarge`` if the announced length is over ``limit_bytes``."""
        # The HTTP server has already refused a length that is no number.
        announced = header(request, b"content-length")
        if announced is not None and int(announced) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        self._request = request
        self._receive = request.receive
        self._limit = limit_bytes
        self._watch = watch
        self._chunks: list[bytes] = []
        self._size = 0
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
        task = self._watch.start()
        try:
            while not self.complete and (size is None or self._size <= size):
                message = await self._receive()
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
        except asyncio.CancelledError:
            if task not in self._watch.expired:
                raise
            raise BodyIncomplete(
                "The body did not arrive in time.", code="body_timeout", status=408
            ) from None
        finally:
            self._watch.stop(task)
        if self.complete and not self._size and header(self._request, b"upgrade") is not None:
            raise BodyNotReceived("The server drops the body of a request that wants an upgrade.")

    def take(self) -> bytes:
        """Return what was read and keep no reference to it: the caller decides when it is freed."""
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
