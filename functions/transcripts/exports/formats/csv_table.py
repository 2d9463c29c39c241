"""A table of comma-separated values, by RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from transcripts.exports.times import decimal_seconds
from transcripts.exports.transcript import Transcript
from transcripts.text import several_lines

_QUOTED: Final = re.compile('[",\r\n]')

# A spreadsheet reads such a cell as a formula; East Asian editions read full-width signs so too
# (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")


def write(transcript: Transcript) -> Iterator[str]:
    """Write a row at a time. Unless ``raw`` is set, ``'`` before a cell prevents a formula."""
    raw = transcript.options.raw
    yield "start_s,end_s,speaker_id,speaker,text\r\n"
    for line in transcript.lines():
        start, end = decimal_seconds(line.start_ms), decimal_seconds(line.end_ms)
        name = _cell(line.speaker.name, raw=raw)
        text = _cell(several_lines(line.text), raw=raw)
        yield f"{start},{end},{line.speaker.id},{name},{text}\r\n"


def _cell(text: str, *, raw: bool) -> str:
    if not raw and text.startswith(_FORMULA):
        text = f"'{text}"
    if _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
