"""TTML, read back by ttconv, by pycaption, and as XML."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pycaption
import pytest
import ttconv.imsc.reader
import ttconv.model
from hypothesis import given

from tests.unit.exports.samples import (
    FIXTURES,
    HOSTILE_TEXTS,
    NAMES,
    NONE,
    SCRIPTS,
    make_task,
    squeezed,
    transcripts,
    write,
)
from transcripts.tasks.task import Segment

TT = "{http://www.w3.org/ns/ttml}"
TTM = "{http://www.w3.org/ns/ttml#metadata}"
XML_ID = "{http://www.w3.org/XML/1998/namespace}id"


class Read(NamedTuple):
    start_ms: int
    end_ms: int
    text: str


def by_ttconv(text: str) -> list[Read]:
    document = ttconv.imsc.reader.to_model(ET.ElementTree(ET.fromstring(text)))  # noqa: S314 - ours
    body = document.get_body()
    return [
        Read(
            round((element.get_begin() or 0) * 1000),
            round(element.get_end() * 1000),
            "".join(
                part.get_text() if isinstance(part, ttconv.model.Text) else "\n"
                for part in element.dfs_iterator()
                if isinstance(part, ttconv.model.Text | ttconv.model.Br)
            ),
        )
        for element in body.dfs_iterator()
        if isinstance(element, ttconv.model.P)
    ]


@pytest.mark.parametrize("name", FIXTURES)
def test_ttml_of_every_fixture_is_read_back(name: str) -> None:
    """The file is well-formed XML with all text."""
    found = by_ttconv(write("ttml", FIXTURES[name], speakers=NONE))
    assert Counter(squeezed("".join(cue.text for cue in found))) == Counter(
        squeezed("".join(segment.text for segment in FIXTURES[name]))
    )
    assert all(cue.start_ms < cue.end_ms for cue in found)


@pytest.mark.parametrize("name", [*SCRIPTS, *HOSTILE_TEXTS])
def test_ttml_keeps_text_in_order(name: str) -> None:
    """In every script, no character is lost, doubled or moved."""
    found = by_ttconv(write("ttml", FIXTURES[name], speakers=NONE))
    assert squeezed("".join(cue.text for cue in found)) == squeezed(
        "".join(segment.text for segment in FIXTURES[name])
    )


# pycaption reads XML with an HTML parser, and bs4 says so.
@pytest.mark.filterwarnings("ignore::bs4.XMLParsedAsHTMLWarning")
@pytest.mark.filterwarnings("ignore:Call to deprecated method findChild:DeprecationWarning")
@pytest.mark.parametrize("name", [*SCRIPTS, "tags", "arrow", "rounding", "more than 99 hours"])
def test_ttml_is_read_alike_by_pycaption(name: str) -> None:
    """pycaption reads the same times and lines."""
    text = write("ttml", FIXTURES[name])
    captions = pycaption.DFXPReader().read(text)
    (language,) = captions.get_languages()
    found = [
        (cue.start // 1000, cue.end // 1000, squeezed(cue.get_text()))
        for cue in captions.get_captions(language)
    ]
    assert found == [(start, end, squeezed(text)) for start, end, text in by_ttconv(text)]


def test_ttml_speakers_are_agents_with_names() -> None:
    """Each cue refers to its speaker."""
    segments = FIXTURES["everything"]
    root = ET.fromstring(write("ttml", segments))  # noqa: S314 - ours
    agents = {agent.get(XML_ID): agent.findtext(f"{TTM}name") for agent in root.iter(f"{TTM}agent")}
    assert agents == {f"s{number}": name for number, name in enumerate(NAMES, 1)}
    said = {cue.get(f"{TTM}agent") for cue in root.iter(f"{TT}p")}
    assert said == set(agents)


def test_ttml_of_a_speaker_that_is_not_listed_has_no_agent() -> None:
    """A reference to a missing agent would be an error of the document."""
    root = ET.fromstring(write("ttml", FIXTURES["speaker not listed"]))  # noqa: S314 - ours
    assert {cue.get(f"{TTM}agent") for cue in root.iter(f"{TT}p")} == {None}


@pytest.mark.parametrize("name", ['"<&>"', "]]>", "a\x00b", "\ud800", "\ufffe"])
def test_ttml_name_of_any_characters_is_escaped(name: str) -> None:
    """Names stand in elements of the head and in the text."""
    segments = [Segment(0.0, 1.0, "s1", "Hello.")]
    (cue,) = by_ttconv(write("ttml", segments, task=make_task(segments, [name])))
    shown = squeezed(name) or "Unknown"
    assert squeezed(cue.text) == f"{shown}:Hello."


@given(transcripts())
def test_ttml_of_any_transcript_is_read_back(segments: list[Segment]) -> None:
    """Any text at any time is read back."""
    found = by_ttconv(write("ttml", segments, speakers=NONE))
    assert Counter(squeezed("".join(cue.text for cue in found))) == Counter(
        squeezed("".join(segment.text for segment in segments))
    )
