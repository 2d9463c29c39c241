"""SubRip subtitles, for nearly every player.

Times have a decimal comma, cues are numbered from 1. There is no way to escape text: ``-->``, which
separates the times, is written ``->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from transcripts.exports.cues import with_names
from transcripts.exports.times import clock
from transcripts.exports.transcript import Transcript

_ARROW: Final = re.compile("-{2,}>")


def write(transcript: Transcript) -> Iterator[str]:
    """Write a cue at a time, with the speaker's name where it changes unless asked otherwise."""
    for number, (cue, text) in enumerate(with_names(transcript), 1):
        start, end = clock(cue.start_ms, ","), clock(cue.end_ms, ",")
        shown = _ARROW.sub("->", text) if "-->" in text else text
        yield f"{number}\n{start} --> {end}\n{shown}\n\n"
