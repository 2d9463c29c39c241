"""SubRip, read back by the libraries srt, pysubs2 and pycaption."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

import pycaption
import pysubs2
import pytest
import srt
from hypothesis import given

from tests.unit.exports.samples import (
    ALWAYS,
    FIXTURES,
    HOSTILE_TEXTS,
    NAMES,
    NONE,
    SCRIPTS,
    squeezed,
    transcripts,
    write,
)
from transcripts.tasks.task import Segment


class Read(NamedTuple):
    start_ms: int
    end_ms: int
    text: str


def by_srt(text: str) -> list[Read]:
    found = list(srt.parse(text))
    assert [cue.index for cue in found] == list(range(1, len(found) + 1))
    return [
        Read(
            round(cue.start.total_seconds() * 1000),
            round(cue.end.total_seconds() * 1000),
            cue.content,
        )
        for cue in found
    ]


def by_pycaption(text: str) -> list[Read]:
    if not text:
        return []
    captions = pycaption.SRTReader().read(text, lang="en").get_captions("en")
    return [Read(cue.start // 1000, cue.end // 1000, cue.get_text()) for cue in captions]


def by_pysubs2(text: str) -> list[Read]:
    """Read what a player shows: pysubs2 hides tags and styles, and breaks lines as libass does."""
    found = pysubs2.SSAFile.from_string(text, format_="srt")
    return [Read(event.start, event.end, event.plaintext) for event in found]


LOOKALIKES = str.maketrans("<>{}", "\u2039\u203a()", "\u2060")


def alike(text: str) -> str:
    """Return what is shown of a text, with what SRT can't hold as it may be written instead."""
    return squeezed(text).translate(LOOKALIKES)


def expected(segments: list[Segment]) -> str:
    """Return all text in order; ``-->`` can't be in SRT."""
    return alike("".join(re.sub("-{2,}>", "->", segment.text) for segment in segments))


@pytest.mark.parametrize("name", FIXTURES)
def test_srt_of_every_fixture_is_read_back_alike_by_two_libraries(name: str) -> None:
    """Both libraries read the times, numbers and text of all cues."""
    text = write("srt", FIXTURES[name], speakers=NONE)
    found = by_srt(text)
    assert by_pycaption(text) == found
    assert Counter(alike("".join(cue.text for cue in found))) == Counter(expected(FIXTURES[name]))
    assert all(cue.start_ms < cue.end_ms for cue in found)


NOT_FOR_PYSUBS2 = {
    "more than 99 hours": "two digits of hours",
    "thirty years": "two digits of hours",
    "looks like a cue": "any line with two times is one of times, with or without an arrow",
    "everything": "it holds the one before",
}


@pytest.mark.parametrize("name", [name for name in FIXTURES if name not in NOT_FOR_PYSUBS2])
def test_srt_is_shown_whole_by_a_subtitle_editor(name: str) -> None:
    """Nothing is hidden as a tag or a style, and no line breaks where none was."""
    text = write("srt", FIXTURES[name], speakers=NONE)
    assert by_pysubs2(text) == by_srt(text)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("<inaudible> ok", "\u2039inaudible\u203a ok"),
        ("<<x>> a", "\u2039\u2039x\u203a\u203a a"),
        ("a < b and c > d", "a \u2039 b and c \u203a d"),
        (r"{\pos(1,2)}x {laughs}", r"(\pos(1,2))x (laughs)"),
        (r"C:\New \h", "C:\\\u2060New \\\u2060h"),
        ("2 > 1, a -> b", "2 > 1, a -> b"),
        ("I <3 {you", "I <3 {you"),
    ],
)
def test_srt_writes_what_players_hide_so_that_they_show_it(said: str, shown: str) -> None:
    """What is not hidden stays as it is."""
    text = write("srt", [Segment(0.0, 2.0, "s1", said)], speakers=NONE)
    assert [cue.text for cue in by_pysubs2(text)] == [shown]


@pytest.mark.parametrize("name", [*SCRIPTS, *HOSTILE_TEXTS])
def test_srt_keeps_text_in_order(name: str) -> None:
    """In every script, no character is lost, doubled or moved."""
    found = by_srt(write("srt", FIXTURES[name], speakers=NONE))
    assert alike("".join(cue.text for cue in found)) == expected(FIXTURES[name])


def test_srt_by_default_names_a_speaker_where_it_changes() -> None:
    """Players have no other way to show who speaks."""
    segments = [
        Segment(0.0, 2.0, "s1", "Hello."),
        Segment(2.0, 4.0, "s1", "Are you there?"),
        Segment(4.0, 6.0, "s2", "I am."),
    ]
    assert write("srt", segments) == (
        "1\n00:00:00,000 --> 00:00:02,000\nAda Example: Hello.\n\n"
        "2\n00:00:02,000 --> 00:00:04,000\nAre you there?\n\n"
        "3\n00:00:04,000 --> 00:00:06,000\nBen & \u2039Jerry\u203a: I am.\n\n"
    )


def test_srt_with_speakers_always_names_every_cue() -> None:
    """The cues of a split segment are named, too."""
    found = by_srt(write("srt", [Segment(0.0, 20.0, "s1", "word " * 60)], speakers=ALWAYS))
    assert len(found) > 2
    assert all(cue.text.startswith(f"{NAMES[0]}: ") for cue in found)


def test_srt_names_an_interrupted_speaker_again() -> None:
    """The speaker is named after the interruption, and the cue still has two lines."""
    segments = [Segment(0.0, 20.0, "s1", "word " * 60), Segment(5.0, 6.0, "s2", "Yes.")]
    found = by_srt(write("srt", segments))
    at = next(index for index, cue in enumerate(found) if cue.text.endswith("Yes."))
    assert found[at + 1].text.startswith(f"{NAMES[0]}: ")
    assert all(cue.text.count("\n") < 2 for cue in found)


def test_srt_name_in_the_other_direction_has_a_line_of_its_own() -> None:
    """In one line, players would put the full stop of an Arabic sentence at the wrong end."""
    found = by_srt(write("srt", [Segment(0.0, 3.0, "s1", "مرحبا بكم.")]))
    assert found[0].text == "Ada Example:\nمرحبا بكم."


@pytest.mark.parametrize("arrow", ["-->", "--->", "a-->b", "--" * 9 + ">"])
def test_srt_text_never_has_the_arrow_of_times(arrow: str) -> None:
    """SRT cannot escape text, so the arrow is shortened."""
    text = write("srt", [Segment(0.0, 1.0, "s1", arrow)])
    assert text.count("-->") == 1


@given(transcripts())
def test_srt_of_any_transcript_is_read_back(segments: list[Segment]) -> None:
    """Any text at any time is read back."""
    text = write("srt", segments, speakers=NONE)
    found = by_srt(text)
    assert by_pycaption(text) == found
    assert Counter(alike("".join(cue.text for cue in found))) == Counter(expected(segments))


@given(transcripts(overlapping=False))
def test_srt_of_any_orderly_transcript_keeps_the_order(segments: list[Segment]) -> None:
    """Cues are in the order of their starts, which is the order of the segments."""
    found = by_srt(write("srt", segments, speakers=NONE))
    assert [cue.start_ms for cue in found] == sorted(cue.start_ms for cue in found)
    # With less than a millisecond for each cue, the cues are shown over the next segment.
    if all(segment.end_s - segment.start_s >= 0.1 for segment in segments):
        assert alike("".join(cue.text for cue in found)) == expected(segments)
