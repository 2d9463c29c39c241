"""Log lines."""

from __future__ import annotations

import asyncio
from contextvars import copy_context

import msgspec

from tests.fakes import LogLines
from transcripts import VERSION
from transcripts.errors import StoreUnavailable
from transcripts.logs import Log, begin_request, bind

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"


def test_line_is_one_json_object() -> None:
    """A line has severity, message, time and fields."""
    lines = LogLines("callback")
    lines.log.info("published", task_id="t")
    lines.log.warning("rejected")
    lines.log.error("lost")
    assert lines.raw[0].endswith(b"}\n")
    assert lines.raw[0].count(b"\n") == 1
    assert lines.events[0] == {
        "severity": "INFO",
        "message": "published",
        "time": "2026-01-02T03:04:05.678901Z",
        "function": "callback",
        "version": VERSION,
        "task_id": "t",
        "logging.googleapis.com/labels": {"task_id": "t"},
    }
    assert [event["severity"] for event in lines.events] == ["INFO", "WARNING", "ERROR"]


def test_unexpected_error_shows_its_stack_without_its_message() -> None:
    """A parser's exception may quote the transcript."""
    lines = LogLines()
    try:
        try:
            raise ValueError("Ada said hello")  # noqa: TRY301 - the stack is the subject
        except ValueError as cause:
            raise KeyError("Ada Example") from cause
    except KeyError as error:
        lines.log.unexpected("unexpected_error", error)
    text = lines.raw[0].decode()
    assert "Ada" not in text
    stack = lines.events[0]["stack"]
    assert stack[0] == "KeyError"
    assert "ValueError" in stack
    assert any("test_logs.py" in line for line in stack)


def test_unexpected_transcripts_error_keeps_its_message() -> None:
    """The message holds no content, and an operator needs it."""
    lines = LogLines()
    lines.log.unexpected("a", StoreUnavailable("Try again.", explanation="UNAVAILABLE"))
    assert lines.events[0]["stack"][0] == "StoreUnavailable: Try again. UNAVAILABLE"


def test_unexpected_os_error_shows_its_code_only() -> None:
    """The message may hold a file name, which may be a person's name."""
    lines = LogLines()
    lines.log.unexpected("a", FileNotFoundError(2, "No such file", "/data/Ada Example.mp4"))
    lines.log.unexpected("b", OSError("Ada Example"))
    assert lines.events[0]["stack"][0] == "FileNotFoundError: ENOENT"
    assert lines.events[1]["stack"][0] == "OSError"
    assert b"Ada" not in b"".join(lines.raw)


def test_line_that_cannot_be_written_raises_nothing() -> None:
    """A closed standard output must not fail a request."""

    def write(_line: bytes) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    Log("callback", write, project="p").info("published")


def test_line_with_a_field_that_cannot_be_encoded_is_written_without_its_fields() -> None:
    """A lone surrogate has no UTF-8."""
    lines = LogLines()
    lines.log.warning("rejected", reason="\ud83d")
    (event,) = lines.events
    assert (event["message"], event["severity"]) == ("rejected", "WARNING")
    assert event["fields_not_encoded"] == "UnicodeEncodeError"
    assert "reason" not in event


def test_line_in_a_request_has_its_trace_and_span() -> None:
    """Cloud Logging shows the line below the request that it belongs to."""
    raw: list[bytes] = []

    def request() -> None:
        begin_request({"traceparent": f"00-{TRACE}-{SPAN}-01"})
        Log("callback", raw.append, project="p").info("published")

    copy_context().run(request)
    event = msgspec.json.decode(raw[0])
    assert event["logging.googleapis.com/trace"] == f"projects/p/traces/{TRACE}"
    assert event["logging.googleapis.com/spanId"] == SPAN


def test_bound_ids_are_in_every_later_line_of_the_request_only() -> None:
    """A line that only tells of an error still says which task it is about."""
    lines = LogLines()

    async def request(task_id: str) -> None:
        begin_request({})
        lines.log.warning("transient_error")
        bind(task_id=task_id, submission_id=None)
        await asyncio.create_task(asyncio.to_thread(lines.log.warning, "transient_error"))

    async def both() -> None:
        await asyncio.gather(request("a"), request("b"))

    asyncio.run(both())
    assert [event.get("task_id") for event in lines.events] == [None, None, "a", "b"]
    labels = [event.get("logging.googleapis.com/labels") for event in lines.events]
    assert labels == [None, None, {"task_id": "a"}, {"task_id": "b"}]
