"""A table of comma-separated values, by RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from transcripts.exports.transcript import Transcript, decimal_seconds
from transcripts.text import several_lines

# A spreadsheet reads a cell with this beginning as a formula; East Asian editions read full-width
# signs so too (https://owasp.org/www-community/attacks/CSV_Injection). Where the list separator is
# a semicolon or a tab, a cell begins after it, and a row after a line break, quoted or not.
_FORMULA: Final = re.compile(r"""(?:^|(?<=[;\t\r\n]))(?=(?:"|[^\S\t\r\n])*[=+\-@＝＋－＠])""")


def write(transcript: Transcript) -> Iterator[str]:
    """Write a row at a time, its text in quotes.

    Unless ``raw`` is set, ``'`` prevents a formula wherever a spreadsheet may begin a cell.
    """
    raw = transcript.options.raw
    yield "start_s,end_s,speaker_id,speaker,text\r\n"
    for line in transcript.lines():
        start, end = decimal_seconds(line.start_ms), decimal_seconds(line.end_ms)
        name, text = line.speaker.name, several_lines(line.text)
        if not raw:
            name, text = _FORMULA.sub("'", name), _FORMULA.sub("'", text)
        name, text = name.replace('"', '""'), text.replace('"', '""')
        yield f'{start},{end},{line.speaker.id},"{name}","{text}"\r\n'
