"""Speakers as people name them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcripts.tasks.speakers import (
    UNKNOWN_SPEAKER,
    ShownSpeakers,
    needs_segments,
    shown_speakers,
)
from transcripts.tasks.task import Segment, Speaker, SpeakerName, Task


def provider(*names: str) -> list[Speaker]:
    return [
        Speaker(f"s{number}", name, number, 7, 0.5 * number, 0.25, 10.0 - number, [f"f{number}"])
        for number, name in enumerate(names, 1)
    ]


def named(speakers: list[Speaker], **names: str) -> ShownSpeakers:
    by_provider = {name.replace("_", " "): display for name, display in names.items()}
    names_by_people = [SpeakerName(*item) for item in by_provider.items()]
    talk_time_s = sum(each.talk_time_s for each in speakers)
    return shown_speakers(
        Task(task_id="t", speakers=speakers, speaker_names=names_by_people, speech_s=talk_time_s)
    )


def test_speakers_without_peoples_names_have_the_providers() -> None:
    """Speakers are in the order of their first segment."""
    found = named(provider("Ada", "Ben"))
    assert [(speaker.id, speaker.name) for speaker in found.listed] == [
        ("s1", "Ada"),
        ("s2", "Ben"),
    ]
    assert found.of("s2") is found.listed[1]


def test_speakers_of_one_display_name_are_one() -> None:
    """Counts and times are added; every face and every provider's name is kept."""
    found = named(provider("Ada", "Ben", "Carla"), Carla="Ada")
    assert [speaker.id for speaker in found.listed] == ["s1", "s2"]
    ada = found.listed[0]
    assert found.of("s1") is found.of("s3") is ada
    assert (ada.name, ada.given_names, ada.face_ids) == ("Ada", ["Ada", "Carla"], ["f1", "f3"])
    assert (ada.segment_count, ada.talk_time_s, ada.share) == (4, 2.0, 2 / 3)
    assert ada.first_start_s == 7.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada B", "Ada  B"),
        ("Ada B", " Ada\tB\n"),
        ("Zo\u00eb", "Zoe\u0308"),
        ("Ada", "A\u200bda\ufeff"),
        ("دانا", "\u200fدانا\u200e"),
    ],
)
def test_display_names_that_look_alike_are_one_name(one: str, other: str) -> None:
    """The first spelling is shown."""
    found = named(provider("Ann", "Ben"), Ann=one, Ben=other)
    assert [speaker.name for speaker in found.listed] == [one]


@pytest.mark.parametrize("other", ["ada", "Ada-B", "Ada B.", "A\u200dda B"])
def test_display_names_that_differ_are_two_names(other: str) -> None:
    """Case, hyphens and joiners make a difference."""
    assert len(named(provider("Ann", "Ben"), Ann="Ada B", Ben=other).listed) == 2


def test_display_name_is_joined_by_any_spelling_of_the_providers_name() -> None:
    """The provider may spell a name otherwise in its next result."""
    found = named(provider("Ada \u00a0Example"), Ada_Example="Ada")
    assert found.listed[0].name == "Ada"


@pytest.mark.parametrize("blank", ["", " ", "\n", "\u200b", "\x00", "\ufeff \u200e"])
def test_display_name_of_unseen_characters_is_ignored(blank: str) -> None:
    """The provider's name is shown, and without that ``Unknown``."""
    assert named(provider("Ada"), Ada=blank).listed[0].name == "Ada"
    assert named(provider(blank)).listed[0].name == UNKNOWN_SPEAKER


def test_display_name_with_controls_is_one_line() -> None:
    """A name can't break a line, a cell or a cue."""
    found = named(provider("Ada"), Ada="Ada\r\n\r\n00:01\x00 \ud800B\t")
    assert found.listed[0].name == "Ada 00:01 \ufffdB"


