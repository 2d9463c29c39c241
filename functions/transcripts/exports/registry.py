"""Every format: its media type, the end of its file name, its options and its writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from transcripts.errors import UnknownFormat
from transcripts.exports.formats import (
    audacity,
    csv_table,
    docx,
    markdown,
    maxqda,
    plain_text,
    podcast,
    rttm,
    srt,
    transcript_json,
    tsv,
    ttml,
    vtt,
    whisperx,
)
from transcripts.exports.options import Options, read_options
from transcripts.exports.transcript import Transcript

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_SUBTITLES: Final = frozenset({"max_chars", "speakers", "bom"})
_DOCUMENT: Final = frozenset({"speakers", "bom"})
_BOM: Final = frozenset({"bom"})
_NO_OPTIONS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Format:
    """A format. ``suffix`` is the end of a file's name; ``options`` are the names it knows."""

    media_type: str
    suffix: str
    options: frozenset[str]
    write: Callable[[Transcript], Iterator[str]] | Callable[[Transcript], Iterator[bytes]]

    def read_options(self, values: Mapping[str, str]) -> Options:
        """Read options as they stand in a query; raises one ``RequestError`` for all wrong ones."""
        return read_options(self.options, values)


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "json": Format(_JSON, ".json", _NO_OPTIONS, transcript_json.write),
        "srt": Format("application/x-subrip; charset=utf-8", ".srt", _SUBTITLES, srt.write),
        "vtt": Format("text/vtt; charset=utf-8", ".vtt", _SUBTITLES, vtt.write),
        "txt": Format(_TEXT, ".txt", _DOCUMENT, plain_text.write),
        "md": Format("text/markdown; charset=utf-8", ".md", _DOCUMENT, markdown.write),
        "csv": Format(
            "text/csv; charset=utf-8; header=present",
            ".csv",
            frozenset({"bom", "raw"}),
            csv_table.write,
        ),
        "tsv": Format("text/tab-separated-values; charset=utf-8", ".tsv", _BOM, tsv.write),
        "rttm": Format(_TEXT, ".rttm", _NO_OPTIONS, rttm.write),
        "ttml": Format(
            "application/ttml+xml", ".ttml", frozenset({"max_chars", "speakers"}), ttml.write
        ),
        "docx": Format(
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ".docx",
            frozenset({"speakers"}),
            docx.write,
        ),
        "audacity.txt": Format(_TEXT, ".audacity.txt", _BOM, audacity.write),
        "maxqda.txt": Format(_TEXT, ".maxqda.txt", _BOM, maxqda.write),
        "whisperx.json": Format(_JSON, ".whisperx.json", _NO_OPTIONS, whisperx.write),
        "podcast.json": Format(_JSON, ".podcast.json", _NO_OPTIONS, podcast.write),
    }
)


def find_format(name: str) -> Format:
    """Return the format of that name; raises ``UnknownFormat``."""
    found = FORMATS.get(name)
    if found is None:
        raise UnknownFormat(list(FORMATS))
    return found
