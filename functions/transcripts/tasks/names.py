"""Which spellings of a name are the same person.

The provider joins segments, faces and people's own names for speakers by display name only, and one
name may come with other blanks, in another Unicode normal form, or with characters that no reader
sees. ``name_key`` is the one rule for all of them.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import normalize

UNKNOWN_SPEAKER: Final = "Unknown"
"""The name of a speaker without one."""

# Byte-order mark, zero-width space and word joiner, and the marks of writing direction
# (https://www.unicode.org/reports/tr9/#Directional_Formatting_Codes).
_UNSEEN: Final = (
    "\ufeff\u200b\u2060\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)

# ZWNJ and ZWJ are spelling in Persian and Indic scripts, but not at the ends.
_JOINERS: Final = "\u200c\u200d"

_REMOVED: Final = re.compile(f"[{_UNSEEN}]+")
_SEEN: Final = re.compile(rf"[^\s{_UNSEEN}{_JOINERS}]")
# ``str.strip`` takes characters; a pattern anchored at the end takes quadratic time. No blank is
# after U+3000.
_BLANKS: Final = "".join(filter(str.isspace, map(chr, range(0x3001))))
_AROUND: Final = _BLANKS + _UNSEEN + _JOINERS


def is_blank(text: str) -> bool:
    """Tell whether a reader would see nothing of ``text``."""
    if text.isascii():
        return not text or text.isspace()
    return _SEEN.search(text) is None


def trim(text: str) -> str:
    """Return ``text`` without the blanks and unseen characters around it."""
    return text.strip() if text.isascii() else text.strip(_AROUND)


def name_key(name: str) -> str:
    """Return what equal names have in common, "" for a name of nothing that can be seen.

    The key is in normal form C, with single blanks, and without byte-order marks, zero-width spaces
    and direction marks. Case, hyphens, and ZWJ and ZWNJ inside of a name make a difference. The key
    of a key is itself.
    """
    if not name.isascii():
        name = normalize("NFC", _REMOVED.sub("", name))
    return trim(" ".join(name.split()))
