"""Structured logs: one JSON object a line on standard output, as Cloud Logging reads it.

``message`` is a constant event name; what varies is in fields. A log line never holds text,
names, tokens or keys. So an unexpected exception is logged by its type and stack. Only the message
of a ``TranscriptsError`` is logged: a parser's exception may quote the input, and one of the
operating system may name a file.

The standard ``logging`` module takes about 10 µs a record against 2 µs here, which matters in the
callback's hot path. Other libraries still log through ``logging``.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from transcripts.errors import TranscriptsError

MAX_STACK_LINES: Final = 100

_encode = msgspec.json.Encoder().encode


def utc_now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """Write ``moment`` (UTC) with microseconds and a ``Z``; every time is written like this."""
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


class Log:
    """Writes the events of one function."""

    def __init__(
        self,
        function: str,
        write: Callable[[bytes], object] = partial(os.write, 1),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """``write`` is given one whole line, in bytes."""
        self._function = function
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
        head = {
            "severity": severity,
            "message": event,
            "time": self._clock(),
            "function": self._function,
        }
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
