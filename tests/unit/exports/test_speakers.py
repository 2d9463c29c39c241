"""Speakers as people name them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcripts.exports.speakers import DisplayedSpeakers, displayed_speakers
from transcripts.tasks.names import UNKNOWN_SPEAKER
from transcripts.tasks.task import Speaker, SpeakerName


def provider(*names: str) -> list[Speaker]:
    return [
        Speaker(f"s{number}", name, number, 7, 0.5 * number, 0.25, 10.0 - number, [f"f{number}"])
        for number, name in enumerate(names, 1)
    ]


def named(speakers: list[Speaker], **names: str) -> DisplayedSpeakers:
    by_provider = {name.replace("_", " "): display for name, display in names.items()}
    return displayed_speakers(speakers, [SpeakerName(*item) for item in by_provider.items()])


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
    assert (ada.name, ada.provider_names, ada.face_ids) == ("Ada", ["Ada", "Carla"], ["f1", "f3"])
    assert (ada.segment_count, ada.talk_time_s, ada.share) == (4, 2.0, 0.5)
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
    found = displayed_speakers(speakers, [])
    assert all(found.of(speaker.id) in found.listed for speaker in speakers)
    assert all(speaker.name.isprintable() or speaker.name.strip() for speaker in found.listed)
    total = sum(speaker.talk_time_s for speaker in found.listed)
    assert total == sum(speaker.talk_time_s for speaker in speakers)
