"""Formats by name, and their options as they stand in a query."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from tests.unit.exports.samples import make_task
from transcripts.errors import RequestError, UnknownFormat
from transcripts.exports.export import export
from transcripts.exports.options import OPTIONS, Options, SpeakerLabels, read_options
from transcripts.exports.registry import FORMATS
from transcripts.tasks.task import Segment

SEGMENTS = [Segment(0.0, 1.0, "s1", "Hello.")]


def test_formats_keep_the_names_that_paths_use() -> None:
    """A caller's address has the name in it, so none of these goes or changes."""
    names = "json srt vtt txt md csv tsv rttm ttml docx audacity.txt maxqda.txt whisperx.json"
    assert {*names.split(), "podcast.json"} <= FORMATS.keys()


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
    offered = FORMATS["srt"].options
    assert read_options(offered, {}) == Options(42, SpeakerLabels.CHANGE, bom=False, raw=False)
    given = {"max_chars": "37", "speakers": "none", "bom": "true"}
    assert read_options(offered, given) == Options(37, SpeakerLabels.NONE, bom=True)
    assert read_options(FORMATS["csv"].options, {"raw": "1", "bom": "0"}) == Options(raw=True)


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
        read_options(FORMATS[name].options, values)
    assert (raised.value.status, raised.value.code) == (400, "bad_option")
    assert said in raised.value.message


def test_all_bad_options_are_named_at_once() -> None:
    """One error names every bad option."""
    with pytest.raises(RequestError) as raised:
        read_options(FORMATS["srt"].options, {"max_chars": "1", "speakers": "x", "raw": "true"})
    assert raised.value.message == (
        "max_chars must be 32, 37 or 42. speakers must be none, change or always. "
        "The options of this format are: bom, max_chars, speakers."
    )


CHOICES: dict[str, Any] = {
    "max_chars": 32,
    "speakers": SpeakerLabels.NONE,
    "bom": True,
    "raw": True,
}
SPOKEN = [
    Segment(0.0, 5.0, "s1", "=1 is what a spreadsheet calculates. " * 5),
    Segment(5.0, 6.0, "s2", "Yes."),
]


@pytest.mark.parametrize("option", CHOICES)
@pytest.mark.parametrize("name", FORMATS)
def test_option_changes_just_the_formats_that_offer_it(name: str, option: str) -> None:
    """So JSON and XML never have a byte-order mark, which RFC 8259 forbids."""
    task = make_task(SPOKEN)
    usual = b"".join(export(name, task, SPOKEN))
    chosen = replace(Options(), **{option: CHOICES[option]})
    changed = b"".join(export(name, task, SPOKEN, chosen))
    assert (changed != usual) is (option in FORMATS[name].options)
    if option == "bom" and changed != usual:
        assert changed == b"\xef\xbb\xbf" + usual


def test_options_have_a_row_for_each_field() -> None:
    """Each default is a value that can be asked for."""
    assert set(OPTIONS) == set(CHOICES) == {field.name for field in fields(Options)}
    for name, option in OPTIONS.items():
        assert getattr(Options(), name) in option.values.values()
