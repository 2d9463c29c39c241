"""Counting words, in every script, at the speed of ``bytes.translate``.

In a text with Han or kana each of these characters counts as one word, and CJK punctuation only
separates. Any other text is split at blanks, and a piece counts if it holds a letter or a digit.
Compared with the word rules of Unicode (https://www.unicode.org/reports/tr29/#Word_Boundaries) this
gives the same count for Chinese and 4 % more for Japanese. Thai, Lao, Khmer and Burmese have no
blanks between words; without a dictionary their counts are far too low.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import compress
from operator import not_
from typing import Final

SLICE_CHARS: Final = 64 * 1024
"""A text is counted in slices, so that a long one needs little memory."""

_BATCH: Final = 128
"""How many short texts are counted in one pass."""

_HAN: Final = (
    "\u2e80-\u2fd5\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003fffd"
)
# With the marks of prolonged sound and of iteration, but not the middle dot U+30FB. The voiced
# sound marks (U+3099 to U+309C, U+FF9E, U+FF9F) belong to the kana before them.
_KANA: Final = (
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d"
    "\U0001aff0-\U0001b16f"
)
_CJK_RUN: Final = re.compile(f"[{_HAN}{_KANA}]+")
_CJK_SEPARATOR: Final = re.compile(
    "[\u3001-\u3004\u3006\u3008-\u3020\u302a-\u3037\u303c-\u303f\u3099-\u309c\u30a0\u30fb"
    "\ufe30-\ufe4f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uff9e\uff9f]+"
)
_ODD: Final = re.compile(r"[^\w\x00-\x7f]")
_FEW: Final = 16

_ASCII: Final = bytes(range(0x80))
_BELOW_2000: Final = bytes(range(0xE2))
"""The bytes of UTF-8 that characters below U+2000 are made of."""
# Once the odd characters are gone, every byte from 0x80 on belongs to a letter or a digit.
_LETTER, _BLANK = b"a", b" "
_CLASSES: Final = bytes(
    _LETTER[0] if byte >= 0x80 or chr(byte).isalnum() else _BLANK[0] for byte in range(256)
)
_DELETED: Final = bytes(
    byte for byte in range(0x80) if not (chr(byte).isalnum() or chr(byte).isspace())
)


def count_words(texts: Sequence[str]) -> int:
    """Return how many words ``texts`` have together; a word ends with its text."""
    count = 0
    for at in range(0, len(texts), _BATCH):
        batch = texts[at : at + _BATCH]
        joined = "\n".join(batch)
        if not _has_cjk(joined):
            count += _count(joined, cjk=False)
            continue
        cjk = [_CJK_RUN.search(text) is not None for text in batch]
        count += _count("\n".join(compress(batch, cjk)), cjk=True)
        count += _count("\n".join(compress(batch, map(not_, cjk))), cjk=False)
    return count


def _has_cjk(text: str) -> bool:
    return not text.isascii() and any(map(_piece_has_cjk, _slices(text)))


def _piece_has_cjk(piece: str) -> bool:
    # No script below U+2000 needs the slower count character by character.
    if not piece.encode().translate(None, _BELOW_2000):
        return False
    return _CJK_RUN.search(_wide(piece)) is not None


def _slices(text: str) -> Iterator[str]:
    for at in range(0, len(text), SLICE_CHARS):
        yield text[at : at + SLICE_CHARS]


def _wide(text: str) -> str:
    """Return the characters that are not ASCII: few in most texts, and patterns are slow."""
    return text.encode().translate(None, _ASCII).decode()


def _count(text: str, *, cjk: bool) -> int:
    count = 0
    before = _BLANK
    for whole in _slices(text):
        piece = whole
        if cjk:
            rest, runs = _CJK_RUN.subn(" ", piece)
            count += len(piece) - len(rest) + runs
            piece = _CJK_SEPARATOR.sub(" ", rest)
        if not piece.isascii():
            piece = _without_odd(piece)
        # A word begins where a letter follows a blank; characters between the two are deleted.
        classes = before + piece.encode().translate(_CLASSES, _DELETED)
        count += classes.count(_BLANK + _LETTER)
        before = classes[-1:]
    return count


def _without_odd(text: str) -> str:
    """Turn all blanks into ASCII blanks; delete all but blanks, letters and digits."""
    odd = set(_ODD.findall(_wide(text)))
    if len(odd) > _FEW:
        return _ODD.sub(_odd_replaced, text)
    for char in odd:
        text = text.replace(char, " " if char.isspace() else "")
    return text


def _odd_replaced(found: re.Match[str]) -> str:
    return " " if found[0].isspace() else ""
