"""RTTM: who speaks when, for diarization tools.

Fields are separated by single blanks, so speakers are written by id (``s1``): tools split names at
blanks (https://github.com/NVIDIA/NeMo/issues/8100). Display names do not appear; two of the
provider's names with one display name share one id.
"""

from __future__ import annotations

from collections.abc import Iterator

from transcripts.exports.transcript import Transcript, decimal_seconds


def write(transcript: Transcript) -> Iterator[str]:
    """Write a segment at a time: onset and duration in seconds."""
    file = transcript.task.task_id
    for line in transcript.lines():
        onset = decimal_seconds(line.start_ms)
        duration = decimal_seconds(line.end_ms - line.start_ms)
        yield f"SPEAKER {file} 1 {onset} {duration} <NA> <NA> {line.speaker.id} <NA> <NA>\n"
