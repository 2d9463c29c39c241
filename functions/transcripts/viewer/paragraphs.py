"""A transcript as the page shows it: blocks of paragraphs, of which each is one speaker's. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from transcripts.exports.paragraphs import LONG_CHARACTERS
from transcripts.exports.transcript import Transcript
from transcripts.tasks.speakers import ShownSpeaker
from transcripts.text import one_line

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


class ShownLine(NamedTuple):
    """A segment: its number from 1, its times, and its text cut at the matches of the search.

    Of ``parts``, every second one is a match.
    """

    number: int
    start_ms: int
    end_ms: int
    parts: list[str]


class ShownParagraph(NamedTuple):
    """Consecutive lines of one speaker; ``is_first`` tells the first paragraph of the speaker."""

    speaker: ShownSpeaker
    is_first: bool
    lines: list[ShownLine]


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
        lines.append(ShownLine(number, line.start_ms, line.end_ms, search.parts(text)))
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
