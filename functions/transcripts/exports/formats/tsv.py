"""Tab-separated values as Whisper writes them, with a column for the speaker.

Times are whole milliseconds; a cell has neither tabs nor line breaks. A cell that begins with a
quotation mark is quoted as in CSV: pandas and Excel would take its mark for the beginning of a cell
that may go on for rows.
"""

from __future__ import annotations

from collections.abc import Iterator

from transcripts.exports.transcript import Transcript
from transcripts.text import one_line


def write(transcript: Transcript) -> Iterator[str]:
    """Write a row at a time."""
    yield "start\tend\tspeaker\ttext\n"
    for line in transcript.lines():
        name, text = _cell(line.speaker.name), _cell(one_line(line.text))
        yield f"{line.start_ms}\t{line.end_ms}\t{name}\t{text}\n"


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if text.startswith('"') else text