def test_speaker_that_is_not_listed_is_unknown() -> None:
    """Every segment has a name."""
    found = named(provider("Ada")).of("s9")
    assert (found.id, found.name) == ("s0", UNKNOWN_SPEAKER)


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=12), max_size=8))
def test_speakers_of_any_names_have_ids_and_names(names: list[str]) -> None:
    """Every id is found, no name is empty, and every speaker's time is kept."""
    speakers = provider(*names)
    found = shown_speakers(
        Task(task_id="t", speakers=speakers, speech_s=sum(each.talk_time_s for each in speakers))
    )
    assert all(found.of(speaker.id) in found.listed for speaker in speakers)
    assert all(speaker.name.isprintable() or speaker.name.strip() for speaker in found.listed)
    total = sum(speaker.talk_time_s for speaker in found.listed)
    assert total == pytest.approx(sum(speaker.talk_time_s for speaker in speakers))


SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 12), st.sampled_from(["s1", "s2", "s3", "s4"])),
    max_size=12,
)


def spoken(spans: list[tuple[int, int, str]]) -> list[Segment]:
    return [Segment(float(at), float(at + length), who, "x") for at, length, who in sorted(spans)]


def seconds_of(segments: list[Segment], *ids: str) -> int:
    """Count the seconds in which one of these speaks, one by one."""
    return sum(
        any(s.start_s <= second < s.end_s for s in segments if s.speaker in ids)
        for second in range(60)
    )


def task_of(segments: list[Segment], **names: str) -> Task:
    ids = ["s1", "s2", "s3", "s4"]
    speakers = [
        Speaker(each, each, 1, 1, float(seconds_of(segments, each)), 0.25, 0.0) for each in ids
    ]
    return Task(
        task_id="t",
        speakers=speakers,
        speech_s=float(seconds_of(segments, *ids)),
        speaker_names=[SpeakerName(*item) for item in names.items()],
    )


@given(SPANS)
def test_talk_time_of_joined_speakers_is_the_union(spans: list[tuple[int, int, str]]) -> None:
    """Time in which both of them speak counts once, and shares add up to 1."""
    segments = spoken(spans)
    task = task_of(segments, s3="Ada", s1="Ada")
    ada, *others = shown_speakers(task, segments).listed
    assert (ada.id, ada.name) == ("s1", "Ada")
    assert ada.talk_time_s == seconds_of(segments, "s1", "s3")
    assert [each.talk_time_s for each in others] == [seconds_of(segments, i) for i in ("s2", "s4")]
    shares = sum(each.share for each in (ada, *others))
    assert shares == pytest.approx(1.0 if segments and task.speech_s else 0.0)


@given(SPANS, st.sampled_from([{}, {"s3": "s1"}, {"s1": "x", "s2": "x", "s3": "x", "s4": "x"}]))
def test_talk_time_without_segments_is_exact_unless_they_are_needed(
    spans: list[tuple[int, int, str]], names: dict[str, str]
) -> None:
    """Where it is not exact, it is at least that of the longest, and at most all speech."""
    segments = spoken(spans)
    task = task_of(segments, **names)
    guessed, exact = shown_speakers(task).listed, shown_speakers(task, segments).listed
    if not needs_segments(task):
        assert guessed == exact
    for one, other in zip(guessed, exact, strict=True):
        assert other.talk_time_s <= one.talk_time_s <= task.speech_s


def test_three_speakers_of_27_seconds_in_a_recording_of_10_speak_for_10() -> None:
    """They interrupt each other all the time."""
    segments = [
        Segment(0.0, 9.0, "s1", "a"),
        Segment(0.5, 9.5, "s2", "b"),
        Segment(1.0, 10.0, "s3", "c"),
    ]
    speakers = [Speaker(f"s{n}", f"Speaker {n}", 1, 1, 9.0, 1 / 3, n / 2) for n in (1, 2, 3)]
    names = [SpeakerName(each.name, "Ada") for each in speakers]
    task = Task(task_id="t", speakers=speakers, speaker_names=names, speech_s=10.0)
    for found in (shown_speakers(task), shown_speakers(task, segments)):
        (ada,) = found.listed
        assert (ada.talk_time_s, ada.share, ada.segment_count) == (10.0, 1.0, 3)


def test_swapped_names_are_applied_once() -> None:
    """A display name may be the name that Mavi gave to somebody else."""
    found = named(provider("Ada", "Ben"), Ada="Ben", Ben="Ada")
    assert [(each.id, each.name) for each in found.listed] == [("s1", "Ben"), ("s2", "Ada")]
