"""The options of an export, as they stand in a query or on a command line.

This module and ``registry`` import no writer, so the command can list options and formats quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from transcripts.errors import RequestError
from transcripts.exports.wrapping import DEFAULT_LINE_COLUMNS, LINE_COLUMNS


class SpeakerLabels(StrEnum):
    """Where the name of a speaker is written."""

    NONE = "none"
    CHANGE = "change"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Options:
    """The choices. ``bom`` begins text with a byte-order mark; ``raw`` leaves formulas in CSV."""

    max_chars: int = DEFAULT_LINE_COLUMNS
    speakers: SpeakerLabels = SpeakerLabels.CHANGE
    bom: bool = False
    raw: bool = False


DEFAULTS: Final = Options()


class Option(NamedTuple):
    """An option: the value of each text that is accepted, and what the option does, in words."""

    values: Mapping[str, object]
    description: str

    @property
    def expected(self) -> str:
        """The texts in a sentence; ``1`` and ``0`` are accepted, but not advertised."""
        *first, last = (text for text in self.values if text not in {"1", "0"})
        return f"{', '.join(first)} or {last}"


_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}

OPTIONS: Final[Mapping[str, Option]] = {
    "max_chars": Option(
        {str(columns): columns for columns in LINE_COLUMNS}, "Columns of a line of subtitles"
    ),
    "speakers": Option(
        {label.value: label for label in SpeakerLabels}, "Where the name of a speaker is written"
    ),
    "bom": Option(_BOOLEANS, "Begin text with a byte-order mark, as Excel wants"),
    "raw": Option(_BOOLEANS, "Leave cells that a spreadsheet takes for formulas"),
}
"""Every option, by the name of its field in ``Options``."""


def read_options(offered: frozenset[str], values: Mapping[str, str]) -> Options:
    """Read options, of those ``offered``, as they stand in a query or on a command line.

    Raises one ``RequestError`` (``bad_option``) that names every option with a wrong value. If
    ``values`` has an option that is not offered, the error also lists the offered ones.
    """
    read: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name in sorted(offered & values.keys()):
        option = OPTIONS[name]
        if values[name] in option.values:
            read[name] = option.values[values[name]]
        else:
            wrong[name] = option.expected
    known = sorted(offered)
    sentences = [f"{name} must be {expected}." for name, expected in wrong.items()]
    if values.keys() - offered:
        sentences.append(f"The options of this format are: {', '.join(known) or 'none'}.")
    if sentences:
        raise RequestError(
            " ".join(sentences), code="bad_option", details={"wrong": wrong, "options": known}
        )
    return Options(**read)
