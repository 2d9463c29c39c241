"""Structured logs: one JSON object a line on standard output, as Cloud Logging reads it.

``message`` is a constant event name; what varies is in fields. A log line never holds text,
names, tokens or keys; ``log_events`` lists every event. So an unexpected exception is logged by its
type and stack. Only the message of a ``TranscriptsError`` is logged: a parser's exception may quote
the input, and one of the operating system may name a file.

Cloud Logging shows every line below the request that it belongs to, by the request's trace
(https://cloud.google.com/run/docs/logging#correlate-logs); see ``traces``. ``bind`` adds the ids of
the task and of the submission to every later line of a request, also to those that only tell of an
error.

The standard ``logging`` module takes about four times as long a record, which matters in the
callback's hot path. Other libraries still log through ``logging``.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from transcripts import VERSION, traces
from transcripts.errors import TranscriptsError

MAX_STACK_LINES: Final = 100

IDS: Final = ("task_id", "submission_id")
"""The fields that are labels too: Cloud Logging finds the lines of one task by them."""

_encode = msgspec.json.Encoder().encode


def utc_now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """Write ``moment`` (UTC) with microseconds and a ``Z``; every time is written like this."""
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


_ids: ContextVar[dict[str, object] | None] = ContextVar("ids", default=None)
"""What the lines of one request have in common, beside its trace."""


def begin_request(headers: Mapping[str, str]) -> None:
    """Let the lines that follow in this context belong to a new request, by its trace."""
    traces.begin(headers)
    _ids.set({})


def bind(**ids: str | None) -> None:
    """Add ids of ``IDS`` to every line that follows in this request; None adds nothing."""
    known = _ids.get()
    if known is not None:
        known.update((name, value) for name, value in ids.items() if value)


class Log:
    """Writes the events of one function."""

    def __init__(
        self,
        function: str,
        write: Callable[[bytes], object] = partial(os.write, 1),
        clock: Callable[[], datetime] = utc_now,
        *,
        project: str,
    ) -> None:
        """``write`` is given one whole line, in bytes; ``project`` has the traces."""
        self._function = function
        self._traces = f"projects/{project}/traces/"
        self._write = write
        self._clock = clock

    def info(self, event: str, **fields: object) -> None:
        """Log a normal event."""
        self._line("INFO", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log what an operator may want to look at."""
        self._line("WARNING", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Log what an operator has to look at."""
        self._line("ERROR", event, fields)

    def unexpected(self, event: str, error: BaseException, **fields: object) -> None:
        """Log an unexpected ``error`` with its stack, and that of its causes."""
        chain: list[str] = []
        cause: BaseException | None = error
        while cause is not None and len(chain) < MAX_STACK_LINES:
            chain.append(_described(cause))
            frames = traceback.extract_tb(cause.__traceback__)
            chain.extend(f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
            cause = cause.__cause__ or cause.__context__
        self._line("ERROR", event, {**fields, "stack": chain})

    def _line(self, severity: str, event: str, fields: dict[str, object]) -> None:
        """Write one line; raises nothing, because a closed output must not fail a request."""
        head: dict[str, object] = {
            "severity": severity,
            "message": event,
            "time": self._clock(),
            "function": self._function,
            "version": VERSION,
        }
        if context := traces.traceparent():
            _, trace, span, _ = context.split("-")
            head["logging.googleapis.com/trace"] = self._traces + trace
            head["logging.googleapis.com/spanId"] = span
        if ids := _ids.get():
            fields = {**ids, **fields}
        labels = {name: fields[name] for name in IDS if fields.get(name)}
        if labels:
            head["logging.googleapis.com/labels"] = labels
        try:
            line = _encode({**head, **fields})
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            line = _encode({**head, "fields_not_encoded": type(error).__qualname__})
        with suppress(OSError):
            self._write(line + b"\n")


def _described(error: BaseException) -> str:
    name = type(error).__qualname__
    if isinstance(error, TranscriptsError):
        return f"{name}: {error.log_text}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{name}: {errno.errorcode.get(error.errno, error.errno)}"
    return name
