"""Text that MAXQDA imports as a transcript with speakers and times.

A paragraph is ``hh:mm:ss.tName: text``, and a blank line follows it
(https://wiki.e-curators.org/index.php/Transcription). Nothing separates time and name, so a name
that begins with a digit is written ``Speaker 2 …``, and a colon in a name ``-``.
"""

from __future__ import annotations

from collections.abc import Iterator

from transcripts.exports.options import SpeakerLabels
from transcripts.exports.paragraphs import paragraphs
from transcripts.exports.transcript import Transcript, clock


def write(transcript: Transcript) -> Iterator[str]:
    """Write a paragraph at a time; each names its speaker, by which MAXQDA codes it."""
    names: dict[str, str] = {}
    for paragraph in paragraphs(transcript, SpeakerLabels.ALWAYS):
        speaker = paragraph.speaker
        name = names.get(speaker.id)
        if name is None:
            name = names[speaker.id] = _name(speaker.name)
        # The first five of six digits: tenths, cut so that no word is before its time.
        yield f"{clock(paragraph.start_ms, '.')[:-2]}{name}: {paragraph.text}\n\n"


def _name(name: str) -> str:
    name = name.replace(":", "-")
    return f"Speaker {name}" if name[0].isdigit() else name
