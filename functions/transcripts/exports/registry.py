"""Every format: one row with its name, its words, its media type and its options.

The menu of the page, the choices of the command, docs/reference.md and docs/openapi.yaml are made
from these rows. A new format is a row, and a module of ``formats`` that has ``write``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from transcripts.errors import UnknownFormat

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"


class Format(NamedTuple):
    """A format. ``name`` stands in paths and, after a dot, at the end of file names.

    ``title`` and ``description`` are for people, ``module`` is the writer's below ``formats``, and
    ``options`` are names of ``options.OPTIONS``.
    """

    name: str
    module: str
    title: str
    description: str
    media_type: str
    options: frozenset[str] = frozenset()

    @property
    def suffix(self) -> str:
        """The end of a file's name."""
        return f".{self.name}"


_ROWS: Final = (
    Format(
        "srt",
        "srt",
        "SubRip subtitles",
        "for nearly every player",
        "application/x-subrip; charset=utf-8",
        frozenset({"max_chars", "speakers", "bom"}),
    ),
    Format(
        "vtt",
        "vtt",
        "WebVTT subtitles",
        "for browsers and podcasts",
        "text/vtt; charset=utf-8",
        frozenset({"max_chars", "speakers", "bom"}),
    ),
    Format(
        "ttml",
        "ttml",
        "TTML subtitles",
        "for broadcasters, in the text profile of IMSC",
        "application/ttml+xml",
        frozenset({"max_chars", "speakers"}),
    ),
    Format(
        "docx",
        "docx",
        "Word document",
        "with paragraphs under name and time",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        frozenset({"speakers"}),
    ),
    Format(
        "txt",
        "plain_text",
        "Plain text",
        "in paragraphs with time and name",
        _TEXT,
        frozenset({"speakers", "bom"}),
    ),
    Format(
        "md",
        "markdown",
        "Markdown",
        "for notes and wikis, with YAML front matter",
        "text/markdown; charset=utf-8",
        frozenset({"speakers", "bom"}),
    ),
    Format(
        "csv",
        "csv_table",
        "Table for spreadsheets",
        "with a row for each segment, times in seconds",
        "text/csv; charset=utf-8; header=present",
        frozenset({"bom", "raw"}),
    ),
    Format(
        "tsv",
        "tsv",
        "Table of Whisper",
        "with a row for each segment, times in milliseconds",
        "text/tab-separated-values; charset=utf-8",
        frozenset({"bom"}),
    ),
    Format(
        "json",
        "transcript_json",
        "JSON with all fields",
        "in the words of this API",
        _JSON,
    ),
    Format(
        "whisperx.json",
        "whisperx",
        "JSON of WhisperX",
        "for the tools that read it",
        _JSON,
    ),
    Format(
        "podcast.json",
        "podcast",
        "JSON of podcasts",
        "for podcast players, by Podcasting 2.0",
        _JSON,
    ),
    Format(
        "rttm",
        "rttm",
        "Speaker times for pyannote",
        "who speaks when, as RTTM with the ids of speakers",
        _TEXT,
    ),
    Format(
        "audacity.txt",
        "audacity",
        "Labels for Audacity",
        "with a label for each segment",
        _TEXT,
        frozenset({"bom"}),
    ),
    Format(
        "maxqda.txt",
        "maxqda",
        "Text for MAXQDA",
        "with paragraphs that it codes by speaker",
        _TEXT,
        frozenset({"bom"}),
    ),
)

FORMATS: Final = {row.name: row for row in _ROWS}
"""Every format by its name, in the order of menus."""


def find_format(name: str) -> Format:
    """Return the format of that name; raises ``UnknownFormat``."""
    found = FORMATS.get(name)
    if found is None:
        raise UnknownFormat(list(FORMATS))
    return found
