"""The transcript as JSON in the words of the results API, with people's names for speakers.

Times and text are as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from transcripts.exports.transcript import Transcript
from transcripts.tasks.task import Task
from transcripts.text import encodable

FACTS: Final = (
    "task_id",
    "revision",
    "submission_id",
    "asset_id",
    "source",
    "labels",
    "received_at",
    "duration_s",
    "speech_s",
    "segment_count",
    "word_count",
    "character_count",
)
"""The task's fields that identify the transcript, and its sums."""


class _Segment(msgspec.Struct, frozen=True, gc=False):
    start_s: float
    end_s: float
    speaker: str
    speaker_name: str
    text: str


def write(transcript: Transcript) -> Iterator[str]:
    """Write the head and then a segment at a time; a segment names its speaker and the id."""
    encode = msgspec.json.Encoder().encode
    head = _facts(transcript.task) | {"speakers": transcript.speakers.listed}
    yield encode(head).decode()[:-1] + ',"segments":['
    before = "\n"
    for segment in transcript.segments:
        speaker = transcript.speakers.of(segment.speaker)
        written = _Segment(
            segment.start_s, segment.end_s, speaker.id, speaker.name, encodable(segment.text)
        )
        yield before + encode(written).decode()
        before = ",\n"
    yield "\n]}\n"


def _facts(task: Task) -> dict[str, object]:
    return {name: getattr(task, name) for name in FACTS}
