"""Tables: CSV, TSV and Audacity's labels, read back by the standard library's csv."""

from __future__ import annotations

import csv
import io
from unicodedata import category

import pytest
from hypothesis import given

from tests.unit.exports.samples import (
    FIXTURES,
    NAMES,
    make_task,
    milliseconds,
    squeezed,
    transcripts,
    write,
)
from transcripts.tasks.task import Segment


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def read_tsv(text: str) -> list[dict[str, str]]:
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE, strict=True
    )
    return list(reader)


def name_of(segment: Segment) -> str:
    return {f"s{n}": name for n, name in enumerate(NAMES, 1)}.get(segment.speaker, "Unknown")


def same_time(written_ms: float, seconds: float) -> bool:
    return abs(written_ms - milliseconds(seconds)) <= 0.5001


def check_csv(segments: list[Segment]) -> None:
    rows = read_csv(write("csv", segments, raw=True))
    for row, segment in zip(rows, segments, strict=True):
        assert same_time(float(row["start_s"]) * 1000, segment.start_s)
        assert same_time(float(row["end_s"]) * 1000, max(segment.start_s, segment.end_s))
        assert row["speaker"] == name_of(segment)
        whole = segment.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        kept = "\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85"
        assert row["text"] == "".join(
            c for c in whole if (category(c) != "Cc" or c in kept) and c not in "\ufffe\uffff"
        )


def check_tsv(segments: list[Segment]) -> None:
    rows = read_tsv(write("tsv", segments))
    for row, segment in zip(rows, segments, strict=True):
        assert same_time(int(row["start"]), segment.start_s)
        assert same_time(int(row["end"]), max(segment.start_s, segment.end_s))
        assert row["speaker"] == name_of(segment)
        assert squeezed(row["text"]) == squeezed(segment.text)


def check_audacity(segments: list[Segment]) -> None:
    lines = write("audacity.txt", segments).split("\n")
    assert lines.pop() == ""
    for line, segment in zip(lines, segments, strict=True):
        start, end, label = line.split("\t")
        assert same_time(float(start) * 1000, segment.start_s)
        assert same_time(float(end) * 1000, max(segment.start_s, segment.end_s))
        assert squeezed(label) == squeezed(f"{name_of(segment)}: {segment.text}")


@pytest.mark.parametrize("name", FIXTURES)
def test_tables_of_every_fixture_are_read_back(name: str) -> None:
    """Each segment has a row with its times to the millisecond, its name and all text."""
    check_csv(FIXTURES[name])
    check_tsv(FIXTURES[name])
    check_audacity(FIXTURES[name])


@given(transcripts())
def test_tables_of_any_transcript_are_read_back(segments: list[Segment]) -> None:
    """CSV keeps line breaks; the other tables have blanks instead."""
    check_csv(segments)
    check_tsv(segments)
    check_audacity(segments)


def test_csv_ends_lines_as_its_standard_says() -> None:
    """Every row ends with CR and LF, the last one too."""
    text = write("csv", [Segment(0.0, 1.5, "s1", 'say "no", now')])
    assert text == (
        'start_s,end_s,speaker_id,speaker,text\r\n0.000,1.500,s1,Ada Example,"say ""no"", now"\r\n'
    )


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_csv_cell_that_a_spreadsheet_would_run_is_guarded(first: str) -> None:
    """Text and names are guarded; ``raw`` leaves them unchanged."""
    segments = [Segment(0.0, 1.0, "s1", f"{first}1+1")]
    task = make_task(segments, [f"{first}name"])
    (row,) = read_csv(write("csv", segments, task=task))
    assert row["text"] == f"'{first}1+1"
    if not first.isspace():
        assert row["speaker"] == f"'{first}name"
    (row,) = read_csv(write("csv", segments, task=task, raw=True))
    assert row["text"] == f"{first}1+1"


def test_tsv_is_as_whisper_writes_it() -> None:
    """Times are whole milliseconds, under a header."""
    segments = [Segment(0.9995, 2.0, "s1", "a\tb\r\nc")]
    assert write("tsv", segments) == ("start\tend\tspeaker\ttext\n1000\t2000\tAda Example\ta b c\n")


def test_audacity_label_never_begins_with_a_backslash() -> None:
    """Audacity would read such a line as a frequency range."""
    segments = [Segment(0.0, 1.0, "s1", "Hello.")]
    text = write("audacity.txt", segments, task=make_task(segments, ["\\\\Ada"]))
    assert text == "0.000\t1.000\tAda: Hello.\n"
