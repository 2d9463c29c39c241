"""Formats by name, and their options as they stand in a query."""

from __future__ import annotations

import pytest

from tests.unit.exports.samples import make_task
from transcripts.errors import RequestError, UnknownFormat
from transcripts.exports import FORMATS, Options, SpeakerLabels, export, find_format
from transcripts.tasks.task import Segment

SEGMENTS = [Segment(0.0, 1.0, "s1", "Hello.")]


def test_formats_are_those_of_the_contract() -> None:
    """Fourteen formats have the names that paths use."""
    assert list(FORMATS) == [
        "json",
        "srt",
        "vtt",
        "txt",
        "md",
        "csv",
        "tsv",
        "rttm",
        "ttml",
        "docx",
        "audacity.txt",
        "maxqda.txt",
        "whisperx.json",
        "podcast.json",
    ]


def test_format_suffix_is_a_dot_and_its_name() -> None:
    """A path and a file name have the same ending."""
    assert all(each.suffix == f".{name}" for name, each in FORMATS.items())


@pytest.mark.parametrize("name", ["", "pdf", "SRT", "srt ", "../srt", "json.txt", "\x00"])
def test_unknown_format_is_refused_before_anything_is_written(name: str) -> None:
    """The error lists the formats, and does not repeat the requested name."""
    with pytest.raises(UnknownFormat) as raised:
        export(name, make_task(SEGMENTS), SEGMENTS)
    assert (raised.value.status, raised.value.code) == (404, "unknown_format")
    assert "srt" in raised.value.message
    assert raised.value.details == {"formats": list(FORMATS)}


def test_options_are_read_from_a_query() -> None:
    """Missing options have their defaults."""
    read = find_format("srt").read_options
    assert read({}) == Options(42, SpeakerLabels.CHANGE, bom=False, raw=False)
    assert read({"max_chars": "37", "speakers": "none", "bom": "true"}) == Options(
        37, SpeakerLabels.NONE, bom=True
    )
    assert find_format("csv").read_options({"raw": "1", "bom": "0"}) == Options(raw=True)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("srt", {"max_chars": "41"}, "max_chars must be 32, 37 or 42."),
        ("srt", {"max_chars": "４２"}, "max_chars must be"),
        ("srt", {"max_chars": ""}, "max_chars must be"),
        ("srt", {"speakers": "Always"}, "speakers must be none, change or always."),
        ("csv", {"bom": "yes"}, "bom must be true or false."),
        ("csv", {"raw": ""}, "raw must be true or false."),
        ("csv", {"max_chars": "42"}, "The options of this format are: bom, raw."),
        ("json", {"bom": "true"}, "The options of this format are: none."),
        ("srt", {"\x00": "x"}, "The options of this format are: bom, max_chars, speakers."),
    ],
)
def test_bad_option_is_one_clear_error(name: str, values: dict[str, str], said: str) -> None:
    """The error lists the allowed values."""
    with pytest.raises(RequestError) as raised:
        find_format(name).read_options(values)
    assert (raised.value.status, raised.value.code) == (400, "bad_option")
    assert said in raised.value.message


def test_all_bad_options_are_named_at_once() -> None:
    """One error names every bad option."""
    with pytest.raises(RequestError) as raised:
        find_format("srt").read_options({"max_chars": "1", "speakers": "x", "raw": "true"})
    assert raised.value.message == (
        "max_chars must be 32, 37 or 42. speakers must be none, change or always. "
        "The options of this format are: bom, max_chars, speakers."
    )


@pytest.mark.parametrize("name", FORMATS)
def test_byte_order_mark_is_written_only_where_it_may_be(name: str) -> None:
    """JSON and XML never have one (RFC 8259), and other formats only with ``bom``."""
    task = make_task(SEGMENTS)
    plain = b"".join(export(name, task, SEGMENTS))
    marked = b"".join(export(name, task, SEGMENTS, Options(bom=True)))
    mark = b"\xef\xbb\xbf" if "bom" in FORMATS[name].options else b""
    assert not plain.startswith(b"\xef\xbb\xbf")
    assert marked == mark + plain


SUBTITLES = {"max_chars", "speakers", "bom"}


def test_formats_have_these_options() -> None:
    """A new option of a format is put here on purpose; docs/openapi.yaml lists all."""
    assert {name: set(each.options) for name, each in FORMATS.items() if each.options} == {
        "srt": SUBTITLES,
        "vtt": SUBTITLES,
        "txt": {"speakers", "bom"},
        "md": {"speakers", "bom"},
        "csv": {"bom", "raw"},
        "tsv": {"bom"},
        "ttml": {"max_chars", "speakers"},
        "docx": {"speakers"},
        "audacity.txt": {"bom"},
        "maxqda.txt": {"bom"},
    }
