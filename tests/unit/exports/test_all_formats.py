"""Tests of every format."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.exports.samples import (
    FIXTURES,
    NAMES,
    make_task,
    renamed,
    transcripts,
)
from transcripts.exports.export import CHUNK_CHARACTERS, export
from transcripts.exports.registry import FORMATS
from transcripts.tasks.task import Segment, Task

IDS_ONLY = {"rttm"}
"""Formats that write ids of speakers, not names."""

PARAGRAPHS = {"txt", "md", "docx", "maxqda.txt"}
"""Consecutive lines of one speaker are one paragraph, which has one time."""

SPOKEN = [
    Segment(0.0, 2.0, "s1", "Hello."),
    Segment(2.0, 4.5, "s2", "Hi."),
    Segment(4.5, 6.0, "s3", "Good morning."),
    Segment(6.0, 40.0, "s2", "So this is a longer thing to say, and it is going to be split. " * 6),
    Segment(20.0, 21.0, "s3", "Yes."),
]


def text_of(name: str, task: Task, segments: list[Segment]) -> str:
    written = b"".join(export(name, task, iter(segments)))
    if name == "docx":
        return zipfile.ZipFile(io.BytesIO(written)).read("word/document.xml").decode()
    return written.decode()


def times_of(name: str, text: str) -> list[str]:
    """Return all numbers but ids: in a transcript without digits they are times and cue numbers."""
    begin = {"json": '"segments"', "md": "\n---", "ttml": "<body", "docx": "</w:p>"}.get(name)
    body = text[text.index(begin) :] if begin else text
    return re.findall(r"(?<![s\d])\d+", body)


@pytest.mark.parametrize("name", FORMATS)
def test_rename_changes_every_export_and_no_time(name: str) -> None:
    """No place in an export keeps the old name."""
    before = make_task(SPOKEN)
    after = make_task(SPOKEN, speaker_names=renamed(before, {"s2": "Benjamin R. Example-Smith"}))
    old, new = text_of(name, before, SPOKEN), text_of(name, after, SPOKEN)
    assert len(times_of(name, old)) >= 10
    assert times_of(name, new) == times_of(name, old)
    if name in IDS_ONLY:
        assert new == old
        return
    assert new != old
    assert "Benjamin" in new
    kept = new.replace('"given_name":"Ben & <Jerry>"', "")
    assert not re.search("Ben (&|&amp;) ", kept)


@pytest.mark.parametrize("name", FORMATS)
def test_merge_of_two_speakers_changes_every_export_and_no_time(name: str) -> None:
    """The merged speakers have one name and one id; alternating speech may be one paragraph."""
    before = make_task(SPOKEN)
    after = make_task(SPOKEN, speaker_names=renamed(before, {"s2": "李雷"}))
    old, new = text_of(name, before, SPOKEN), text_of(name, after, SPOKEN)
    assert new != old
    if name in PARAGRAPHS:
        assert len(times_of(name, new)) < len(times_of(name, old))
    else:
        assert times_of(name, new) == times_of(name, old)
    assert not re.search(r"\bs3\b", new)


def without_digits(text: str) -> str:
    return re.sub(r"\d", "", text)


@given(transcripts(), st.text(st.characters(exclude_categories=()), max_size=40))
def test_rename_of_any_transcript_changes_no_time(spoken: list[Segment], display: str) -> None:
    """This holds in all formats, for any name and any text."""
    segments = [replace(segment, text=without_digits(segment.text)) for segment in spoken]
    before = make_task(segments)
    shown = without_digits(display)
    names = renamed(before, {"s1": f"{shown}a", "s2": f"{shown}b"})
    after = make_task(segments, speaker_names=names)
    for name in FORMATS:
        old, new = text_of(name, before, segments), text_of(name, after, segments)
        assert times_of(name, new) == times_of(name, old), name


@pytest.mark.parametrize("name", FORMATS)
def test_undone_rename_gives_the_first_export(name: str) -> None:
    """An export depends only on the present names."""
    task = make_task(SPOKEN)
    again = make_task(SPOKEN, speaker_names=renamed(task, {"s1": NAMES[0], "s2": NAMES[1]}))
    assert text_of(name, again, SPOKEN) == text_of(name, task, SPOKEN)


class Counted(Iterator[Segment]):
    """Segments without end of a page each, that says how many were read; to be read once."""

    def __init__(self, count: int) -> None:
        self.read = 0
        self._count = count

    def __next__(self) -> Segment:
        if self.read >= self._count:
            raise StopIteration
        self.read += 1
        return Segment(
            self.read * 4.0, self.read * 4.0 + 3.5, f"s{self.read % 3 + 1}", "word " * 30
        )


@pytest.mark.parametrize("name", FORMATS)
def test_export_reads_segments_as_its_chunks_are_consumed(name: str) -> None:
    """The first chunk comes before the last segment is read, and each is read once."""
    segments = Counted(4_000)
    chunks = export(name, make_task([]), segments)
    assert segments.read == 0
    first = next(chunks)
    assert segments.read < 2_000
    rest = list(chunks)
    assert segments.read == 4_000
    assert all(len(chunk) < 2 * CHUNK_CHARACTERS for chunk in [first, *rest])


@pytest.mark.parametrize("name", FORMATS)
def test_export_of_a_segment_of_the_largest_size_is_written(name: str) -> None:
    """A segment with 200 KB of text is written in less than a second."""
    for text in ("word " * 40_000, "字" * 66_000, "x" * 200_000):
        assert text_of(name, make_task([]), [Segment(0.0, 3600.0, "s1", text)])


@pytest.mark.parametrize("name", FORMATS)
def test_export_of_nothing_is_a_file_of_its_format(name: str) -> None:
    """A silent recording has an export."""
    assert text_of(name, make_task([], []), []) is not None


@pytest.mark.parametrize("name", FORMATS)
def test_export_ends_with_a_line_break(name: str) -> None:
    """Text files can then be joined, and read by lines."""
    text = text_of(name, make_task(SPOKEN), SPOKEN)
    assert name == "docx" or text.endswith("\n")


@pytest.mark.parametrize("name", FORMATS)
def test_export_of_every_fixture_is_utf_8(name: str) -> None:
    """No export has lone surrogates, or control characters other than line breaks."""
    for fixture, segments in FIXTURES.items():
        text = text_of(name, make_task(segments), segments)
        found = re.search("[\x00-\x08\x0e-\x1b\x7f\ud800-\udfff\ufffe]", text)
        assert not found or "json" in name, fixture
