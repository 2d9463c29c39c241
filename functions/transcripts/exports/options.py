"""The options of an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from transcripts.errors import RequestError

MAX_CHARS: Final = (32, 37, 42)
"""Columns of a line of subtitles: Podcasting 2.0, BBC, Netflix."""

_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


class SpeakerLabels(StrEnum):
    """Where the name of a speaker is written."""

    NONE = "none"
    CHANGE = "change"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Options:
    """The choices. ``bom`` begins text with a byte-order mark; ``raw`` leaves formulas in CSV."""

    max_chars: int = 42
    speakers: SpeakerLabels = SpeakerLabels.CHANGE
    bom: bool = False
    raw: bool = False


DEFAULTS: Final = Options()


_EXPECTED: Final = {
    "max_chars": "32, 37 or 42",
    "speakers": "none, change or always",
    "bom": "true or false",
    "raw": "true or false",
}


def read_options(offered: frozenset[str], values: Mapping[str, str]) -> Options:
    """Read options, of those ``offered``, as they stand in a query or on a command line.

    Raises one ``RequestError`` (``bad_option``) that names every option with a wrong value. If
    ``values`` has an option that is not offered, the error also lists the offered ones.
    """
    read = {name: _read(name, values[name]) for name in sorted(offered & values.keys())}
    wrong = {name: _EXPECTED[name] for name, value in read.items() if value is None}
    known = sorted(offered)
    sentences = [f"{name} must be {expected}." for name, expected in wrong.items()]
    if values.keys() - offered:
        sentences.append(f"The options of this format are: {', '.join(known) or 'none'}.")
    if sentences:
        raise RequestError(
            " ".join(sentences), code="bad_option", details={"wrong": wrong, "options": known}
        )
    return Options(**read)  # type: ignore[arg-type] # _read gives each its type


def _read(name: str, text: str) -> object | None:
    if name == "max_chars":
        return next((columns for columns in MAX_CHARS if text == str(columns)), None)
    if name == "speakers":
        return next((labels for labels in SpeakerLabels if text == labels.value), None)
    return _BOOLEANS.get(text)
