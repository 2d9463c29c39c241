"""Bodies that take too long, and the errors that the outer guard logs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.fakes import LogLines
from transcripts.errors import (
    BodyIncomplete,
    BodyTooLarge,
    RequestError,
    RetryLater,
    StoreUnavailable,
    TranscriptsError,
)
from transcripts.web import BodyReader, BodyWatch, error_boundary


def a_request(messages: Sequence[dict[str, Any]], **headers: str) -> Request:
    """Return a request whose body has these messages, and then never ends."""
    left = list(messages)

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop(0)
        await asyncio.Event().wait()
        raise AssertionError("nothing ends this wait but a cancellation")

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": pairs}, receive)


WHOLE = {"type": "http.request", "body": b"body", "more_body": False}
PART = {"type": "http.request", "body": b"part", "more_body": True}
GONE = {"type": "http.disconnect"}


async def test_read_of_a_whole_body_stops_its_watch() -> None:
    """The handler may run longer than the limit after the body is read."""
    watch = BodyWatch(0.04)
    assert await BodyReader(a_request([WHOLE]), 100, watch).read() == b"body"
    await asyncio.sleep(0.2)
    assert watch.expired == set()


@pytest.mark.parametrize(
    ("messages", "error"), [([PART, GONE], BodyIncomplete), ([PART, PART], BodyTooLarge)]
)
async def test_read_that_fails_stops_its_watch(
    messages: list[dict[str, Any]], error: type[TranscriptsError]
) -> None:
    """Handling the error may take longer than the limit."""
    watch = BodyWatch(0.04)
    with pytest.raises(error):
        await BodyReader(a_request(messages), 7, watch).read()
    await asyncio.sleep(0.2)
    assert watch.expired == set()


async def test_read_of_a_stalled_body_raises_and_its_task_continues() -> None:
    """The cancellation of the task is undone."""
    watch = BodyWatch(0.04)
    with pytest.raises(BodyIncomplete) as caught:
        await BodyReader(a_request([PART]), 100, watch).read()
    assert (caught.value.code, caught.value.status) == ("body_timeout", 408)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0.2)
    assert watch.expired == set()
    assert await BodyReader(a_request([WHOLE]), 100, watch).read() == b"body"


async def test_watch_cancels_only_the_late_body() -> None:
    """One timer serves all bodies."""
    watch = BodyWatch(0.2)
    early = asyncio.ensure_future(BodyReader(a_request([PART]), 100, watch).read())
    await asyncio.sleep(0.12)
    late = asyncio.ensure_future(BodyReader(a_request([PART]), 100, watch).read())
    with pytest.raises(BodyIncomplete):
        await early
    assert not late.done()
    with pytest.raises(BodyIncomplete):
        await late


async def test_read_cancelled_by_another_stays_cancelled() -> None:
    """Only the watch's own cancellation becomes an answer."""
    reading = asyncio.ensure_future(BodyReader(a_request([PART]), 100, BodyWatch(60.0)).read())
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def answered(error: Exception) -> tuple[Response, LogLines]:
    """Let a guarded entry raise ``error``, and return its answer and its log."""
    lines = LogLines()

    @error_boundary(lines.log)
    async def entry(_: Request) -> Response:
        raise error

    return await entry(a_request([])), lines


@pytest.mark.parametrize("error", [StoreUnavailable("no store"), RetryLater("on its way")])
async def test_boundary_logs_a_transient_error(error: TranscriptsError) -> None:
    """The caller retries, and only the log tells why."""
    response, lines = await answered(error)
    assert response.status_code == error.status
    (event,) = lines.events
    assert (event["severity"], event["message"]) == ("WARNING", "transient_error")
    assert (event["code"], event["reason"]) == (error.code, error.message)


async def test_boundary_logs_no_permanent_error() -> None:
    """The caller gets the message."""
    response, lines = await answered(RequestError("no such thing", status=404))
    assert response.status_code == 404
    assert lines.events == []


async def test_boundary_logs_an_unexpected_error_with_its_stack() -> None:
    """The answer is 503, without the exception's message."""
    response, lines = await answered(KeyError("Ada Example"))
    assert response.status_code == 503
    assert b"Ada" not in bytes(response.body)
    (event,) = lines.events
    assert (event["severity"], event["message"]) == ("ERROR", "unexpected_error")
    assert event["stack"][0] == "KeyError"


async def test_watch_of_a_slow_and_a_new_body_expires_the_slow_one() -> None:
    """One timer serves all requests, and each has its own time."""
    watch = BodyWatch(0.2)
    slow = asyncio.ensure_future(BodyReader(a_request([PART]), 100, watch).read())
    await asyncio.sleep(0.15)
    assert not slow.done()
    new = asyncio.ensure_future(BodyReader(a_request([PART]), 100, watch).read())
    await asyncio.wait({slow, new}, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert (slow.done(), new.done()) == (True, False)
    new.cancel()
    await asyncio.wait({slow, new})
    assert slow.exception() is not None
