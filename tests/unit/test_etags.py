"""Entity tags: which state, and which names of speakers, a reader has seen."""

from __future__ import annotations

import pytest

from tests.viewer import a_transcript
from transcripts.results.etags import etag, matches, names_match
from transcripts.tasks.task import SpeakerName, Task

ADA, BEN = SpeakerName("Speaker 1", "Ada"), SpeakerName("Speaker 2", "Ben")


def task(*names: SpeakerName, revision: str = "r1") -> Task:
    return a_transcript(speaker_names=list(names), revision=revision)


def test_etag_differs_by_version() -> None:
    """A quoted text without anything that a proxy could take for another tag."""
    assert etag(b"1", task()) == etag(b"1", task())
    assert etag(b"1", task()) != etag(b"2", task())
    assert "Ada" not in etag(b"1", task(ADA))


@pytest.mark.parametrize(
    ("header", "same"),
    [
        (None, False),
        ("", False),
        ("*", True),
        ('"other"', False),
        ("TAG", True),
        ("W/TAG", True),
        ('"other" , W/TAG', True),
    ],
)
def test_header_matches_a_tag(header: str | None, *, same: bool) -> None:
    """A list of tags, weak or strong, or any."""
    tag = etag(b"version", task(ADA))
    assert matches(header and header.replace("TAG", tag), tag) is same


@pytest.mark.parametrize(
    ("then", "now", "changed"),
    [
        ([], [ADA], {"Speaker 1"}),
        ([ADA], [], {"Speaker 1"}),
        ([ADA], [SpeakerName("Speaker 1", "Eva")], {"Speaker 1"}),
        ([ADA], [ADA, BEN], {"Speaker 2"}),
        ([ADA, BEN], [BEN], {"Speaker 1"}),
        ([ADA, BEN], [BEN, ADA], set()),
    ],
)
def test_names_match_a_tag_unless_they_have_changed(
    then: list[SpeakerName], now: list[SpeakerName], changed: set[str]
) -> None:
    """Given, taken away or changed, in any order; a name is found in any spelling."""
    old, current = etag(b"1", task(*then)), task(*now)
    tag = etag(b"2", current)
    for name in ("Speaker 1", "Speaker 2", "Speaker 3"):
        assert names_match(old, tag, current, [name]) is (name not in changed)
        assert names_match(f'"x", W/{old}', tag, current, [f" {name} "]) is (name not in changed)
    every = ["Speaker 1", "Speaker 2", "Speaker 3"]
    assert names_match(old, tag, current, every) is (not changed)
    assert names_match(tag, tag, current, ["Speaker 1"])
    assert names_match("*", tag, current, ["Speaker 1"])


def test_names_match_no_tag_of_another_result_or_task() -> None:
    """A name may stand for somebody else there; nor does a text that is no tag match."""
    current = task(ADA)
    tag = etag(b"2", current)
    others = [etag(b"1", task(ADA, revision="r0")), etag(b"1", a_transcript("other"))]
    for other in [*others, "", '"x"', tag[1:-1], f'"{"0" * 24}"']:
        assert not names_match(other, tag, current, ["Speaker 2"])


def test_etag_of_very_many_names_has_a_bounded_length() -> None:
    """Any change is a conflict then: a server refuses headers of unlimited length."""
    names = [SpeakerName(f"Speaker {number}", "x") for number in range(1, 102)]
    assert len(etag(b"1", task(*names[:100]))) == 2 + 24 + 7 + 1200
    long = task(*names)
    assert len(etag(b"1", long)) == 26
    assert not names_match(etag(b"1", long), etag(b"2", long), long, ["Speaker 1"])
    assert names_match(etag(b"1", long), etag(b"1", long), long, ["Speaker 1"])
