"""The pure parts of the pages: words, paragraphs, search, timeline and undo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.viewer import a_transcript
from transcripts.exports.options import DEFAULTS
from transcripts.exports.transcript import Transcript
from transcripts.submissions.submission import State
from transcripts.tasks.speakers import shown_speakers
from transcripts.tasks.task import Segment, SpeakerName, Status, Task
from transcripts.viewer import words
from transcripts.viewer.paragraphs import (
    BLOCK_LINES,
    MAX_HEIGHT,
    Search,
    ShownParagraph,
    blocks,
    shown_paragraphs,
)
from transcripts.viewer.renaming import changes_of, requested_names
from transcripts.viewer.timeline import COLUMNS, LONGEST_PART, MAX_HITS, MAX_LANES, Timeline


def paragraphs_of(task: Task, query: str = "") -> list[ShownParagraph]:
    speakers = shown_speakers(task)
    transcript = Transcript(task, speakers, task.segments, DEFAULTS)
    return list(shown_paragraphs(transcript, Search(query)))


def timeline_of(task: Task, query: str = "") -> Timeline:
    speakers = shown_speakers(task)
    timeline = Timeline(speakers.listed, task.duration_s)
    for paragraph in paragraphs_of(task, query):
        timeline.add(paragraph)
    return timeline


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(0, "0:00"), (59_999, "0:59"), (60_000, "1:00"), (3_723_000, "1:02:03"), (10**9, "277:46:40")],
)
def test_clock_writes_hours_only_if_there_are_some(milliseconds: int, shown: str) -> None:
    """Whole seconds that have passed."""
    assert words.clock(milliseconds) == shown


@pytest.mark.parametrize(
    ("duration_s", "shown"),
    [
        (0, "about $0.00"),
        (1, "less than $0.01"),
        (60, "about $0.10"),
        (3_600, "about $6.00"),
        (1e6, "about $1,666.67"),
    ],
)
def test_cost_is_an_estimate_of_ten_cents_a_minute(duration_s: float, shown: str) -> None:
    """A short recording never looks free, and the basis is the same number."""
    assert words.cost(duration_s) == shown
    assert "$0.10 a minute" in words.COST_BASIS


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ada Lovelace", "AL"),
        ("Ada", "A"),
        ("Ada King Alvarez", "AA"),
        ("Speaker 12", "S1"),
        ("(guest) élodie", "GÉ"),
        ("שלום עולם", "שע"),
        ("<script>", "S"),
        ("…", "?"),
        ("", "?"),
    ],
)
def test_initials_are_of_the_first_and_the_last_word(name: str, shown: str) -> None:
    """A name without letters has a question mark."""
    assert words.initials(name) == shown


@pytest.mark.parametrize(
    ("share", "shown"), [(0, "0 %"), (0.004, "< 1 %"), (0.5, "50 %"), (1, "100 %")]
)
def test_percent_of_a_small_share_is_not_zero(share: float, shown: str) -> None:
    """A speaker who says one word is not shown as silent."""
    assert words.percent(share) == shown


def test_moment_is_shown_in_utc() -> None:
    """A time of any zone."""
    zone = timezone(timedelta(hours=2))
    assert words.moment(datetime(2026, 1, 2, 1, 30, tzinfo=zone)) == "2026-01-01 23:30 UTC"
    assert words.moment(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02 00:00 UTC"


def test_words_exist_for_every_state() -> None:
    """Of tasks and of submissions."""
    assert set(words.STATUS_WORDS) == set(Status)
    assert set(words.STATE_WORDS) == set(State)


@given(
    st.lists(st.sampled_from(["aBa", "b", " ", "c.", "İ", "ß"])), st.text("aBb.*([İßc", max_size=3)
)
def test_search_cuts_a_text_without_changing_it(pieces: list[str], query: str) -> None:
    """Every second part is a match, regardless of case."""
    text = "".join(pieces)
    parts = Search(query).parts(text)
    assert "".join(parts) == text
    assert all(part.casefold() == Search(query).query.casefold() for part in parts[1::2])


def test_paragraphs_keep_every_line_once_in_order() -> None:
    """Only lines without text are left out; numbers count them too."""
    task = a_transcript(count=200)
    segments = [*task.segments]
    segments[7] = Segment(31.5, 35.5, "s1", " \n ")
    shown = paragraphs_of(a_transcript(count=200, segments=segments))
    numbers = [line.number for paragraph in shown for line in paragraph.lines]
    assert numbers == [number for number in range(1, 201) if number != 8]
    firsts = [paragraph.speaker.id for paragraph in shown if paragraph.is_first]
    assert sorted(firsts) == sorted({paragraph.speaker.id for paragraph in shown})


def test_blocks_hold_all_paragraphs_and_a_bounded_number_of_lines() -> None:
    """Their height is an estimate within the classes of the stylesheet."""
    shown = paragraphs_of(a_transcript(count=1_000))
    passed: list[ShownParagraph] = []
    found = list(blocks(shown, passed.append))
    assert [paragraph for block in found for paragraph in block.paragraphs] == shown == passed
    longest = max(len(paragraph.lines) for paragraph in shown)
    for block in found:
        assert sum(len(each.lines) for each in block.paragraphs) < BLOCK_LINES + longest
        assert 1 <= block.height <= MAX_HEIGHT


@pytest.mark.parametrize("count", [0, 1, 8, 400, 5_000])
def test_timeline_parts_lie_in_their_lane_and_lead_to_a_line(count: int) -> None:
    """No part is wider than a click can bear, and none overlaps another."""
    task = a_transcript(count=count, speakers=3)
    lines = {line.number for paragraph in paragraphs_of(task) for line in paragraph.lines}
    for lane in timeline_of(task).lanes():
        end = 0
        for part in lane.parts:
            assert part.column >= end
            assert 1 <= part.width <= LONGEST_PART
            assert part.number in lines
            end = part.column + part.width
        assert end <= COLUMNS


def test_timeline_of_many_speakers_has_one_lane_for_the_rest() -> None:
    """Those who speak longest have lanes of their own, in the order of the speakers."""
    lanes = timeline_of(a_transcript(count=3_000, speakers=20)).lanes()
    assert len(lanes) == MAX_LANES + 1
    assert lanes[-1].speaker is None
    assert lanes[-1].parts


def test_timeline_of_impossible_times_stays_in_its_bounds() -> None:
    """A line may end before it begins, or after the duration."""
    segments = [Segment(5.0, 1.0, "s1", "a"), Segment(90.0, 1e9, "s2", "b")]
    lanes = timeline_of(a_transcript(count=2, segments=segments, duration_s=10.0)).lanes()
    for lane in lanes:
        for part in lane.parts:
            assert 0 <= part.column < COLUMNS


def test_timeline_counts_every_match_and_lists_the_first() -> None:
    """The list on the page stays short."""
    timeline = timeline_of(a_transcript(count=4_000), "tuesday")
    assert timeline.hit_count == 1_000
    assert len(timeline.hits) == MAX_HITS
    assert timeline.hits[0].number == 6


def test_requested_names_of_a_merged_speaker_are_for_each_part() -> None:
    """The provider's names are those of the change; a blank one takes the name away."""
    task = a_transcript(speaker_names=[SpeakerName("Speaker 3", "Ada")])
    both = [("speaker", "s1"), ("speaker", "s2")]
    names = requested_names([*both, ("name", "Eva")], task)
    assert changes_of(names, task) == {"Speaker 1": "Eva", "Speaker 2": "Eva"}
    names = requested_names([*both, ("same_as", "s3")], task)
    assert changes_of(names, task) == {"Speaker 1": "Ada", "Speaker 2": "Ada"}
    names = requested_names([("name.s3", " "), ("name.s1", "x")], task)
    assert changes_of(names, task) == {"Speaker 3": None, "Speaker 1": "x"}
