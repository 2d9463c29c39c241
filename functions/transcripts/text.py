"""Text as people see it, and as a format can hold it.

Stored text may hold anything that a JSON string can: line breaks, control characters, and halves
of surrogate pairs, which UTF-8 has no bytes for.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import bidirectional

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

# C0 and C1 controls that are no blanks, and what XML forbids beside them
# (https://www.w3.org/TR/xml/#charsets).
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufffe\uffff]+")

# No-break blanks hold "20 %" together, and the ideographic blank is as wide as a character.
_BLANKS: Final = re.compile("[^\\S\u00a0\u2007\u202f\u3000]+")
_SEVERAL_BLANKS: Final = re.compile(r"(\s)\s+")

# Byte-order mark, zero-width space and word joiner, and the marks of writing direction
# (https://www.unicode.org/reports/tr9/#Directional_Formatting_Codes).
UNSEEN: Final = (
    "\ufeff\u200b\u2060\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)

# ZWNJ and ZWJ are spelling in Persian and Indic scripts, but not at the ends.
_JOINERS: Final = "\u200c\u200d"

_SEEN: Final = re.compile(rf"[^\s{UNSEEN}{_JOINERS}]")
# ``str.strip`` takes characters; a pattern anchored at the end takes quadratic time. No blank is
# after U+3000.
_ENDS: Final = "".join(filter(str.isspace, map(chr, range(0x3001))))
_AROUND: Final = _ENDS + UNSEEN + _JOINERS


def encodable(text: str) -> str:
    """Return ``text`` with U+FFFD for each surrogate that has no other half."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def several_lines(text: str) -> str:
    """Return ``text`` without control characters, but for tabs and line breaks."""
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub("", encodable(text))


def one_line(text: str) -> str:
    """Return ``text`` in one line: no control characters, single blanks, none around."""
    if not text.isprintable() or "  " in text:
        text = _BLANKS.sub(" ", _UNPRINTABLE.sub("", encodable(text)))
        text = _SEVERAL_BLANKS.sub(r"\1", text)
    return text.strip()


def is_blank(text: str) -> bool:
    """Tell whether a reader would see nothing of ``text``."""
    if text.isascii():
        return not text or text.isspace()
    return _SEEN.search(text) is None


def trim(text: str) -> str:
    """Return ``text`` without the blanks and unseen characters around it."""
    return text.strip() if text.isascii() else text.strip(_AROUND)


def xml_text(text: str) -> str:
    """Return ``text``, which has no control characters, as the content of an XML element."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    # The standard requires escaping only for "]]>", but readers are stricter.
    return text.replace(">", "&gt;") if ">" in text else text


def right_to_left(text: str) -> bool:
    """Tell whether the first letter of ``text`` is of a script that is written leftwards."""
    if text.isascii():
        return False
    return next((kind for kind in map(bidirectional, text) if kind in _STRONG), "L") != "L"


_STRONG: Final = frozenset({"L", "R", "AL"})
