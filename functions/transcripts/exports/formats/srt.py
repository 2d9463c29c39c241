r"""SubRip subtitles, for nearly every player.

Times have a decimal comma, cues are numbered from 1. SRT has no way to escape text, so what players
take for something else is written so that they show it:

* ``-->``, which separates the times, as ``->``
* ``<…>``, which players and editors hide as a tag, with single guillemets
* ``{…}``, which libass (mpv, VLC) hides as a change of style, with parentheses
* ``\N``, ``\n`` and ``\h``, where libass breaks lines, with an unseen word joiner inside, as ffmpeg
  writes them (https://github.com/FFmpeg/FFmpeg/blob/n7.0/libavcodec/ass.c)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from transcripts.exports.cues import with_names
from transcripts.exports.transcript import Transcript, clock

_SUSPECT: Final = re.compile(r"-->|<|\{|\\[Nnh]")
_ARROW: Final = re.compile("-{2,}>")
_HIDDEN: Final = (
    (re.compile("<.*>", re.DOTALL), str.maketrans("<>", "\u2039\u203a")),
    (re.compile(r"\{.*\}", re.DOTALL), str.maketrans("{}", "()")),
)
_BREAK: Final = re.compile(r"\\(?=[Nnh])")


def write(transcript: Transcript) -> Iterator[str]:
    """Write a cue at a time, with the speaker's name where it changes unless asked otherwise."""
    for number, (cue, text) in enumerate(with_names(transcript), 1):
        start, end = clock(cue.start_ms, ","), clock(cue.end_ms, ",")
        shown = _unhidden(text) if _SUSPECT.search(text) else text
        yield f"{number}\n{start} --> {end}\n{shown}\n\n"


def _unhidden(text: str) -> str:
    text = _ARROW.sub("->", text)
    for hidden, shown in _HIDDEN:
        if hidden.search(text):
            text = text.translate(shown)
    return _BREAK.sub("\\\\\u2060", text)
