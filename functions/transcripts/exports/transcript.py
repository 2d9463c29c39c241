"""The transcript that every format is written from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from transcripts.exports.options import Options
from transcripts.exports.times import milliseconds
from transcripts.tasks.speakers import ShownSpeaker, ShownSpeakers
from transcripts.tasks.task import Segment, Task
from transcripts.text import one_line
from transcripts.uploads.formats import without_extension


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
