"""WebVTT subtitles, for browsers and Apple Podcasts (https://www.w3.org/TR/webvtt1/).

Every cue names its speaker (``<v Name>``), since a voice ends with its cue.
"""

from __future__ import annotations

from collections.abc import Iterator

from transcripts.exports.cues import cues
from transcripts.exports.options import SpeakerLabels
from transcripts.exports.transcript import Transcript, clock
from transcripts.exports.wrapping import wrap
from transcripts.text import xml_text


def write(transcript: Transcript) -> Iterator[str]:
    """Write a cue at a time; ``speakers`` ``change`` and ``always`` mean the same here."""
    columns = transcript.options.max_chars
    voices: dict[str, str] = {}
    named = transcript.options.speakers is not SpeakerLabels.NONE
    yield "WEBVTT\n"
    for cue in cues(transcript, labelled=False):
        text = xml_text(wrap(cue.text, columns))
        if named:
            name = cue.speaker.name
            voice = voices.get(name)
            if voice is None:
                # "-->" may stand nowhere in a cue; the parser removes the blank.
                end = " >" if name.endswith("--") else ">"
                voice = voices[name] = f"<v {xml_text(name)}{end}"
            text = voice + text
        yield f"\n{clock(cue.start_ms, '.')} --> {clock(cue.end_ms, '.')}\n{text}\n"
