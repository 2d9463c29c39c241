"""Speakers: which names are one person, how much each says, and who is shown as one speaker.

The provider joins segments, faces and people's own names for speakers by display name only, and one
name may come with other blanks, in another Unicode normal form, or with characters that no reader
sees. ``name_key`` is the one rule for all of them. ``sum_up`` numbers the speakers of a result.
``shown_speakers`` decides who is one speaker for people, wherever speakers leave the database.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from unicodedata import normalize

import msgspec

from transcripts.tasks.task import Face, Segment, Speaker, SpeakerName, Task
from transcripts.tasks.values import Anomalies, cut
from transcripts.tasks.word_count import count_words
from transcripts.text import UNSEEN, one_line, trim

UNKNOWN_SPEAKER: Final = "Unknown"
"""The name of a speaker without one."""

_REMOVED: Final = re.compile(f"[{UNSEEN}]+")


def name_key(name: str) -> str:
    """Return what equal names have in common, "" for a name of nothing that can be seen.

    The key is in normal form C, with single blanks, and without byte-order marks, zero-width spaces
    and direction marks. Case, hyphens, and ZWJ and ZWNJ inside of a name make a difference. The key
    of a key is itself.
    """
    if not name.isascii():
        name = normalize("NFC", _REMOVED.sub("", name))
    return trim(" ".join(name.split()))


MAX_SPEAKERS: Final = 500
MAX_TEXT_BYTES: Final = 200_000
"""Bounds that keep everything but the segments under 450 KB together, and a segment under a page:
20,000 speakers, or a text of 5 MB, would otherwise make a paid result impossible to store."""

Row = tuple[float, float, str, str, int]
"""Start and end in seconds, the speaker's name, the text, the provider's index."""


class Spoken(NamedTuple):
    """The speakers and their segments, and the sums over all speakers."""

    segments: list[Segment]
    speakers: list[Speaker]
    speech_s: float
    word_count: int
    character_count: int


@dataclass(slots=True)
class _SpeakerTotals:
    """The running sums of one speaker, who has spoken until ``until_s``."""

    id: str
    name: str
    first_start_s: float
    until_s: float
    segment_count: int = 0
    word_count: int = 0
    talk_time_s: float = 0.0


class _Speakers:
    """The speakers in the order of their first word, found by any spelling of their names."""

    def __init__(self, anomalies: Anomalies) -> None:
        self.by_key: dict[str, _SpeakerTotals] = {}
        self.by_spelling: dict[str, _SpeakerTotals] = {}
        self._anomalies = anomalies

    def add(self, spelling: str, start_s: float, index: int) -> _SpeakerTotals:
        """Find or number the speaker of a spelling that ``by_spelling`` does not have."""
        key = name_key(spelling)
        found = self.by_key.get(key)
        if found is None and len(self.by_key) >= MAX_SPEAKERS:
            self._anomalies.add("too_many_speakers", index)
            key = spelling = UNKNOWN_SPEAKER
            found = self.by_key.get(key)
            if found is not None:
                return found
        if found is None:
            found = _SpeakerTotals(f"s{len(self.by_key) + 1}", spelling, start_s, start_s)
            self.by_key[key] = found
        self.by_spelling[spelling] = found
        return found


def sum_up(rows: Sequence[Row], faces: Sequence[Face], anomalies: Anomalies) -> Spoken:
    """Make the segments and the speakers of ``rows``, which are in the order of their start."""
    speakers = _Speakers(anomalies)
    by_spelling = speakers.by_spelling
    segments: list[Segment] = []
    speech_s = until_s = 0.0
    character_count = 0
    for start, end, spelling, text, index in rows:
        totals = by_spelling.get(spelling) or speakers.add(spelling, start, index)
        totals.segment_count += 1
        if start >= totals.until_s:
            totals.talk_time_s += end - start
            totals.until_s = end
        elif end > totals.until_s:
            totals.talk_time_s += end - totals.until_s
            totals.until_s = end
        if start >= until_s:
            speech_s += end - start
            until_s = end
        elif end > until_s:
            speech_s += end - until_s
            until_s = end
        character_count += len(text)
        totals.word_count += count_words(text)
        if len(text) * 4 <= MAX_TEXT_BYTES:
            segments.append(Segment(start, end, totals.id, text))
            continue
        pieces = [Segment(start, end, totals.id, piece) for piece in _pieces(text)]
        if len(pieces) > 1:
            anomalies.add("split_text", index)
        totals.segment_count += len(pieces) - 1
        segments += pieces
    # A sum of many differences may be wrong in the last digit, but must not exceed its total.
    speech_s = min(round(speech_s, 6), until_s)
    everybody = list(speakers.by_key.values())
    listed = _listed(everybody, faces, speech_s)
    return Spoken(
        segments, listed, speech_s, sum(each.word_count for each in listed), character_count
    )


def _listed(
    everybody: Sequence[_SpeakerTotals], faces: Sequence[Face], speech_s: float
) -> list[Speaker]:
    face_ids: dict[str, list[str]] = {}
    for face in faces:
        if face.id is not None and face.name is not None:
            face_ids.setdefault(name_key(face.name), []).append(face.id)
    total_s = math.fsum(totals.talk_time_s for totals in everybody)
    return [
        Speaker(
            id=totals.id,
            name=totals.name,
            segment_count=totals.segment_count,
            word_count=totals.word_count,
            talk_time_s=min(round(totals.talk_time_s, 6), speech_s),
            share=min(totals.talk_time_s / total_s, 1.0) if total_s else 0.0,
            first_start_s=totals.first_start_s,
            face_ids=face_ids.get(name_key(totals.name), []),
        )
        for totals in everybody
    ]


def _pieces(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        piece = cut(text[at : at + MAX_TEXT_BYTES], MAX_TEXT_BYTES)
        yield piece
        at += len(piece)


class ShownSpeaker(msgspec.Struct, frozen=True):
    """A speaker as people see one: all of Mavi's speakers with one shown name.

    ``id``, ``given_name`` and ``first_start_s`` are those of the first of them; ``name`` is what
    people call the speaker. ``talk_time_s`` counts time in which several segments of the speaker
    overlap once, and ``share`` is its fraction of all speakers' talk times, 0 to 1.
    """

    id: str
    name: str
    given_name: str
    other_given_names: list[str]
    segment_count: int
    word_count: int
    talk_time_s: float
    share: float
    first_start_s: float
    face_ids: list[str]

    @property
    def given_names(self) -> list[str]:
        """Every name that Mavi gave to the speaker."""
        return [self.given_name, *self.other_given_names]


_UNLISTED: Final = ShownSpeaker("s0", UNKNOWN_SPEAKER, UNKNOWN_SPEAKER, [], 0, 0, 0.0, 0.0, 0.0, [])


class ShownSpeakers:
    """The speakers of a transcript, in the order of their first word."""

    def __init__(self, by_id: Mapping[str, ShownSpeaker]) -> None:
        """``by_id`` has the speaker of each of Mavi's ids; several ids may share one."""
        self._by_id = dict(by_id)
        self.listed = list({speaker.id: speaker for speaker in by_id.values()}.values())

    def of(self, speaker_id: str) -> ShownSpeaker:
        """Return the speaker of a segment; one that the task does not list is ``Unknown``."""
        return self._by_id.get(speaker_id, _UNLISTED)


