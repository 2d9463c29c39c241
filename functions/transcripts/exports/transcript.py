"""The transcript that every format is written from, and its times as formats write them.

All times are made from whole milliseconds, so all formats agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from transcripts.exports.options import Options
from transcripts.tasks.speakers import ShownSpeaker, ShownSpeakers
from transcripts.tasks.task import Segment, Task
from transcripts.text import one_line
from transcripts.uploads.formats import without_extension

MAX_MS: Final = 10**12
"""Thirty years, as in results. A larger time is cut."""


class Line(NamedTuple):
    """A segment with its times in whole milliseconds, not reversed, and its speaker."""

    start_ms: int
    end_ms: int
    speaker: ShownSpeaker
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """A task, its speakers as people name them, its segments (to be read once), the options."""

    task: Task
    speakers: ShownSpeakers
    segments: Iterable[Segment]
    options: Options

    def lines(self) -> Iterator[Line]:
        """Read the segments; one with reversed times has no length."""
        of = self.speakers.of
        for segment in self.segments:
            start_ms = milliseconds(segment.start_s)
            end_ms = milliseconds(segment.end_s)
            yield Line(start_ms, max(start_ms, end_ms), of(segment.speaker), segment.text)


def title(task: Task) -> str:
    """Return what people call the transcript: the file's name without its extension, else an id."""
    name = ""
    if task.source is not None:
        name = one_line(without_extension(task.source.uri.rpartition("/")[2]))
    return name or task.asset_id or task.task_id


def milliseconds(seconds: float) -> int:
    """Return seconds in whole milliseconds, rounded once; 0 if the value is no time."""
    total = seconds * 1000 + 0.5
    if 0.0 <= total <= MAX_MS:
        return int(total)
    # NaN compares as false.
    return MAX_MS if total > 0.0 else 0


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> str:
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:"


_SECONDS: Final = tuple(f"{second:02d}" for second in range(60))
_FRACTIONS: Final = tuple(f"{fraction:03d}" for fraction in range(1000))


def clock(milliseconds_: int, point: str) -> str:
    """Return ``hh:mm:ss.fff``, with more digits from 100 hours on."""
    # Twice for each cue: with divmod and format specifications it takes four times as long.
    minutes = milliseconds_ // 60_000
    rest = milliseconds_ - minutes * 60_000
    second = rest // 1000
    return f"{_minute(minutes)}{_SECONDS[second]}{point}{_FRACTIONS[rest - second * 1000]}"


def clock_seconds(milliseconds_: int) -> str:
    """Return ``hh:mm:ss``, the whole seconds that have passed."""
    minutes, second = divmod(milliseconds_ // 1000, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}"


def decimal_seconds(milliseconds_: int) -> str:
    """Return seconds with three decimals, never with an exponent."""
    seconds, fraction = divmod(milliseconds_, 1000)
    return f"{seconds}.{fraction:03d}"
