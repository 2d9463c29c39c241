"""Numbering the speakers of a transcript, and summing up how much each says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from transcripts.tasks.names import UNKNOWN_SPEAKER, name_key
from transcripts.tasks.task import Face, Segment, Speaker
from transcripts.tasks.values import Anomalies, cut
from transcripts.tasks.word_count import count_words

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


class _SpeakerTotals:
    """The running sums of one speaker."""

    __slots__ = (
        "first_start_s",
        "id",
        "long_text_words",
        "name",
        "segment_count",
        "talk_time_s",
        "texts",
        "until_s",
    )

    def __init__(self, number: int, name: str, first_start_s: float) -> None:
        self.id = f"s{number}"
        self.name = name
        self.first_start_s = self.until_s = first_start_s
        self.segment_count = 0
        self.talk_time_s = 0.0
        self.texts: list[str] = []
        self.long_text_words = 0

    def word_count(self) -> int:
        return count_words(self.texts) + self.long_text_words


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
            found = _SpeakerTotals(len(self.by_key) + 1, spelling, start_s)
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
        if len(text) * 4 <= MAX_TEXT_BYTES:
            totals.texts.append(text)
            segments.append(Segment(start, end, totals.id, text))
            continue
        totals.long_text_words += count_words([text])
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
            word_count=totals.word_count(),
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
