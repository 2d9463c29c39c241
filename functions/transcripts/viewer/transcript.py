"""The page of a transcript: its blocks of paragraphs, and when each speaker speaks. Pure.

The timeline is collected while the lines are written, so its lanes come after the lines on the
page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, Literal, NamedTuple
from unicodedata import bidirectional

from transcripts.exports.paragraphs import LONG_CHARACTERS
from transcripts.exports.transcript import Transcript, milliseconds
from transcripts.tasks.speakers import ShownSpeaker
from transcripts.text import one_line
from transcripts.viewer.export_menu import export_menu
from transcripts.viewer.renaming import current_names, named_by

BLOCK_LINES: Final = 50
"""A browser lays out a block only when it comes near the view (``content-visibility``)."""

MAX_QUERY_CHARS: Final = 200

STEP_REM: Final = 40
MAX_HEIGHT: Final = 8
PARAGRAPH_REM: Final = 2.9
ROW_REM: Final = 1.75
ROW_CHARACTERS: Final = 85
"""The height of a block on a wide screen, for the scroll bar: the stylesheet has a class for each
step. A browser replaces the estimate by the height itself when it has laid out the block."""

COLUMNS: Final = 400
LEVELS: Final = 5
"""Heights of a column: how much of its time the speaker speaks."""

SHORT_COLUMN_MS: Final = 3_000
"""In a shorter column somebody speaks or does not: there is no room for more than a line."""

LINK_COLUMNS: Final = 10
"""Columns of a link to the first line that starts or goes on there."""

COLORS: Final = 8

MERGE_CHOICES: Final = 30
"""With more speakers, the names to merge with are not listed beside every speaker."""

MAX_LANES: Final = 8
MAX_HITS: Final = 200
"""So many lines with a match are listed as links; all are counted."""

Direction = Literal["ltr", "rtl"]


class ShownLine(NamedTuple):
    """A segment: its number from 1, its times, and its text cut at the matches of the search.

    Of ``parts``, every second one is a match. ``direction`` is None for a text without letters.
    """

    number: int
    start_ms: int
    end_ms: int
    direction: Direction | None
    parts: list[str]


class ShownParagraph(NamedTuple):
    """Consecutive lines of one speaker; ``is_first`` tells the first paragraph of the speaker."""

    speaker: ShownSpeaker
    is_first: bool
    lines: list[ShownLine]

    @property
    def direction(self) -> Direction:
        """Return the direction of the first line that has one: name and text start on its side."""
        return next((line.direction for line in self.lines if line.direction), "ltr")


def direction_of(text: str) -> Direction | None:
    """Return the direction of the first letter that has one.

    Browsers do the same for ``dir="auto"`` (https://www.unicode.org/reports/tr9/#P2).
    """
    if text.isascii():
        return "ltr" if any(map(str.isalpha, text)) else None
    classes = map(bidirectional, text)
    found = next((each for each in classes if each in ("L", "R", "AL")), None)
    return None if found is None else "ltr" if found == "L" else "rtl"


class Search:
    """Finds a text regardless of case."""

    def __init__(self, query: str) -> None:
        """A blank query finds nothing."""
        self.query = one_line(query)[:MAX_QUERY_CHARS]
        self._split = (
            re.compile(f"({re.escape(self.query)})", re.IGNORECASE).split if self.query else None
        )

    def parts(self, text: str) -> list[str]:
        """Cut a text at its matches; every second part is a match."""
        return self._split(text) if self._split else [text]


def shown_paragraphs(transcript: Transcript, search: Search) -> Iterator[ShownParagraph]:
    """Group lines by speaker as the exports do; lines without text are left out."""
    met: set[str] = set()
    speaker: ShownSpeaker | None = None
    lines: list[ShownLine] = []
    size = 0
    for number, line in enumerate(transcript.lines(), 1):
        text = one_line(line.text)
        if not text:
            continue
        if speaker is not None and (line.speaker is not speaker or size >= LONG_CHARACTERS):
            yield ShownParagraph(speaker, speaker.id not in met, lines)
            met.add(speaker.id)
            lines, size = [], 0
        speaker = line.speaker
        lines.append(
            ShownLine(number, line.start_ms, line.end_ms, direction_of(text), search.parts(text))
        )
        size += len(text)
    if speaker is not None:
        yield ShownParagraph(speaker, speaker.id not in met, lines)


class Block(NamedTuple):
    """Some paragraphs; ``height`` is about that of the block, in steps of ``STEP_REM``."""

    paragraphs: list[ShownParagraph]
    height: int

    @property
    def times(self) -> str:
        """Start and end of each line in milliseconds: one attribute instead of two for each."""
        return " ".join(
            f"{line.start_ms} {line.end_ms}"
            for paragraph in self.paragraphs
            for line in paragraph.lines
        )


def blocks(
    paragraphs: Iterable[ShownParagraph], passed: Callable[[ShownParagraph], None]
) -> Iterator[Block]:
    """Group paragraphs into blocks, and give each paragraph to ``passed`` on its way."""
    block: list[ShownParagraph] = []
    size = 0
    for paragraph in paragraphs:
        passed(paragraph)
        block.append(paragraph)
        size += len(paragraph.lines)
        if size >= BLOCK_LINES:
            yield Block(block, _height(block))
            block, size = [], 0
    if block:
        yield Block(block, _height(block))


def _height(block: Sequence[ShownParagraph]) -> int:
    rows = sum(
        1 + sum(map(len, line.parts)) // ROW_CHARACTERS
        for paragraph in block
        for line in paragraph.lines
    )
    estimate_rem = len(block) * PARAGRAPH_REM + rows * ROW_REM
    return min(max(round(estimate_rem / STEP_REM), 1), MAX_HEIGHT)


class Link(NamedTuple):
    """A part of a lane that leads to a line, in columns."""

    column: int
    width: int
    number: int


class Lane(NamedTuple):
    """When a speaker speaks, and how much of each column's time.

    ``path`` is the outline in an SVG of ``COLUMNS`` by ``2 * LEVELS``. ``speaker`` is None for all
    speakers without a lane of their own.
    """

    speaker: ShownSpeaker | None
    path: str
    links: list[Link]


class Hit(NamedTuple):
    """A line with a match of the search."""

    number: int
    start_ms: int
    column: int


class _Columns:
    """What a lane collects: for each column the time that is spoken, and the first line."""

    def __init__(self) -> None:
        self.spoken_ms = [0.0] * COLUMNS
        self.first_line = [0] * COLUMNS

    def path(self, column_ms: float) -> str:
        """Return the outline of the columns, one shape for all columns of one height in a row."""
        levels = [
            math.ceil(spoken_ms / column_ms * LEVELS) if column_ms >= SHORT_COLUMN_MS else LEVELS
            for spoken_ms in self.spoken_ms
        ]
        # A line of no length is seen too, and lines at the same time are not higher than the lane.
        heights = [
            2 * min(max(level, 1), LEVELS) if line else 0
            for level, line in zip(levels, self.first_line, strict=True)
        ]
        shapes: list[str] = []
        column = 0
        for height, run in groupby(heights):
            width = len(list(run))
            if height:
                shapes.append(f"M{column} {2 * LEVELS}v-{height}h{width}v{height}z")
            column += width
        return "".join(shapes)

    def links(self) -> list[Link]:
        """Return the links, each over the columns in which somebody speaks."""
        found: list[Link] = []
        for start in range(0, COLUMNS, LINK_COLUMNS):
            spoken = [
                column
                for column in range(start, min(start + LINK_COLUMNS, COLUMNS))
                if self.first_line[column]
            ]
            if spoken:
                width = spoken[-1] - spoken[0] + 1
                found.append(Link(spoken[0], width, self.first_line[spoken[0]]))
        return found


class Timeline:
    """Collects when each speaker speaks, and the lines that a search matches."""

    def __init__(self, speakers: Sequence[ShownSpeaker], duration_s: float) -> None:
        """Speakers who speak longest have lanes of their own."""
        longest = sorted(speakers, key=lambda speaker: -speaker.talk_time_s)[:MAX_LANES]
        self._lanes = {each.id: each for each in speakers if each in longest}
        self._column_ms = max(milliseconds(duration_s), 1) / COLUMNS
        self._columns: dict[str, _Columns] = {}
        self.hit_count = 0
        self.hits: list[Hit] = []

    def add(self, paragraph: ShownParagraph) -> None:
        """Take a paragraph; paragraphs are in the order of their start."""
        lane = paragraph.speaker.id if paragraph.speaker.id in self._lanes else ""
        columns = self._columns.setdefault(lane, _Columns())
        for line in paragraph.lines:
            first = self._column(line.start_ms)
            last = max(first, self._column(line.end_ms - 1))
            for column in range(first, last + 1):
                start = max(line.start_ms, column * self._column_ms)
                end = min(line.end_ms, (column + 1) * self._column_ms)
                columns.spoken_ms[column] += max(end - start, 0)
                columns.first_line[column] = columns.first_line[column] or line.number
            if len(line.parts) > 1:
                self.hit_count += 1
                if len(self.hits) < MAX_HITS:
                    self.hits.append(Hit(line.number, line.start_ms, first))

    def lanes(self) -> list[Lane]:
        """Return the lanes of what was added, in the order of the speakers."""
        shown: list[tuple[str, ShownSpeaker | None]] = [*self._lanes.items()]
        if "" in self._columns:
            shown.append(("", None))
        lanes: list[Lane] = []
        for lane, speaker in shown:
            columns = self._columns.get(lane, _Columns())
            lanes.append(Lane(speaker, columns.path(self._column_ms), columns.links()))
        return lanes

    def _column(self, moment_ms: int) -> int:
        return min(max(int(moment_ms / self._column_ms), 0), COLUMNS - 1)


def transcript_values(transcript: Transcript, search: Search) -> dict[str, Any]:
    """Return what the template shows of a transcript.

    The segments are read while the template writes the blocks, and the timeline is filled then.
    """
    task, speakers = transcript.task, transcript.speakers
    timeline = Timeline(speakers.listed, task.duration_s)
    colors = {each.id: index % COLORS + 1 for index, each in enumerate(speakers.listed)}
    speaker_ids: dict[str, list[str]] = {}
    for each in task.speakers:
        speaker_ids.setdefault(speakers.of(each.id).id, []).append(each.id)
    by = named_by(task)
    return {
        "speakers": speakers.listed,
        "color": lambda speaker: colors.get(speaker.id, 0) if speaker else 0,
        "speaker_ids": speaker_ids,
        "named": current_names(task),
        "authors": {
            speaker_id: list(dict.fromkeys(by[each] for each in ids if each in by))
            for speaker_id, ids in speaker_ids.items()
        },
        "merge_choices": len(speakers.listed) <= MERGE_CHOICES,
        "blocks": blocks(shown_paragraphs(transcript, search), timeline.add),
        "timeline": timeline,
        "columns": COLUMNS,
        "lane_height": 2 * LEVELS,
        "menu": export_menu(),
        "query": search.query,
    }
