"""Documents for people: plain text, Markdown, Word, and what MAXQDA imports."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import docx
import pytest
import yaml
from hypothesis import given
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.unit.exports.samples import (
    ALWAYS,
    FIXTURES,
    NAMES,
    NONE,
    SCRIPTS,
    make_task,
    squeezed,
    transcripts,
    write,
)
from transcripts.exports.export import export
from transcripts.exports.options import Options
from transcripts.tasks.task import Segment, Source, Task

TALK = [
    Segment(0.0, 2.0, "s1", "Hello."),
    Segment(2.0, 4.0, "s1", "Are you there?"),
    Segment(4.5, 5.0, "s2", "I am."),
    Segment(3725.9, 3727.0, "s1", "Good."),
]


def speeches(segments: list[Segment]) -> list[tuple[str, str]]:
    """Return speakers and texts: consecutive segments with text of one speaker are one speech."""
    names = {f"s{number}": name for number, name in enumerate(NAMES, 1)}
    found: list[tuple[str, str]] = []
    for segment in segments:
        text = squeezed(segment.text)
        if not text:
            continue
        name = names.get(segment.speaker, "Unknown")
        if found and found[-1][0] == name:
            found[-1] = (name, found[-1][1] + text)
        else:
            found.append((name, text))
    return found


def joined(paragraphs: list[tuple[str | None, str]]) -> list[tuple[str, str]]:
    """Return speakers and texts of a document, which may name a speaker once for paragraphs."""
    found: list[tuple[str, str]] = []
    for name, text in paragraphs:
        if name is None or (found and found[-1][0] == name):
            found[-1] = (found[-1][0], found[-1][1] + squeezed(text))
        else:
            found.append((name, squeezed(text)))
    return found


def in_text(text: str) -> list[tuple[str | None, str]]:
    found: list[tuple[str | None, str]] = []
    for paragraph in text.split("\n\n")[:-1]:
        match = re.fullmatch(r"\[\d{2,}:\d\d:\d\d\] (.*)", paragraph)
        assert match is not None, paragraph
        name = next((n for n in (*NAMES, "Unknown") if match[1].startswith(f"{n}: ")), None)
        found.append((name, match[1][len(name) + 2 :] if name else match[1]))
    return found


def in_maxqda(text: str) -> list[tuple[str | None, str]]:
    found: list[tuple[str | None, str]] = []
    for paragraph in text.split("\n\n")[:-1]:
        match = re.fullmatch(r"\d{2,}:\d\d:\d\d\.\d([^:]+): (.*)", paragraph)
        assert match is not None, paragraph
        found.append((match[1], match[2]))
    return found


def visible(token: Token) -> str:
    """Return the text of an inline token; nothing in it may be markup, but bold names."""
    kinds = {child.type for child in token.children or []}
    assert kinds <= {"text", "text_special", "strong_open", "strong_close"}, kinds
    return "".join(child.content for child in token.children or [])


def in_markdown(text: str) -> list[tuple[str | None, str]]:
    """Read by CommonMark's rules: a line of name and time, and a paragraph of text."""
    _, front, body = text.split("---\n", 2)
    assert isinstance(yaml.safe_load(front), dict)
    tokens = MarkdownIt("commonmark").parse(body)
    assert {token.type for token in tokens} <= {
        *("heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline")
    }
    lines = [visible(token) for token in tokens if token.type == "inline"][1:]
    found: list[tuple[str | None, str]] = []
    for stamp, said in zip(lines[::2], lines[1::2], strict=True):
        name, _, time = stamp.rpartition(" · ")
        assert re.fullmatch(r"\d{2,}:\d\d:\d\d", time)
        found.append((name or None, said))
    return found


def write_word(segments: list[Segment], task: Task | None = None, **choices: object) -> bytes:
    task = task or make_task(segments)
    return b"".join(export("docx", task, iter(segments), Options(**choices)))  # type: ignore[arg-type] # any option


def in_word(content: bytes) -> list[tuple[str | None, str]]:
    paragraphs = list(docx.Document(io.BytesIO(content)).paragraphs)[2:]
    found: list[tuple[str | None, str]] = []
    for heading, said in zip(paragraphs[::2], paragraphs[1::2], strict=True):
        assert heading.style is not None
        assert heading.style.name == "Speaker"
        *name, time = [run.text for run in heading.runs]
        assert re.fullmatch(r"\d{2,}:\d\d:\d\d", time)
        found.append((name[0] if name else None, said.text))
    return found


@pytest.mark.parametrize("name", FIXTURES)
def test_documents_of_every_fixture_are_read_back(name: str) -> None:
    """All four formats have the speakers and texts of the source."""
    expected = speeches(FIXTURES[name])
    assert joined(in_text(write("txt", FIXTURES[name]))) == expected
    assert joined(in_maxqda(write("maxqda.txt", FIXTURES[name]))) == expected
    assert joined(in_markdown(write("md", FIXTURES[name]))) == expected
    assert joined(in_word(write_word(FIXTURES[name]))) == expected


@given(transcripts())
def test_documents_of_any_transcript_are_read_back(segments: list[Segment]) -> None:
    """Any text at any time is read back."""
    expected = speeches(segments)
    assert joined(in_text(write("txt", segments))) == expected
    assert joined(in_maxqda(write("maxqda.txt", segments))) == expected
    assert joined(in_markdown(write("md", segments))) == expected
    assert joined(in_word(write_word(segments))) == expected


