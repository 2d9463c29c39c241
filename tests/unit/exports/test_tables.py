"""Tables: CSV, TSV and Audacity's labels, read back by the standard library's csv."""

from __future__ import annotations

import csv
import io
import re
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    """Read as pandas and spreadsheets do: a cell may be quoted."""
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t"))


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
        "start_s,end_s,speaker_id,speaker,text\r\n"
        '0.000,1.500,s1,"Ada Example","say ""no"", now"\r\n'
    )


SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"


@pytest.mark.parametrize("first", ["", " ", "\t", "\r\n", '"'])
@pytest.mark.parametrize("sign", SIGNS)
def test_csv_cell_that_a_spreadsheet_would_run_is_guarded(sign: str, first: str) -> None:
    """Text and names are guarded; ``raw`` leaves them unchanged."""
    segments = [Segment(0.0, 1.0, "s1", f"{first}{sign}1+1")]
    task = make_task(segments, [f"{sign}name"])
    (row,) = read_csv(write("csv", segments, task=task))
    assert row["text"] in (f"'{first}{sign}1+1", f"{first}'{sign}1+1")
    assert row["speaker"] == f"'{sign}name"
    (row,) = read_csv(write("csv", segments, task=task, raw=True))
    assert row["text"] == f"{first}{sign}1+1"


@given(st.text(st.sampled_from('=-@;\t\n" a,'), max_size=12), st.sampled_from(",;\t"))
def test_csv_begins_no_cell_with_a_formula_in_any_locale(text: str, separator: str) -> None:
    """Where the list separator is another, cells and rows end inside of the quotes."""
    written = write("csv", [Segment(0.0, 1.0, "s1", text)])
    quoted = csv.reader(io.StringIO(written, newline=""), delimiter=separator)
    plain = re.split(r"[\r\n]+" if separator == "," else rf"[\r\n{separator}]+", written)
    for cell in [*(cell for row in quoted for cell in row), *plain]:
        assert not re.match(rf'[\s"]*[{re.escape(SIGNS)}]', cell)


def test_csv_text_without_formulas_is_unchanged() -> None:
    """A guard stands only where a cell may begin."""
    text = "well-known: 1+1=2; a - b, -c @d"
    (row,) = read_csv(write("csv", [Segment(0.0, 1.0, "s1", text)]))
    assert row["text"] == text


@pytest.mark.parametrize("text", ['"Yes" he said', '"', 'a "b" c', '""'])
def test_tsv_quotation_mark_does_not_merge_rows(text: str) -> None:
    """Only a cell that begins with one is quoted."""
    segments = [Segment(0.0, 1.0, "s1", text), Segment(1.0, 2.0, "s1", "Next.")]
    written = write("tsv", segments)
    assert [row["text"] for row in read_tsv(written)] == [text, "Next."]
    assert ('"""' in written) is text.startswith('"')


def test_tsv_is_as_whisper_writes_it() -> None:
    """Times are whole milliseconds, under a header."""
    segments = [Segment(0.9995, 2.0, "s1", "a\tb\r\nc")]
    assert write("tsv", segments) == ("start\tend\tspeaker\ttext\n1000\t2000\tAda Example\ta b c\n")


def test_audacity_label_never_begins_with_a_backslash() -> None:
    """Audacity would read such a line as a frequency range."""
    segments = [Segment(0.0, 1.0, "s1", "Hello.")]
    text = write("audacity.txt", segments, task=make_task(segments, ["\\\\Ada"]))
    assert text == "0.000\t1.000\tAda: Hello.\n"
