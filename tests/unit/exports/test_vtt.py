"""WebVTT, read back by webvtt-py, pycaption and ttconv."""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from typing import NamedTuple

import pycaption
import pytest
import ttconv.model
import ttconv.vtt.reader
import webvtt
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


class Read(NamedTuple):
    start_ms: int
    end_ms: int
    voice: str
    text: str


def by_webvtt(text: str) -> list[Read]:
    """webvtt-py is strict about blocks, and leaves the escapes to its caller."""
    found = []
    for caption in webvtt.from_string(text, strict=True).captions:
        voice = re.match(r"<v ([^>]*)>", caption.raw_text)
        found.append(
            Read(
                caption.start_time.in_milliseconds(),
                caption.end_time.in_milliseconds(),
                html.unescape(voice[1]) if voice else "",
                html.unescape(caption.raw_text[voice.end() if voice else 0 :]),
            )
        )
    return found


PLAIN_NAMES = ("Ada Example", "Ben", "李雷")
"""ttconv 1.2.3 takes escapes in a name for escapes in the text (one number for two states)."""


def by_ttconv(text: str) -> list[tuple[int, int, str]]:
    document = ttconv.vtt.reader.to_model(io.StringIO(text))
    found = []
    for element in document.get_body().dfs_iterator():
        if isinstance(element, ttconv.model.P):
            parts = [
                part.get_text() if isinstance(part, ttconv.model.Text) else "\n"
                for part in element.dfs_iterator()
                if isinstance(part, ttconv.model.Text | ttconv.model.Br)
            ]
            found.append(
                (
                    round((element.get_begin() or 0) * 1000),
                    round(element.get_end() * 1000),
                    "".join(parts),
                )
            )
    return found


def by_pycaption(text: str) -> list[tuple[int, int, str]]:
    captions = pycaption.WebVTTReader().read(text, lang="en").get_captions("en")
    return [(cue.start // 1000, cue.end // 1000, cue.get_text()) for cue in captions]


def spoken(segments: list[Segment], spellings: tuple[str, ...] = NAMES) -> dict[str, Counter[str]]:
    """Return the characters that each speaker says."""
    names = {f"s{number}": name for number, name in enumerate(spellings, 1)}
    said: dict[str, Counter[str]] = {}
    for segment in segments:
        said.setdefault(names.get(segment.speaker, "Unknown"), Counter()).update(
            squeezed(segment.text)
        )
    return {name: characters for name, characters in said.items() if characters}


def heard(cues: list[Read]) -> dict[str, Counter[str]]:
    said: dict[str, Counter[str]] = {}
    for cue in cues:
        said.setdefault(cue.voice, Counter()).update(squeezed(cue.text))
    return said


@pytest.mark.parametrize("name", FIXTURES)
def test_vtt_of_every_fixture_is_read_back(name: str) -> None:
    """Each voice has the text of its speaker, and times go forward."""
    found = by_webvtt(write("vtt", FIXTURES[name]))
    assert heard(found) == spoken(FIXTURES[name])
    starts = [cue.start_ms for cue in found]
    assert starts == sorted(starts)
    assert all(cue.start_ms < cue.end_ms for cue in found)


@pytest.mark.parametrize("name", FIXTURES)
def test_vtt_is_read_alike_by_a_reader_of_the_specification(name: str) -> None:
    """ttconv tokenizes the text of cues, tags and escapes included."""
    segments = FIXTURES[name]
    text = write("vtt", segments, task=make_task(segments, PLAIN_NAMES))
    found = by_ttconv(text)
    assert [(a, b, squeezed(c)) for a, b, c in found] == [
        (cue.start_ms, cue.end_ms, squeezed(cue.text)) for cue in by_webvtt(text)
    ]


@pytest.mark.parametrize("name", [*SCRIPTS, "tags", "arrow", "rounding", "overlaps"])
def test_vtt_is_read_alike_by_pycaption(name: str) -> None:
    """pycaption writes the voice as the beginning of the text."""
    text = write("vtt", FIXTURES[name])
    assert [(a, b, squeezed(c)) for a, b, c in by_pycaption(text)] == [
        (cue.start_ms, cue.end_ms, squeezed(f"{cue.voice}: {cue.text}")) for cue in by_webvtt(text)
    ]


@pytest.mark.parametrize("name", [*SCRIPTS, *HOSTILE_TEXTS])
def test_vtt_keeps_text_in_order(name: str) -> None:
    """In every script, no character is lost, doubled or moved."""
    found = by_webvtt(write("vtt", FIXTURES[name], speakers=NONE))
    assert squeezed("".join(cue.text for cue in found)) == squeezed(
        "".join(segment.text for segment in FIXTURES[name])
    )
    assert all(not cue.voice for cue in found)


def test_vtt_repeats_the_voice_in_every_cue() -> None:
    """A voice ends with its cue, and no line may be left without a name."""
    segments = [Segment(0.0, 20.0, "s2", "word " * 60), Segment(20.0, 21.0, "s2", "More.")]
    found = by_webvtt(write("vtt", segments))
    assert len(found) > 3
    assert {cue.voice for cue in found} == {"Ben & <Jerry>"}


@pytest.mark.parametrize(
    "name",
    [
        "a > b",
        "&amp;",
        "AT&T <b>",
        "-->",
        "two\nlines",
        "\u202ertl",
        "",
        "a\tb",
        "x" * 200,
        "Ada--",
        "-",
    ],
)
def test_vtt_voice_of_any_name_is_read_back(name: str) -> None:
    """A name can't end its tag, nor the cue."""
    segments = [Segment(0.0, 1.0, "s1", "Hello.")]
    text = write("vtt", segments, task=make_task(segments, [name]))
    (cue,) = by_webvtt(text)
    assert squeezed(cue.voice) == squeezed(name or "Unknown")
    assert cue.text == "Hello."
    assert text.count("-->") == 1


@given(transcripts())
def test_vtt_of_any_transcript_is_read_back(segments: list[Segment]) -> None:
    """Two libraries read the same."""
    text = write("vtt", segments, task=make_task(segments, PLAIN_NAMES))
    found = by_webvtt(text)
    assert heard(found) == spoken(segments, PLAIN_NAMES)
    assert [(a, b, squeezed(c)) for a, b, c in by_ttconv(text)] == [
        (cue.start_ms, cue.end_ms, squeezed(cue.text)) for cue in found
    ]
