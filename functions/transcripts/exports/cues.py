"""Subtitles: the cues of a transcript, split and timed for reading.

A cue has two lines of ``max_chars`` columns and is shown for 5/6 to 7 seconds
(https://partnerhelp.netflixstudios.com/hc/en-us/articles/217350977). Words are never dropped to
meet a reading speed. The length of names has no influence: a rename changes no time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

from transcripts.exports.options import SpeakerLabels
from transcripts.exports.transcript import MAX_MS, Transcript
from transcripts.exports.wrapping import NOT_FIRST, Ruler, wrap
from transcripts.tasks.speakers import ShownSpeaker
from transcripts.text import one_line, right_to_left

MIN_MS: Final = 833
MAX_CUE_MS: Final = 7000

LABEL_COLUMNS: Final = 16
"""Room that is left for a name and its colon. A longer name may need a third line."""

_SLOW_COLUMNS: Final = 12
"""Text is not split into parts shorter than this only because it is spoken slowly."""

# Group 1 or 2 is the end of a sentence; without a group it is that of a clause.
_PAUSE: Final = re.compile(r"(?:([.!?…؟।۔])|[,;:،؛—–])(?=[\"'”’»)\]]* )|([。！？])|[、，；：]")


class Cue(NamedTuple):
    """Text, in one line, that is shown from ``start_ms`` to ``end_ms``."""

    start_ms: int
    end_ms: int
    speaker: ShownSpeaker
    text: str


def cues(transcript: Transcript, *, labelled: bool) -> Iterator[Cue]:
    """Yield the cues of a transcript in the order of their starts; an empty segment has none.

    ``labelled`` leaves room for names, where the options ask for them. Cues overlap in two cases:
    segments overlap, or a segment has less than a millisecond for each of its cues and no room
    before the next segment.
    """
    options = transcript.options
    columns = options.max_chars
    short = columns
    if labelled and options.speakers is not SpeakerLabels.NONE:
        short -= LABEL_COLUMNS
    always = options.speakers is SpeakerLabels.ALWAYS
    waiting: list[tuple[int, int, Cue]] = []
    count = 0
    for spoken in _spoken(transcript):
        start_ms, end_ms, speaker, text, next_ms = spoken
        ruler = Ruler(text)
        fits = ruler.two_lines_end(0, short, columns) >= ruler.size
        if MIN_MS <= end_ms - start_ms <= MAX_CUE_MS and fits:
            timed = [Cue(start_ms, end_ms, speaker, text)]
        else:
            # A speaker who is interrupted is named again.
            rest = short if always or next_ms < end_ms else columns
            parts = _split(ruler, end_ms - start_ms, short, rest, columns)
            timed = _timed(spoken, ruler, parts)
        if not waiting and timed[-1].start_ms <= next_ms:
            yield from timed
            continue
        for cue in timed:
            count += 1
            heappush(waiting, (cue.start_ms, count, cue))
        while waiting and waiting[0][0] <= next_ms:
            yield heappop(waiting)[2]
    while waiting:
        yield heappop(waiting)[2]


_Spoken = tuple[int, int, ShownSpeaker, str, int]
"""Start, end, speaker and text of a segment, and the start of the next; none starts before."""


def _spoken(transcript: Transcript) -> Iterator[_Spoken]:
    """Yield the segments that have text."""
    held: tuple[int, int, ShownSpeaker, str] | None = None
    begin_ms = 0
    for start_ms, end_ms, speaker, raw in transcript.lines():
        text = one_line(raw)
        if not text:
            continue
        # WebVTT has to be in order; stored segments are.
        begin_ms = max(start_ms, begin_ms)
        if held is not None:
            yield (*held, begin_ms)
        held = (begin_ms, max(begin_ms, end_ms), speaker, text)
    if held is not None:
        yield (*held, MAX_MS * 2)


def _split(
    ruler: Ruler, length_ms: int, first: int, rest: int, columns: int
) -> list[tuple[int, int]]:
    """Return the parts of a text that each fit a cue, whose first lines are that wide."""
    size = ruler.size
    total = ruler.columns(0, size) or 1
    parts: list[tuple[int, int]] = []
    start = 0
    while True:
        left = ruler.columns(start, size)
        count = 1
        if length_ms > MAX_CUE_MS:
            by_time = -(-length_ms * left // (MAX_CUE_MS * total))
            count = min(by_time, left // _SLOW_COLUMNS)
        fits = ruler.two_lines_end(start, first, columns)
        if fits >= size and count <= 1:
            parts.append((start, size))
            return parts
        count = max(2, count, -(-left // (columns + first)))
        end = _end_near(ruler, start, left / count, fits)
        parts.append((start, end))
        start, first = ruler.next_line(end), rest
        if start >= size:
            return parts


def _end_near(ruler: Ruler, start: int, columns: float, latest: int) -> int:
    """Return a good end near ``columns``: of a sentence, of a clause, of a word."""
    low, wanted = ruler.reach(start, columns * 0.6), ruler.reach(start, columns)
    high = min(latest, ruler.reach(start, columns * 1.4))
    sentence = clause = -1
    for match in _PAUSE.finditer(ruler.text, low, high):
        at = match.end()
        if match.lastindex is None:
            if clause < 0 or abs(at - wanted) < abs(clause - wanted):
                clause = at
        elif sentence < 0 or abs(at - wanted) < abs(sentence - wanted):
            sentence = at
    end = sentence if sentence > 0 else clause
    if end > 0:
        while end < latest and ruler.text[end] in NOT_FIRST:
            end += 1
        return end
    found_end = ruler.last_break(start, min(wanted, latest))
    if found_end is None or found_end < low:
        found_end = ruler.last_break(start, high)
    return latest if found_end is None else found_end


def _timed(spoken: _Spoken, ruler: Ruler, parts: list[tuple[int, int]]) -> list[Cue]:
    """Give each part its share of the time, and enough to be read where there is room."""
    count = len(parts)
    start_ms, end_ms, speaker, text, next_ms = spoken
    if end_ms - start_ms < count * MIN_MS:
        end_ms = max(end_ms, min(start_ms + count * MIN_MS, next_ms))
        if end_ms - start_ms < count:
            end_ms = start_ms + count * MIN_MS
    length_ms = end_ms - start_ms
    shortest_ms = min(MIN_MS, length_ms // count)
    total = ruler.columns(0, ruler.size) or 1
    timed: list[Cue] = []
    begin_ms = start_ms
    for later, (start, end) in zip(range(count - 1, -1, -1), parts, strict=True):
        after_ms = start_ms + length_ms * ruler.columns(0, end) // total
        after_ms = max(after_ms, begin_ms + shortest_ms)
        after_ms = min(after_ms, end_ms - shortest_ms * later) if later else end_ms
        shown_ms = min(after_ms, begin_ms + MAX_CUE_MS)
        timed.append(Cue(begin_ms, shown_ms, speaker, text[start:end]))
        begin_ms = after_ms
    return timed


def with_names(transcript: Transcript) -> Iterator[tuple[Cue, str]]:
    """Yield each cue and its text, with the speaker's name where the options ask for it.

    A name that is written in the other direction than the text has a line of its own: players take
    the direction of a line from its first letter, and would put the text's punctuation wrong.
    """
    labels = transcript.options.speakers
    columns = transcript.options.max_chars
    named: ShownSpeaker | None = None
    for cue in cues(transcript, labelled=True):
        speaker, text = cue.speaker, cue.text
        if labels is SpeakerLabels.NONE or (speaker is named and labels is SpeakerLabels.CHANGE):
            yield cue, wrap(text, columns)
            continue
        named = speaker
        if right_to_left(speaker.name) is right_to_left(text):
            yield cue, wrap(f"{speaker.name}: {text}", columns)
        else:
            yield cue, f"{wrap(speaker.name, columns)}:\n{wrap(text, columns)}"
