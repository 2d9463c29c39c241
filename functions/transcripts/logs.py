"""Structured logs: one JSON object a line on standard output, as Cloud Logging reads it.

``message`` is a constant event name; what varies is in fields. A log line never holds text,
names, tokens or keys. That is why an unexpected exception is logged by its type and stack, and its
own words only where they are known to hold none of these: an exception raised deep in a parser may
quote the input.

The standard ``logging`` module costs about 10 µs a record against 2 µs here, which counts in the
callback's hot path; other libraries' records still go the standard way.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from transcripts.errors import TranscriptsError

MAX_STACK_LINES: Final = 100

_encode = msgspec.json.Encoder().encode


def utc_now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """Write ``moment`` (UTC) with microseconds and a ``Z``, the way every field of ours has it."""
    if moment.microsecond:
        # Ten times as fast as isoformat, but leaves out what is zero.
        text: str = msgspec.to_builtins(moment)
        return text
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


class Log:
    """Writes the events of one function."""

    def __init__(
        self,
        function: str,
        write: Callable[[bytes], object] = partial(os.write, 1),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Name the function; ``write`` takes one whole line, in bytes."""
        self._function = function
        self._write = write
        self._clock = clock

    def info(self, event: str, **fields: object) -> None:
        """Log what went as it should."""
        self._line("INFO", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log what somebody may want to look at."""
        self._line("WARNING", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Log what somebody has to look at."""
        self._line("ERROR", event, fields)

    def unexpected(self, event: str, error: BaseException, **fields: object) -> None:
        """Log an unexpected ``error`` with its stack, and that of its causes."""
        chain: list[str] = []
        cause: BaseException | None = error
        while cause is not None and len(chain) < MAX_STACK_LINES:
            words = str(cause) if isinstance(cause, TranscriptsError | OSError) else ""
            chain.append(
                f"{type(cause).__qualname__}: {words}" if words else type(cause).__qualname__
            )
            frames = traceback.extract_tb(cause.__traceback__)
            chain.extend(f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
            cause = cause.__cause__ or cause.__context__
        self._line("ERROR", event, {**fields, "stack": chain})

    def _line(self, severity: str, event: str, fields: dict[str, object]) -> None:
        record = {
            "severity": severity,
            "message": event,
            "time": self._clock(),
            "function": self._function,
            **fields,
        }
        self._write(_encode(record) + b"\n")
