"""Tab-separated values as Whisper writes them, with a column for the speaker.

Times are whole milliseconds; a cell has neither tabs nor line breaks.
"""

from __future__ import annotations

from collections.abc import Iterator

from transcripts.exports.transcript import Transcript
from transcripts.text import one_line


def write(transcript: Transcript) -> Iterator[str]:
    """Write a row at a time."""
    yield "start\tend\tspeaker\ttext\n"
    for line in transcript.lines():
        yield f"{line.start_ms}\t{line.end_ms}\t{line.speaker.name}\t{one_line(line.text)}\n"
