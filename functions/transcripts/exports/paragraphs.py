"""Paragraphs: what one speaker says without being interrupted, for documents."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from transcripts.exports.options import SpeakerLabels
from transcripts.exports.transcript import Transcript
from transcripts.exports.wrapping import is_ideographic
from transcripts.tasks.speakers import ShownSpeaker
from transcripts.text import one_line

LONG_CHARACTERS: Final = 700
"""After this many characters a speech continues in a new paragraph, which has its own time."""


class Paragraph(NamedTuple):
    """Consecutive lines of one speaker; ``label`` is the speaker's name where it is shown."""

    start_ms: int
    speaker: ShownSpeaker
    label: str | None
    text: str


def paragraphs(transcript: Transcript, labels: SpeakerLabels | None = None) -> Iterator[Paragraph]:
    """Join consecutive lines of one speaker; lines without text are left out."""
    labels = labels or transcript.options.speakers
    named: ShownSpeaker | None = None
    for start_ms, speaker, texts in _speeches(transcript):
        shown = labels is not SpeakerLabels.NONE and (
            speaker is not named or labels is SpeakerLabels.ALWAYS
        )
        named = speaker
        yield Paragraph(start_ms, speaker, speaker.name if shown else None, _joined(texts))


def _speeches(transcript: Transcript) -> Iterator[tuple[int, ShownSpeaker, list[str]]]:
    start_ms, speaker, size = 0, None, 0
    texts: list[str] = []
    for line in transcript.lines():
        text = one_line(line.text)
        if not text:
            continue
        if speaker is not None and (line.speaker is not speaker or size >= LONG_CHARACTERS):
            yield start_ms, speaker, texts
            texts, size = [], 0
        if not texts:
            start_ms, speaker = line.start_ms, line.speaker
        texts.append(text)
        size += len(text)
    if speaker is not None:
        yield start_ms, speaker, texts


def _joined(texts: list[str]) -> str:
    """Join sentences as their script does: Han and kana without blanks."""
    if len(texts) == 1:
        return texts[0]
    pieces = [texts[0]]
    for before, after in pairwise(texts):
        if not (is_ideographic(before[-1]) and is_ideographic(after[0])):
            pieces.append(" ")
        pieces.append(after)
    return "".join(pieces)