def display_names(speaker_names: Sequence[SpeakerName]) -> dict[str, str]:
    """Return people's names for speakers by the key of the provider's; a blank one is none."""
    shown = ((each.name, one_line(each.display_name)) for each in speaker_names)
    return {name_key(name): display for name, display in shown if name_key(display)}


def _joined(task: Task) -> dict[str, tuple[str, list[Speaker]]]:
    """Return the shown name, and Mavi's speakers that have it, by the key of the name."""
    chosen = display_names(task.speaker_names)
    joined: dict[str, tuple[str, list[Speaker]]] = {}
    for speaker in task.speakers:
        name = chosen.get(name_key(speaker.name)) or one_line(speaker.name)
        key = name_key(name) or UNKNOWN_SPEAKER
        if not name_key(name):
            name = UNKNOWN_SPEAKER
        joined.setdefault(key, (name, []))[1].append(speaker)
    return joined


_ROUNDING_S: Final = 1e-6
"""Stored talk times are rounded to this."""


def needs_segments(task: Task) -> bool:
    """Tell whether ``shown_speakers`` has to see the segments.

    Otherwise nobody is joined, or nobody speaks while another does, or all are one speaker.
    """
    joined = _joined(task)
    if len(joined) in (1, len(task.speakers)):
        return False
    total_s = math.fsum(speaker.talk_time_s for speaker in task.speakers)
    return total_s - task.speech_s > _ROUNDING_S * (len(task.speakers) + 1)


def shown_speakers(task: Task, segments: Iterable[Segment] | None = None) -> ShownSpeakers:
    """Join Mavi's speakers that have one shown name; the first spelling is shown.

    ``segments`` are all segments of ``task``, in order. They are read if ``needs_segments``, and
    without them a talk time is then the longest that is possible.
    """
    joined = _joined(task)
    unions_s: Mapping[str, float] = {}
    if segments is not None and needs_segments(task):
        keys = {part.id: key for key, (_, parts) in joined.items() for part in parts}
        unions_s = _unions_s(segments, keys)
    talk_times_s: dict[str, float] = {}
    for key, (_, parts) in joined.items():
        sum_s = math.fsum(part.talk_time_s for part in parts)
        longest_s = sum_s if len(parts) == 1 else min(sum_s, task.speech_s)
        talk_times_s[key] = round(unions_s.get(key, longest_s), 6)
    total_s = math.fsum(talk_times_s.values())
    by_id: dict[str, ShownSpeaker] = {}
    for key, (name, parts) in joined.items():
        shown = ShownSpeaker(
            id=parts[0].id,
            name=name,
            given_name=parts[0].name,
            other_given_names=[part.name for part in parts[1:]],
            segment_count=sum(part.segment_count for part in parts),
            word_count=sum(part.word_count for part in parts),
            talk_time_s=talk_times_s[key],
            share=min(talk_times_s[key] / total_s, 1.0) if total_s else 0.0,
            first_start_s=min(part.first_start_s for part in parts),
            face_ids=[face for part in parts for face in part.face_ids],
        )
        by_id |= {part.id: shown for part in parts}
    return ShownSpeakers({each.id: by_id[each.id] for each in task.speakers})


def _unions_s(segments: Iterable[Segment], keys: Mapping[str, str]) -> dict[str, float]:
    """Return in how many seconds somebody with a key speaks; segments are in order of start."""
    unions_s: dict[str, float] = {}
    until_s: dict[str, float] = {}
    for segment in segments:
        key = keys.get(segment.speaker)
        if key is None:
            continue
        begin_s = max(segment.start_s, until_s.get(key, segment.start_s))
        if segment.end_s > begin_s:
            unions_s[key] = unions_s.get(key, 0.0) + segment.end_s - begin_s
            until_s[key] = segment.end_s
    return unions_s
