"""Reading bodies and answering errors, without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.fakes import LogLines
from transcripts.errors import BodyIncomplete, RequestError, StoreUnavailable
from transcripts.web import BodyReader, BodyWatch, error_boundary


def a_request(*messages: dict[str, Any], method: str = "POST") -> Request:
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        if not queue:
            await asyncio.Event().wait()
        return queue.pop(0)

    return Request({"type": "http", "method": method, "path": "/", "headers": []}, receive)


def chunk(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_watch_after_a_complete_body_cancels_nothing() -> None:
    """Only reading has a limit; the handler's work on the body may take longer."""
    watch = BodyWatch(0.05)
    body = await BodyReader(a_request(chunk(b"{}")), 10, watch).read()
    # Longer than several looks of the watch.
    await asyncio.sleep(0.2)
    assert body == b"{}"
    assert watch.expired == set()


async def test_read_of_a_stalled_body_raises_and_keeps_the_task_usable() -> None:
    """The task can be awaited and cancelled again afterwards."""
    watch = BodyWatch(0.05)
    reader = BodyReader(a_request(chunk(b"{", more=True)), 10, watch)
    with pytest.raises(BodyIncomplete) as caught:
        await reader.read()
    assert (caught.value.code, caught.value.status) == ("body_timeout", 408)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert watch.expired == set()


async def test_take_releases_the_body() -> None:
    """The reader keeps no reference to 32 MiB that the caller has released."""
    reader = BodyReader(a_request(chunk(b"a", more=True), chunk(b"b")), 10)
    await reader.read_until(None)
    assert (reader.take(), reader.take()) == (b"ab", b"")


async def test_error_boundary_logs_a_transient_error() -> None:
    """The caller retries, and only the log tells why."""
    lines = LogLines()

    @error_boundary(lines.log)
    async def handler(_request: Request) -> Response:
        raise StoreUnavailable("Firestore: UNAVAILABLE")

    answer = await handler(a_request())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    (event,) = lines.named("transient_error")
    assert (event["severity"], event["code"], event["reason"]) == (
        "WARNING",
        "store_unavailable",
        "Firestore: UNAVAILABLE",
    )


async def test_error_boundary_does_not_log_a_permanent_error() -> None:
    """The caller gets the message and can act on it."""
    lines = LogLines()

    @error_boundary(lines.log)
    async def handler(_request: Request) -> Response:
        raise RequestError("Send JSON.", code="invalid_json")

    assert (await handler(a_request())).status_code == 400
    assert lines.raw == []


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
async def test_error_boundary_with_a_method_refuses_the_others(method: str) -> None:
    """The handler does not run for another method."""

    @error_boundary(LogLines().log, method="POST")
    async def handler(_request: Request) -> Response:
        raise AssertionError("not to be run")

    assert (await handler(a_request(method=method))).status_code == 405
