"""Reading bodies and answering errors, without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.fakes import LogLines
from transcripts.errors import BodyIncomplete, RequestError, StoreUnavailable
from transcripts.web import BodyReader, check_content_type, error_boundary


def a_request(*messages: dict[str, Any], method: str = "POST", **headers: str) -> Request:
    """Return a request whose body has these messages, and then never ends."""
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        if not queue:
            await asyncio.Event().wait()
        return queue.pop(0)

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": method, "path": "/", "headers": pairs}, receive)


def chunk(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


PART = chunk(b"part", more=True)


@pytest.mark.parametrize("value", ["application/json", "Application/JSON; charset=utf-8"])
def test_check_content_type_of_json_passes(value: str) -> None:
    """Parameters of the content type are allowed."""
    check_content_type(a_request(content_type=value))


@pytest.mark.parametrize("value", [None, "", "text/plain", "application/x-www-form-urlencoded"])
def test_check_content_type_of_another_raises_415(value: str | None) -> None:
    """The message names the header to send."""
    headers = {} if value is None else {"content_type": value}
    with pytest.raises(RequestError) as caught:
        check_content_type(a_request(**headers))
    assert caught.value.status == 415
    assert "Content-Type: application/json" in caught.value.message


async def test_work_on_a_complete_body_may_take_longer_than_its_time() -> None:
    """Only reading has a limit."""
    body = await BodyReader(a_request(chunk(b"{}")), 10, 0.01).read()
    await asyncio.sleep(0.05)
    assert body == b"{}"


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([PART, {"type": "http.disconnect"}], "body_incomplete"),
        ([PART, PART], "body_too_large"),
    ],
)
async def test_read_of_a_body_that_ends_early_or_late_raises(
    messages: list[dict[str, Any]], code: str
) -> None:
    """The announced length is no reason to trust it."""
    with pytest.raises(RequestError) as caught:
        await BodyReader(a_request(*messages), 7).read()
    assert caught.value.code == code


async def test_read_of_a_stalled_body_raises_and_keeps_the_task_usable() -> None:
    """The task can be awaited and cancelled again afterwards."""
    reader = BodyReader(a_request(PART), 10, 0.02)
    with pytest.raises(BodyIncomplete) as caught:
        await reader.read()
    assert (caught.value.code, caught.value.status) == ("body_timeout", 408)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await BodyReader(a_request(chunk(b"body")), 10).read() == b"body"


async def test_read_cancelled_by_another_stays_cancelled() -> None:
    """Only the reader's own time limit becomes an answer."""
    reading = asyncio.ensure_future(BodyReader(a_request(PART), 10, 60.0).read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_error_boundary_logs_an_unexpected_error_with_its_stack() -> None:
    """The answer is 503, without the exception's message."""
    lines = LogLines()

    @error_boundary(lines.log)
    async def handler(_request: Request) -> Response:
        raise KeyError("Ada Example")

    answer = await handler(a_request())
    assert answer.status_code == 503
    assert b"Ada" not in bytes(answer.body)
    (event,) = lines.named("unexpected_error")
    assert (event["severity"], event["stack"][0]) == ("ERROR", "KeyError")


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