def test_txt_has_a_paragraph_for_each_speech() -> None:
    """A paragraph has its time once, and the name if the speaker changes."""
    assert write("txt", TALK) == (
        "[00:00:00] Ada Example: Hello. Are you there?\n\n"
        "[00:00:04] Ben & <Jerry>: I am.\n\n"
        "[01:02:05] Ada Example: Good.\n\n"
    )


def test_txt_names_a_speaker_once_always_or_never() -> None:
    """A long speech has several paragraphs: its name once, in each, or nowhere."""
    segments = [Segment(float(index), index + 1.0, "s1", "word " * 40) for index in range(10)]
    for speakers, count in (({}, 1), ({"speakers": ALWAYS}, 3), ({"speakers": NONE}, 0)):
        text = write("txt", segments, **speakers)
        assert text.count("\n\n") == 3
        assert text.count("Ada Example: ") == count


def test_txt_joins_sentences_as_their_script_does() -> None:
    """Han and kana have no blanks between sentences."""
    segments = [Segment(0.0, 1.0, "s1", "你好。"), Segment(1.0, 2.0, "s1", "再见。")]
    assert "你好。再见。" in write("txt", segments)


def test_maxqda_paragraph_begins_with_time_and_name() -> None:
    """No blank separates them: https://wiki.e-curators.org/index.php/Transcription."""
    assert write("maxqda.txt", TALK[2:]) == (
        "00:00:04.5Ben & <Jerry>: I am.\n\n01:02:05.9Ada Example: Good.\n\n"
    )


@pytest.mark.parametrize(
    ("name", "shown"), [("3PO", "Speaker 3PO"), ("٣ علي", "Speaker ٣ علي"), ("Dr: Who", "Dr- Who")]
)
def test_maxqda_name_can_not_be_taken_for_a_time(name: str, shown: str) -> None:
    """Digits would lengthen the time, and a colon would end the name."""
    segments = [Segment(1.0, 2.0, "s1", "Hello.")]
    text = write("maxqda.txt", segments, task=make_task(segments, [name]))
    assert text == f"00:00:01.0{shown}: Hello.\n\n"


def test_markdown_front_matter_says_what_it_is() -> None:
    """The front matter is YAML with these values, whatever the names are."""
    task = make_task(
        TALK,
        ["a: [b]", '"c" #d', "\u202ee"],
        asset_id="re_1",
        source=Source("gs://b/what: ever # x.mp4", "1"),
        received_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    _, front, _ = write("md", TALK, task=task).split("---\n", 2)
    assert yaml.safe_load(front) == {
        "title": "what: ever # x",
        "task_id": task.task_id,
        "asset_id": "re_1",
        "source": "gs://b/what: ever # x.mp4",
        "received_at": "2026-01-02T00:00:00+00:00",
        "duration": "01:02:07",
        "speakers": [
            {"name": "a: [b]", "talk_time_s": 1.5},
            {"name": '"c" #d', "talk_time_s": 1.5},
            {"name": "\u202ee", "talk_time_s": 1.5},
        ],
    }


def test_docx_has_title_people_and_styles() -> None:
    """The document has the properties and styles that a word processor shows."""
    document = docx.Document(io.BytesIO(write_word(TALK)))
    assert document.core_properties.title == "Planning meeting"
    assert [p.text for p in document.paragraphs[:2]] == [
        "Planning meeting",
        "01:02:07 · Ada Example, Ben & <Jerry>, 李雷",
    ]
    assert document.paragraphs[0].style is not None
    assert document.paragraphs[0].style.name == "Title"


@pytest.mark.parametrize("script", ["arabic", "hebrew"])
def test_docx_paragraph_of_a_leftward_script_runs_leftwards(script: str) -> None:
    """The text's run has the same direction, so that punctuation is at the right end."""
    content = write_word([Segment(0.0, 2.0, "s1", SCRIPTS[script])])
    xml = docx.Document(io.BytesIO(content)).paragraphs[-1]._p.xml
    assert "<w:bidi/>" in xml
    assert "<w:rtl/>" in xml


def test_docx_of_equal_transcripts_is_equal() -> None:
    """The file has no time of writing, so it can be cached and compared."""
    assert write_word(TALK) == write_word(TALK)


def test_markdown_without_a_source_leaves_it_out() -> None:
    """A task that another program bought has no object."""
    _, front, _ = write("md", TALK, task=make_task(TALK, source=None)).split("---\n", 2)
    assert "source" not in yaml.safe_load(front)


@pytest.mark.parametrize("name", ["Talk #1 #", "Talk ##", "#", "C#", "a # b"])
def test_markdown_heading_keeps_its_number_signs(name: str) -> None:
    """At the end of a heading they would close it, and not be shown."""
    task = make_task([], source=Source(f"gs://b/{name}.mp4", "1"))
    tokens = MarkdownIt("commonmark").parse(
        write("md", [], task=task).split("\n---\n", maxsplit=1)[1]
    )
    assert [visible(token) for token in tokens if token.type == "inline"] == [name]
