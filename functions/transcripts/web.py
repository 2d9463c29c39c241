"""What every entry file needs of HTTP: bounded reading, errors as answers, one outer guard."""

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
    TranscriptsError,
    TransientError,
)
from transcripts.logs import Log

Handler = Callable[[Request], Awaitable[Response]]

JSON: Final = "application/json"

BODY_TIMEOUT_S: Final = 120.0
"""A body that is not complete after this many seconds is given up."""


def json_answer(status: int, content: object, headers: Mapping[str, str] | None = None) -> Response:
    """Answer ``status`` with ``content`` as JSON."""
    return Response(msgspec.json.encode(content), status, dict(headers or {}), JSON)


def error_answer(error: TranscriptsError, *, code_only: bool = False) -> Response:
    """Answer an error in the one shape of section 4 of the contract.

    ``code_only`` is for the public function, which never says more than the code.
    """
    content: dict[str, object] = {"code": error.code}
    if not code_only:
        content |= {"message": error.message, "details": error.details}
    headers: dict[str, str] = {}
    retry_after_s = error.retry_after_s
    if retry_after_s is None and error.status == 503:
        retry_after_s = 5
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if isinstance(error, BodyTooLarge | BodyIncomplete):
        # What is left of the body must not be taken for the next request.
        headers["Connection"] = "close"
    return json_answer(error.status, {"error": content}, headers)


def error_boundary(log: Log, *, code_only: bool = False) -> Callable[[Handler], Handler]:
    """Decorate an entry: every error of ours becomes its answer, every other one a logged 503.

    Without it the framework would answer 500 and log the path, which for the public function holds
    the token.
    """

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def guard(request: Request) -> Response:
            try:
                return await handler(request)
            except TranscriptsError as error:
                if isinstance(error, TransientError):
                    # Who is answered comes again and tells nobody why.
                    log.warning("defer", code=error.code, reason=error.message)
                return error_answer(error, code_only=code_only)
            except Exception as error:  # noqa: BLE001 - the outermost guard
                log.unexpected("unexpected_error", error)
                internal = TranscriptsError("An unexpected error was logged; try again.")
                return error_answer(internal, code_only=code_only)

        return guard

    return decorate


def header(request: Request, name: bytes) -> str | None:
    """Return the first header of that lower-case name: starlette's way costs five times as much."""
    for key, value in request.scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


class BodyWatch:
    """Gives bodies up that do not arrive within ``timeout_s``.

    One timer looks after all requests: ``asyncio.timeout`` starts one for each, which takes longer
    than reading a usual body.
    """

    def __init__(self, timeout_s: float) -> None:
        """Take the seconds a body may take."""
        self._timeout_s = timeout_s
        self._since: dict[asyncio.Task[Any], float] = {}
        self.given_up: set[asyncio.Task[Any]] = set()
        """The tasks that were cancelled for taking too long."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> asyncio.Task[Any]:
        """Watch over the running task until ``end``; it is cancelled if that takes too long."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be watched over")
        self._since[task] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s / 4, self._look, loop)
        return task

    def end(self, task: asyncio.Task[Any]) -> None:
        """Stop watching."""
        del self._since[task]
        if task in self.given_up:
            self.given_up.remove(task)
            task.uncancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        latest = loop.time() - self._timeout_s
        for task, since in self._since.items():
            if since <= latest and task not in self.given_up:
                self.given_up.add(task)
                task.cancel()
        self._timer = None
        if self._since:
            self._timer = loop.call_later(self._timeout_s / 4, self._look, loop)


WATCH: Final = BodyWatch(BODY_TIMEOUT_S)


class BodyReader:
    """Reads one request's body without ever holding more than ``limit_bytes`` of it."""

    def __init__(self, request: Request, limit_bytes: int, watch: BodyWatch = WATCH) -> None:
        """Refuse by its announced length, before reading, a body over ``limit_bytes``."""
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

    async def read(self, up_to_bytes: int | None = None) -> bytes:
        """Read until the body is complete, or ``up_to_bytes`` are passed.

        Returns all that was read so far; ``complete`` tells whether it is the whole. Raises
        ``BodyTooLarge`` as soon as the limit is passed, ``BodyIncomplete`` when the client hangs up
        or stalls, and ``BodyNotReceived``.
        """
        task = self._watch.begin()
        try:
            while not self.complete:
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
                if up_to_bytes is not None and self._size > up_to_bytes:
                    break
        except asyncio.CancelledError:
            if task not in self._watch.given_up:
                raise
            raise BodyIncomplete(
                "The body did not arrive in time.", code="body_timeout", status=408
            ) from None
        finally:
            self._watch.end(task)
        if self.complete and not self._size and header(self._request, b"upgrade") is not None:
            raise BodyNotReceived("The server drops the body of a request that wants an upgrade.")
        if len(self._chunks) > 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0] if self._chunks else b""
