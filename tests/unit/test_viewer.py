"""The pure parts of the pages: words, paragraphs, search, timeline and undo."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.viewer import a_transcript
from transcripts import cost
from transcripts.exports.options import DEFAULTS
from transcripts.exports.transcript import Transcript
from transcripts.submissions.submission import State
from transcripts.tasks.speakers import shown_speakers
from transcripts.tasks.task import Segment, SpeakerName, Status, Task
from transcripts.viewer import rendering, states
from transcripts.viewer.renaming import changes_of, requested_names
from transcripts.viewer.transcript import (
    BLOCK_LINES,
    COLUMNS,
    LINK_COLUMNS,
    MAX_HEIGHT,
    MAX_HITS,
    MAX_LANES,
    Lane,
    Link,
    Search,
    ShownParagraph,
    Timeline,
    blocks,
    direction_of,
    shown_paragraphs,
)


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
    assert rendering.clock(milliseconds) == shown


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
    assert cost.cost(duration_s) == shown
    assert "until the last line, at Mavi's price of $0.10 a minute" in cost.COST_BASIS


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
    assert rendering.initials(name) == shown


@pytest.mark.parametrize(
    ("share", "shown"), [(0, "0 %"), (0.004, "< 1 %"), (0.5, "50 %"), (1, "100 %")]
)
def test_percent_of_a_small_share_is_not_zero(share: float, shown: str) -> None:
    """A speaker who says one word is not shown as silent."""
    assert rendering.percent(share) == shown


def test_moment_is_shown_in_utc() -> None:
    """A time of any zone."""
    zone = timezone(timedelta(hours=2))
    assert rendering.moment(datetime(2026, 1, 2, 1, 30, tzinfo=zone)) == "2026-01-01 23:30 UTC"
    assert rendering.moment(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02 00:00 UTC"


def test_words_exist_for_every_state() -> None:
    """Of tasks and of submissions."""
    assert set(states.STATUS_WORDS) == set(Status)
    assert set(states.STATE_WORDS) == set(State)


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


SHAPE = re.compile(r"M(\d+) 10v-(\d+)h(\d+)v(\d+)z")


def heights(lane: Lane) -> list[int]:
    """Return the height of each column of a lane."""
    found = [0] * COLUMNS
    for shape in re.findall(r"M[^M]*", lane.path):
        match = SHAPE.fullmatch(shape)
        assert match is not None, shape
        start, up, width, down = map(int, match.groups())
        assert up == down
        for column in range(start, start + width):
            assert found[column] == 0
            found[column] = up
    return found


def line(start_s: float, end_s: float, speaker: str = "s1") -> Segment:
    return Segment(start_s, end_s, speaker, "a")


@pytest.mark.parametrize("count", [0, 1, 8, 400, 5_000])
def test_timeline_lanes_lead_to_lines_within_their_bounds(count: int) -> None:
    """No link overlaps another, none is wide, and each lies where its speaker speaks."""
    task = a_transcript(count=count, speakers=3)
    starts = {
        line.number: line.start_ms for paragraph in paragraphs_of(task) for line in paragraph.lines
    }
    for lane in timeline_of(task).lanes():
        end = 0
        shown = heights(lane)
        for link in lane.links:
            assert link.column >= end
            assert 1 <= link.width <= LINK_COLUMNS
            assert shown[link.column]
            assert shown[link.column + link.width - 1]
            assert starts[link.number] <= (link.column + 1) / COLUMNS * task.duration_s * 1000
            end = link.column + link.width
        assert end <= COLUMNS


def test_timeline_shows_how_much_of_the_time_is_spoken() -> None:
    """A column of 10 s: full, half, a moment, an instant, and nothing."""
    segments = [line(0, 10), line(10, 15), line(25, 25.1), line(35, 35), line(50, 60)]
    task = a_transcript(count=8, speakers=1, segments=segments, duration_s=4_000.0)
    (lane,) = timeline_of(task).lanes()
    assert heights(lane)[:7] == [10, 6, 2, 2, 0, 10, 0]
    assert lane.links == [Link(0, 6, 1)]
    assert lane.path.startswith("M0 10v-10h1v10zM1 10v-6h1v6zM2 10v-2h2v2zM5 10v-10h1v10z")


def test_timeline_adds_the_lines_of_one_column() -> None:
    """Five lines of a second in ten are half of it; a full column is never higher than its lane."""
    segments = [line(second, second + 1) for second in (0, 2, 4, 6, 8)]
    segments += [line(10, 20), line(10, 20), line(3_999, 4_000)]
    task = a_transcript(count=8, speakers=1, segments=segments, duration_s=4_000.0)
    (lane,) = timeline_of(task).lanes()
    assert heights(lane)[:3] == [6, 10, 0]
    assert heights(lane)[-1] == 2
    assert lane.links == [Link(0, 2, 1), Link(399, 1, 8)]


def test_timeline_of_many_speakers_has_one_lane_for_the_rest() -> None:
    """Those who speak longest have lanes of their own, in the order of the speakers."""
    task = a_transcript(count=3_000, speakers=20)
    lanes = timeline_of(task).lanes()
    assert len(lanes) == MAX_LANES + 1
    assert lanes[-1].speaker is None
    assert lanes[-1].links
    own = [lane.speaker.id for lane in lanes if lane.speaker]
    longest = sorted(task.speakers, key=lambda speaker: -speaker.talk_time_s)[:MAX_LANES]
    assert own == [each.id for each in task.speakers if each in longest]


def test_timeline_of_impossible_times_stays_in_its_bounds() -> None:
    """A line may end before it begins, or after the duration."""
    segments = [line(5, 1), line(90, 1e9, "s2")]
    first, second, third = timeline_of(
        a_transcript(count=2, segments=segments, duration_s=10.0)
    ).lanes()
    assert first.links == [Link(200, 1, 1)]
    assert second.links == [Link(399, 1, 2)]
    assert third.links == []


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("Good morning", "ltr"),
        ("12:30, 50 %", None),
        ("", None),
        ("… ¿qué?", "ltr"),
        ("שלום", "rtl"),
        ("(مرحبا) hello", "rtl"),
        ("7 אחת", "rtl"),
        ("hello שלום", "ltr"),
    ],
)
def test_direction_is_that_of_the_first_letter(text: str, direction: str | None) -> None:
    """As browsers decide for ``dir="auto"``."""
    assert direction_of(text) == direction


def test_direction_of_a_paragraph_is_that_of_its_first_letter() -> None:
    """A line of digits decides nothing; without any letter it is from the left."""
    texts = {"s1": ["12", "שלום", "hello"], "s2": ["1", "2"]}
    segments = [Segment(0, 1, speaker, text) for speaker in texts for text in texts[speaker]]
    first, second = paragraphs_of(a_transcript(count=2, segments=segments))
    assert first.direction == "rtl"
    assert [line.direction for line in first.lines] == [None, "rtl", "ltr"]
    assert second.direction == "ltr"


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
