"""JSON of Podcasting 2.0, for podcast players.

https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/examples/transcripts/transcripts.md
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from transcripts.exports.transcript import Transcript
from transcripts.text import one_line


class _Segment(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    speaker: str
    start_time: float
    end_time: float
    body: str


def write(transcript: Transcript) -> Iterator[str]:
    """Write a segment at a time; players would show a segment without text, so it is left out."""
    encode = msgspec.json.Encoder().encode
    yield '{"version":"1.0.0","segments":['
    before = "\n"
    for line in transcript.lines():
        body = one_line(line.text)
        if not body:
            continue
        segment = _Segment(line.speaker.name, line.start_ms / 1000, line.end_ms / 1000, body)
        yield before + encode(segment).decode()
        before = ",\n"
    yield "\n]}\n"
