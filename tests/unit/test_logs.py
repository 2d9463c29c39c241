"""Log lines."""

from __future__ import annotations

from tests.fakes import LogLines
from transcripts.errors import StoreUnavailable


def test_a_line_is_what_cloud_logging_reads() -> None:
    """One JSON object, with severity, message and time; fields beside them."""
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
        "task_id": "t",
    }
    assert [event["severity"] for event in lines.events] == ["INFO", "WARNING", "ERROR"]


def test_an_unexpected_error_shows_its_stack_but_not_its_words() -> None:
    """A parser's exception may quote what somebody said."""
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


def test_our_own_errors_and_the_systems_keep_their_words() -> None:
    """They hold no content, and an operator needs them."""
    lines = LogLines()
    lines.log.unexpected("a", StoreUnavailable("Firestore: UNAVAILABLE"))
    lines.log.unexpected("b", ConnectionRefusedError(111, "Connection refused"))
    assert lines.events[0]["stack"][0] == "StoreUnavailable: Firestore: UNAVAILABLE"
    assert "Connection refused" in lines.events[1]["stack"][0]
