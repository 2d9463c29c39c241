"""JSON as WhisperX writes it, for the tools that read it; times are seconds."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from transcripts.exports.transcript import Transcript
from transcripts.text import encodable


class _Segment(msgspec.Struct, frozen=True, gc=False):
    start: float
    end: float
    text: str
    speaker: str


def write(transcript: Transcript) -> Iterator[str]:
    """Write a segment at a time."""
    encode = msgspec.json.Encoder().encode
    before = '{"segments":[\n'
    for line in transcript.lines():
        segment = _Segment(
            line.start_ms / 1000, line.end_ms / 1000, encodable(line.text), line.speaker.name
        )
        yield before + encode(segment).decode()
        before = ",\n"
    yield '{"segments":[]}\n' if before[0] == "{" else "\n]}\n"
