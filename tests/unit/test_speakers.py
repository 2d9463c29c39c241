"""Speakers of a result: their names, segments and talk times."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import segment
from tests.unit.test_normalize import anomalies, of
from transcripts.tasks.normalize import MAX_NAME_BYTES
from transcripts.tasks.speakers import MAX_SPEAKERS, MAX_TEXT_BYTES
from transcripts.tasks.task import Face, Segment


@pytest.mark.parametrize("face", ["José Díaz", "Jose\u0301 Di\u0301az", "\ufeffJosé\u00a0Díaz "])
def test_normalize_spellings_of_one_name_are_one_speaker(face: str) -> None:
    """Speakers and faces are joined by one key; the spelling of the first segment is shown."""
    spellings = ["Jose\u0301  Díaz\u200e", "José Díaz", " José Díaz", "Jos\u200bé Díaz\u2069"]
    task = of(
        [segment(n, speaker=spelling) for n, spelling in enumerate(spellings)],
        inner={"faces": [{"face_id": "f1", "name": face}, {"face_id": "f2", "name": "jose diaz"}]},
    )
    (speaker,) = task.speakers
    assert (speaker.name, speaker.segment_count) == ("Jose\u0301  Díaz", 4)
    assert speaker.face_ids == ["f1"]


def test_normalize_first_spelling_is_that_of_the_first_segment() -> None:
    """The order in which the segments arrive does not matter."""
    task = of(
        [
            segment(start_time=5.0, end_time=6.0, speaker="A\u00a0B"),
            segment(start_time=1.0, end_time=2.0, speaker="A B"),
        ]
    )
    assert [speaker.name for speaker in task.speakers] == ["A B"]


@pytest.mark.parametrize("name", ["\ufeff", "\u200b\u200e", " \u200d ", ""])
def test_normalize_name_of_unseen_characters_is_unknown(name: str) -> None:
    """Such a name counts as missing, and a face of that name has no speaker."""
    task = of(
        [segment(0, speaker=name), segment(1, speaker="Unknown")],
        inner={"faces": [{"face_id": "f", "name": name}]},
    )
    assert [(speaker.name, speaker.face_ids) for speaker in task.speakers] == [("Unknown", [])]
    assert (task.faces, anomalies(task)) == ([Face("f", None, None)], {"missing_speaker": (1, 0)})


def test_normalize_counts_words_and_characters() -> None:
    """Each text's script decides its words, also per speaker; characters include blanks."""
    task = of(
        [
            segment(0, speaker="A", text="今天我们讨论一下预算问题"),
            segment(1, speaker="B", text="— yes — no … ♪ ♪"),
            segment(2, speaker="A", text="good morning"),
            segment(3, speaker="A", text="word " * 20_000),
        ]
    )
    assert (task.word_count, task.character_count) == (20_016, 12 + 16 + 12 + 100_000)
    assert [speaker.word_count for speaker in task.speakers] == [20_014, 2]


def test_normalize_overlap_counts_once_in_talk_time() -> None:
    """A speaker's own overlap counts once; ``speech_s`` counts all speakers' overlap once."""
    task = of(
        [
            segment(start_time=0.0, end_time=10.0, speaker="A"),
            segment(start_time=2.0, end_time=4.0, speaker="A"),
            segment(start_time=5.0, end_time=12.0, speaker="B"),
            segment(start_time=8.0, end_time=11.0, speaker="A"),
            segment(start_time=20.0, end_time=21.5, speaker="A"),
        ]
    )
    assert [speaker.talk_time_s for speaker in task.speakers] == [12.5, 7.0]
    assert [speaker.share for speaker in task.speakers] == [12.5 / 19.5, 7.0 / 19.5]
    assert (task.speech_s, task.duration_s) == (13.5, 21.5)


def test_normalize_20_000_speakers_fit_a_document() -> None:
    """Speakers beyond the bound are one unknown speaker; no segment is lost."""
    task = of([segment(n, speaker=f"{n} " + "ä" * 300) for n in range(20_000)])
    assert task.segment_count == 20_000
    assert len(task.speakers) <= MAX_SPEAKERS + 1
    assert set(anomalies(task)) == {"long_speaker_name", "too_many_speakers"}
    assert all(len(speaker.name.encode()) <= MAX_NAME_BYTES for speaker in task.speakers)
    assert math.fsum(speaker.share for speaker in task.speakers) == pytest.approx(1.0)


def test_normalize_text_of_megabytes_is_split() -> None:
    """Every character of the text is stored."""
    text = "ä" * (3 * MAX_TEXT_BYTES)
    task = of([segment(0, text=text)])
    assert "".join(part.text for part in task.segments) == text
    assert all(len(part.text.encode()) <= MAX_TEXT_BYTES for part in task.segments)
    assert anomalies(task) == {"split_text": (1, 0)}


def test_normalize_counts_a_split_text_only_if_it_is_split() -> None:
    """Bytes decide, not characters; the speaker counts the stored segments."""
    whole, split = of([segment(0, text="x" * 60_000)]), of([segment(0, text="x" * 450_000)])
    assert (anomalies(whole), whole.segment_count) == ({}, 1)
    assert split.segment_count == split.speakers[0].segment_count == 3


TENTHS = st.integers(0, 300).map(lambda number: number / 10)
TIMED = st.builds(
    lambda start, length, speaker, text: segment(
        start_time=start, end_time=start + length, speaker=speaker, text=text
    ),
    TENTHS,
    TENTHS,
    st.sampled_from(["A", "B", " B\u200b", "C"]),
    st.text("ab 今-", max_size=8),
)


@given(
    st.lists(TIMED, max_size=15, unique_by=lambda item: item["start_time"]).flatmap(
        lambda items: st.tuples(st.just(items), st.permutations(items))
    )
)
def test_normalize_order_of_segments_does_not_matter(
    orders: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    """Segments with different starts give the same result in every order, but for ``unsorted``."""
    first, second = (msgspec.structs.replace(of(items), anomalies=[]) for items in orders)
    assert first == second


@given(st.lists(TIMED, max_size=15))
def test_normalize_talk_time_is_the_union_of_the_segments(items: list[dict[str, Any]]) -> None:
    """Each tenth of a second with speech counts once."""

    def tenths(parts: list[Segment]) -> float:
        covered = {n for p in parts for n in range(round(p.start_s * 10), round(p.end_s * 10))}
        return len(covered) / 10

    task = of(items)
    assert task.speech_s == pytest.approx(tenths(task.segments))
    for speaker in task.speakers:
        own = [part for part in task.segments if part.speaker == speaker.id]
        assert speaker.talk_time_s == pytest.approx(tenths(own))
