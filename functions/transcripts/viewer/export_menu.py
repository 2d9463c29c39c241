"""The menu of exports: every format, and the options that a reader chooses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from transcripts.exports.options import DEFAULTS, MAX_CHARS, SpeakerLabels
from transcripts.exports.registry import FORMATS

FORMAT_WORDS: Final[Mapping[str, str]] = {
    "srt": "SubRip subtitles",
    "vtt": "WebVTT subtitles",
    "ttml": "TTML subtitles",
    "docx": "Word document",
    "txt": "Plain text",
    "md": "Markdown",
    "csv": "Table for spreadsheets",
    "tsv": "Table of Whisper",
    "json": "JSON with all fields",
    "whisperx.json": "JSON of WhisperX",
    "podcast.json": "JSON of podcasts",
    "rttm": "Speaker times for pyannote",
    "audacity.txt": "Labels for Audacity",
    "maxqda.txt": "Text for MAXQDA",
}
"""The formats in the order of the menu."""

_CHARACTERS: Final[Mapping[int, str]] = {32: "podcasts", 37: "BBC", 42: "Netflix"}

_NAMES: Final[Mapping[SpeakerLabels, str]] = {
    SpeakerLabels.CHANGE: "where the speaker changes",
    SpeakerLabels.ALWAYS: "everywhere",
    SpeakerLabels.NONE: "nowhere",
}


class Choice(NamedTuple):
    """A parameter of an export: its words, and each value with its words, the default first."""

    name: str
    words: str
    values: list[tuple[str, str]]


class Group(NamedTuple):
    """Formats with the same choices; each format with its words."""

    title: str
    choices: list[Choice]
    formats: list[tuple[str, str]]


@cache
def export_menu() -> list[Group]:
    """Return all formats in groups. An option is offered where a reader has to decide."""
    characters = Choice(
        "max_chars",
        "Characters per line",
        [
            (str(each), f"{each}, {_CHARACTERS[each]}")
            for each in sorted(MAX_CHARS, key=lambda columns: columns != DEFAULTS.max_chars)
        ],
    )
    names = Choice("speakers", "Names", [(each.value, words) for each, words in _NAMES.items()])
    subtitles = Group("Subtitles", [characters, names], [])
    documents = Group("Documents", [names], [])
    others = Group("Tables and data", [], [])
    for name, words in FORMAT_WORDS.items():
        offered = FORMATS[name].options
        group = subtitles if "max_chars" in offered else documents
        (group if "speakers" in offered else others).formats.append((name, words))
    return [subtitles, documents, others]
