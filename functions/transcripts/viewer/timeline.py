"""When each speaker speaks, as lanes of parts; every part leads to a line. Pure.

The parts are collected while the lines are written, so the lanes come after the lines on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from transcripts.exports.times import milliseconds
from transcripts.tasks.speakers import ShownSpeaker
from transcripts.viewer.paragraphs import ShownParagraph

COLUMNS: Final = 400
LONGEST_PART: Final = 12
"""Columns of a part: a long speech has several, so a click leads near its place."""

MAX_LANES: Final = 8
MAX_HITS: Final = 200
"""So many lines with a match are listed as links; all are counted."""


class Part(NamedTuple):
    """A part of a lane, in columns; ``number`` is that of its first line."""

    column: int
    width: int
    number: int
    start_ms: int


class Lane(NamedTuple):
    """When a speaker speaks. ``speaker`` is None for all speakers without a lane of their own."""

    speaker: ShownSpeaker | None
    parts: list[Part]


class Hit(NamedTuple):
    """A line with a match of the search."""

    number: int
    start_ms: int
    column: int


class Timeline:
    """Collects the parts of the lanes, and the lines that a search matches."""

    def __init__(self, speakers: Sequence[ShownSpeaker], duration_s: float) -> None:
        """Speakers who speak longest have lanes of their own."""
        longest = sorted(speakers, key=lambda speaker: -speaker.talk_time_s)[:MAX_LANES]
        self._lanes = {each.id: each for each in speakers if each in longest}
        self._duration_ms = max(milliseconds(duration_s), 1)
        self._columns: dict[str, dict[int, tuple[int, int]]] = {}
        self.hit_count = 0
        self.hits: list[Hit] = []

    def add(self, paragraph: ShownParagraph) -> None:
        """Take a paragraph; paragraphs are in the order of their start."""
        lane = paragraph.speaker.id if paragraph.speaker.id in self._lanes else ""
        columns = self._columns.setdefault(lane, {})
        for line in paragraph.lines:
            first = self._column(line.start_ms)
            last = max(first, self._column(line.end_ms - 1))
            for column in range(first, last + 1):
                columns.setdefault(column, (line.number, line.start_ms))
            if len(line.parts) > 1:
                self.hit_count += 1
                if len(self.hits) < MAX_HITS:
                    self.hits.append(Hit(line.number, line.start_ms, first))

    def lanes(self) -> list[Lane]:
        """Return the lanes of what was added, in the order of the speakers."""
        shown = [Lane(each, self._parts(each.id)) for each in self._lanes.values()]
        others = self._parts("")
        return [*shown, Lane(None, others)] if others else shown

    def _column(self, moment_ms: int) -> int:
        return min(max(moment_ms, 0) * COLUMNS // self._duration_ms, COLUMNS - 1)

    def _parts(self, lane: str) -> list[Part]:
        parts: list[Part] = []
        for column, (number, start_ms) in sorted(self._columns.get(lane, {}).items()):
            last = parts[-1] if parts else None
            if last and last.column + last.width == column and last.width < LONGEST_PART:
                parts[-1] = last._replace(width=last.width + 1)
            else:
                parts.append(Part(column, 1, number, start_ms))
        return parts
