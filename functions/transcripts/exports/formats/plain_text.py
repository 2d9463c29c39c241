"""Plain text: a paragraph for each speech, with its time and the speaker's name."""

from __future__ import annotations

from collections.abc import Iterator

from transcripts.exports.paragraphs import paragraphs
from transcripts.exports.transcript import Transcript, clock_seconds


def write(transcript: Transcript) -> Iterator[str]:
    """Write a paragraph at a time, with a blank line between two."""
    for paragraph in paragraphs(transcript):
        name = f"{paragraph.label}: " if paragraph.label else ""
        yield f"[{clock_seconds(paragraph.start_ms)}] {name}{paragraph.text}\n\n"
