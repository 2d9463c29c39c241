"""Timing and splitting of subtitles."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.exports.samples import (
    ALWAYS,
    FIXTURES,
    NAMES,
    SCRIPTS,
    make_task,
    milliseconds,
    squeezed,
    transcripts,
)
from transcripts.exports.cues import Cue, cues, with_names
from transcripts.exports.options import Options, SpeakerLabels
from transcripts.exports.transcript import Transcript
from transcripts.exports.wrapping import Ruler
from transcripts.tasks.speakers import shown_speakers
from transcripts.tasks.task import Segment

SENTENCES = (
    "The survey came back on Friday, the north wall is damp, and nobody knows why. "
    "We should probably look at the drainage first, before anything else is decided; "
    "then the budget can be settled. It is getting late."
)


def transcript(
    segments: Sequence[Segment], names: Sequence[str] = NAMES, **choices: object
) -> Transcript:
    task = make_task(segments, names)
    speakers = shown_speakers(task)
    return Transcript(task, speakers, iter(segments), Options(**choices))  # type: ignore[arg-type] # any option


def made(*segments: Segment, **choices: object) -> list[Cue]:
    return list(cues(transcript(segments, NAMES, **choices), labelled=False))


def times(found: Sequence[Cue]) -> list[tuple[int, int]]:
    return [(cue.start_ms, cue.end_ms) for cue in found]


def columns(text: str) -> int:
    ruler = Ruler(text)
    return ruler.columns(0, ruler.size)


def test_cue_of_a_short_segment_has_its_times() -> None:
    """A segment that fits one cue keeps its times."""
    assert times(made(Segment(1.0, 3.0, "s1", "Hello."))) == [(1000, 3000)]


def test_cue_too_short_to_read_is_extended_where_there_is_room() -> None:
    """The cue is shown for 5/6 of a second, but not over the next one."""
    found = made(
        Segment(1.0, 1.1, "s1", "Yes."),
        Segment(1.5, 1.6, "s2", "No."),
        Segment(9.0, 9.1, "s1", "Oh."),
    )
    assert times(found) == [(1000, 1500), (1500, 2333), (9000, 9833)]


def test_cue_of_a_segment_without_length_can_be_read() -> None:
    """Several segments at one time are shown together, each for 5/6 of a second."""
    found = made(
        Segment(5.0, 5.0, "s1", "One."),
        Segment(5.0, 5.0, "s2", "Two."),
        Segment(9.0, 9.0, "s1", "Three."),
    )
    assert times(found) == [(5000, 5833), (5000, 5833), (9000, 9833)]


def test_cue_of_few_words_is_not_shown_longer_than_seven_seconds() -> None:
    """A wrong end would show it for minutes; its few words are not split."""
    assert times(made(Segment(0.0, 60.0, "s1", "Hello."))) == [(0, 7000)]


def test_cues_of_slow_speech_share_its_time() -> None:
    """Each cue is shown for at most seven seconds."""
    found = made(Segment(0.0, 20.0, "s1", "Well, what I wanted to say is, in fact, not new."))
    assert len(found) == 3
    assert found[0].start_ms == 0
    assert all(end - start <= 7000 for start, end in times(found))


def test_cues_of_a_long_text_break_after_sentences_and_clauses() -> None:
    """No two cues have a common time (whisperX#608)."""
    found = made(Segment(0.0, 20.0, "s1", SENTENCES))
    assert len(found) == 4
    assert all(cue.text[-1] in ".,;" for cue in found)
    assert all(a.end_ms <= b.start_ms < b.end_ms for a, b in itertools.pairwise(found))


def test_cues_of_overlapping_segments_are_in_the_order_of_their_starts() -> None:
    """An interjection stands between the parts of the segment that it interrupts."""
    found = made(Segment(0.0, 20.0, "s1", SENTENCES), Segment(8.0, 9.0, "s2", "Yes."))
    starts = [cue.start_ms for cue in found]
    assert starts == sorted(starts)
    at = [cue.text for cue in found].index("Yes.")
    assert 0 < at < len(found) - 1
    assert times(found)[at] == (8000, 9000)


def test_cues_of_backward_starts_go_forward() -> None:
    """WebVTT forbids backward starts, which stored results never have."""
    found = made(Segment(5.0, 6.0, "s1", "One."), Segment(3.0, 4.0, "s2", "Two."))
    assert [cue.start_ms for cue in found] == [5000, 5000]


def test_cues_without_text_are_left_out() -> None:
    """Some readers end at an empty cue, or refuse it."""
    assert made(Segment(0.0, 1.0, "s1", " \n"), Segment(1.0, 2.0, "s1", "\x00")) == []


@pytest.mark.parametrize("max_chars", [32, 37, 42])
@pytest.mark.parametrize("script", SCRIPTS)
def test_cue_has_two_lines_that_fit(script: str, max_chars: int) -> None:
    """This holds in every script, with a usual name before the text, and after an interruption."""
    segments = [Segment(0.0, 30.0, "s1", SCRIPTS[script] * 3), Segment(9.0, 10.0, "s2", "Yes.")]
    for labels in SpeakerLabels:
        source = transcript(segments, ["Ada Example", "Ben"], max_chars=max_chars, speakers=labels)
        for _, text in with_names(source):
            lines = text.split("\n")
            # A name in the other direction has a line of its own.
            assert len(lines) <= 2 or (len(lines) == 3 and lines[0].endswith(":"))
            assert all(columns(line) <= max_chars for line in lines), lines


@given(transcripts(), st.sampled_from([32, 37, 42]))
def test_cues_of_any_transcript_keep_their_bounds(segments: list[Segment], max_chars: int) -> None:
    """A cue has at most 7 s and two lines; only a following cue makes it too short."""
    found = made(*segments, max_chars=max_chars)
    starts = [cue.start_ms for cue in found]
    assert starts == sorted(starts)
    texts = [(milliseconds(each.start_s), squeezed(each.text)) for each in segments]
    said = [ms for ms, text in texts if text]
    for cue in found:
        assert 0 < cue.end_ms - cue.start_ms <= 7000
        whole = any(
            text == squeezed(cue.text) and abs(ms - cue.start_ms) <= 1 for ms, text in texts
        )
        if cue.end_ms - cue.start_ms < 833 and whole:
            near = [ms for ms in said if cue.start_ms - 1 <= ms <= cue.end_ms + 1]
            assert len(near) > 1
        assert cue.text == cue.text.strip()
        ruler = Ruler(cue.text)
        assert ruler.two_lines_end(0, max_chars, max_chars) == ruler.size


@given(transcripts(), st.text(max_size=60), st.sampled_from(SpeakerLabels))
def test_names_of_any_length_change_no_cue(
    segments: list[Segment], name: str, labels: SpeakerLabels
) -> None:
    """A name changes neither the times nor the text of a cue."""
    short = [
        (cue.start_ms, cue.end_ms, squeezed(cue.text))
        for cue, _ in with_names(transcript(segments, speakers=labels))
    ]
    long = [
        (cue.start_ms, cue.end_ms, squeezed(cue.text))
        for cue, _ in with_names(transcript(segments, [name] * 3, speakers=labels))
    ]
    assert long == short


def test_cues_leave_room_for_names_if_the_options_show_them() -> None:
    """A name of up to 14 columns needs no third line."""
    segments = [Segment(0.0, 6.0, "s1", "word " * 14 + "end.")]
    assert len(list(cues(transcript(segments), labelled=False))) == 1
    assert len(list(cues(transcript(segments, speakers=ALWAYS), labelled=True))) == 2


def test_fixtures_of_times_are_all_timed() -> None:
    """Every fixture of reading.md that concerns times gives cues that a player shows."""
    for segments in FIXTURES.values():
        for cue in made(*segments):
            assert 0 < cue.end_ms - cue.start_ms <= 7000


def test_cues_prefer_the_end_of_a_sentence_to_a_nearer_clause() -> None:
    """A reader rests at the end of a sentence."""
    text = (
        "This is the first long sentence of the speech and it ends right here. "
        "Now, this is the second long sentence of it, which goes on and on for long."
    )
    found = made(Segment(0.0, 12.0, "s1", text))
    assert found[0].text.endswith("here.")


def test_cues_keep_closing_marks_with_their_sentence() -> None:
    """A cue does not begin with what closes the one before."""
    text = "「今日は長い会議でした。とても疲れました。」" * 6
    found = made(Segment(0.0, 30.0, "s1", text))
    assert len(found) > 2
    assert not [cue for cue in found if cue.text[0] in "」。、"]
    assert "".join(cue.text for cue in found) == text


def sentences(*lengths: int, mark: str = ".") -> str:
    """Make sentences of so many columns each, mark included."""
    return " ".join(
        ("abc " * length)[: length - 2].strip().ljust(length - 1, "x") + mark for length in lengths
    )


@given(
    st.lists(st.tuples(st.integers(6, 50), st.sampled_from(".,")), min_size=3, max_size=9),
    st.integers(0, 9_000_000),
)
def test_cue_of_two_parts_ends_at_the_pause_nearest_to_the_middle(
    parts: list[tuple[int, str]], start_ms: int
) -> None:
    """A sentence's end is better than a clause's; each part has its share of the time."""
    text = " ".join(sentences(length, mark=mark) for length, mark in parts)
    assume(85 <= len(text) <= 140)
    start_s = start_ms / 1000
    found = made(Segment(start_s, start_s + 6.0, "s1", text))
    assume(len(found) == 2)
    wanted = len(text) / 2
    first_line = text.rfind(" ", 0, 43)
    latest = text.rfind(" ", 0, first_line + 1 + 43)
    high = min(latest, int(wanted * 1.4))
    for mark in ".,":
        ends = [
            at + 1
            for at in range(int(wanted * 0.6), high - 1)
            if text[at] == mark and text[at + 1] == " "
        ]
        if ends:
            end = min(ends, key=lambda at: (abs(at - int(wanted)), at))
            assert found[0].text == text[:end]
            break
    assert " ".join(cue.text for cue in found) == text
    length = len(found[0].text)
    boundary_ms = start_ms + min(max(6000 * length // len(text), 833), 6000 - 833)
    assert times(found) == [(start_ms, boundary_ms), (boundary_ms, start_ms + 6000)]


@pytest.mark.parametrize(
    ("segment", "shown"),
    [
        # Longer than seven seconds: each of three parts has its share of the time.
        (
            Segment(100.0, 118.0, "s1", sentences(30, 30, 30)),
            [(100_000, 105_869), (105_869, 111_934), (111_934, 118_000)],
        ),
        # Too short for its text: each part has 5/6 of a second where there is room.
        (Segment(100.0, 100.5, "s1", sentences(60, 60)), [(100_000, 100_833), (100_833, 101_666)]),
        # A part that is spoken slowly is gone after seven seconds.
        (
            Segment(100.0, 130.0, "s1", sentences(12, 12)),
            [(100_000, 107_000), (114_400, 121_400)],
        ),
    ],
)
def test_cues_of_a_split_segment_share_its_time(
    segment: Segment, shown: list[tuple[int, int]]
) -> None:
    """All times count from the segment's start, wherever that is."""
    assert times(made(segment)) == shown


def test_cue_at_the_limits_of_time_is_not_split() -> None:
    """5/6 of a second and seven seconds are long enough, and short enough."""
    text = "ab " * 20 + "end."
    for length_ms in (833, 7000):
        segment = Segment(2.0, 2.0 + length_ms / 1000, "s1", text)
        assert times(made(segment)) == [(2000, 2000 + length_ms)]
