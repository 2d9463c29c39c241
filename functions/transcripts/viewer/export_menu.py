"""The menu of exports: every format, and the options that a reader chooses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from transcripts.exports.options import DEFAULTS, OPTIONS, SpeakerLabels
from transcripts.exports.registry import FORMATS, Format

_COLUMNS: Final[Mapping[str, str]] = {"32": "podcasts", "37": "BBC", "42": "Netflix"}

_NAMES: Final[Mapping[str, str]] = {
    SpeakerLabels.CHANGE: "where the speaker changes",
    SpeakerLabels.ALWAYS: "everywhere",
    SpeakerLabels.NONE: "nowhere",
}


class Choice(NamedTuple):
    """An option of an export: its words, and each value with its words, the default first."""

    name: str
    words: str
    values: list[tuple[str, str]]


class Group(NamedTuple):
    """Formats with the same choices."""

    title: str
    choices: list[Choice]
    formats: list[Format]


@cache
def export_menu() -> list[Group]:
    """Return all formats in groups. An option is offered where a reader has to decide."""
    columns = sorted(OPTIONS["max_chars"].values, key=lambda text: text != str(DEFAULTS.max_chars))
    characters = Choice(
        "max_chars",
        "Characters per line",
        [(each, f"{each}, {_COLUMNS[each]}") for each in columns],
    )
    names = Choice("speakers", "Names", list(_NAMES.items()))
    subtitles = Group("Subtitles", [characters, names], [])
    documents = Group("Documents", [names], [])
    others = Group("Tables and data", [], [])
    for each in FORMATS.values():
        if "max_chars" in each.options:
            subtitles.formats.append(each)
        else:
            (documents if "speakers" in each.options else others).formats.append(each)
    return [subtitles, documents, others]
