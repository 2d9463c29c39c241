"""Counting words."""

from __future__ import annotations

import random
import re
import tracemalloc
from unicodedata import category, name

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcripts.tasks.word_count import count_words

# The rule of the contract, character by character, by the names that Unicode gives them.
CJK_NAMES = re.compile(
    "(CJK UNIFIED|CJK COMPATIBILITY) IDEOGRAPH-|CJK RADICAL |KANGXI RADICAL |HANGZHOU NUMERAL "
    "|(VERTICAL )?IDEOGRAPHIC ITERATION MARK|IDEOGRAPHIC NUMBER ZERO"
    "|((HALFWIDTH )?KATAKANA|HIRAGANA)( SMALL)? LETTER |(HIRAGANA|KATAKANA) DIGRAPH |HENTAIGANA "
    "|(HIRAGANA|KATAKANA) (VOICED )?ITERATION MARK|(HALFWIDTH )?KATAKANA-HIRAGANA PROLONGED "
)
ALPHABET = (
    "aZ09_'-.,—–…“”’♪ \t\n\u00a0\u3000\u2028éñßÄжЯאبहि\u093fไทย한국"
    "今天我们々〇あアｱー、。，！？「」・：％１Ａ\u3099\uff9e\u200b\u00ad😀𠮷"
)
TEXTS = st.text(
    st.sampled_from(ALPHABET) | st.characters(exclude_categories=["Cs", "Cn"]), max_size=60
)


def is_cjk(char: str) -> bool:
    return CJK_NAMES.match(name(char, "")) is not None


def is_cjk_mark(char: str) -> bool:
    """Tell whether ``char`` is of a block of CJK punctuation or wide forms, and no word."""
    if is_cjk(char):
        return False
    if "\u3000" <= char <= "\u303f" or "\u3099" <= char <= "\u30ff":
        return True
    return "\ufe30" <= char <= "\ufe4f" or (
        "\uff01" <= char <= "\uff9f" and (not char.isalnum() or char in "\uff9e\uff9f")
    )


def reference(text: str) -> int:
    """Count as the contract says, slowly."""
    if not any(map(is_cjk, text)):
        return sum(any(map(str.isalnum, word)) for word in text.split())
    rest = "".join(" " if is_cjk(char) or is_cjk_mark(char) else char for char in text)
    return sum(map(is_cjk, text)) + sum(any(map(str.isalnum, word)) for word in rest.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("Good morning.", 2),
        ("— yes — no … ♪ ♪", 2),
        ("don’t e-mail snake_case 3.5 % _ -", 4),
        ("a\u00a0b\u2028c", 3),
        ("Ça va bien, né ?", 4),
        ("Отчёт пришёл в пятницу.", 4),
        ("हिन्दी में बोलिए", 3),
        ("오늘 우리는 논의합니다.", 3),
        ("今天我们讨论一下预算问题", 12),
        ("今天我们讨论一下预算问题。", 12),
        ("我用Python写code，OK？", 6),
        ("コーヒーを飲む。", 7),
        ("ｺｰﾋｰ", 4),
        ("か\u3099", 1),
        ("ｶﾞ", 1),
        ("你好，world！１２３", 4),
        ("「…」・、。", 0),
        ("𠮷野家", 3),
        ("人々は〇", 4),
        ("Hello，world", 1),
    ],
)
def test_count_words_in_every_script_follows_the_rule(text: str, words: int) -> None:
    """Han and kana characters are words of their own; in other texts blanks separate words."""
    assert count_words(text) == words == reference(text)


@given(TEXTS)
def test_count_words_any_text_equals_the_reference(text: str) -> None:
    """The fast count equals a count character by character."""
    assert count_words(text) == reference(text)


@pytest.mark.parametrize("alphabet", ["ab  .—", "ab_- \x1c", "今ア、a ", "жé\u00a0 _", ALPHABET])
def test_count_words_of_a_long_text_equals_the_reference(alphabet: str) -> None:
    """A long text is counted one word after the other, with the same result."""
    text = "".join(random.Random(7).choices(alphabet, k=200_000))
    assert count_words(text) == reference(text)


def test_count_words_with_many_kinds_of_marks_equals_the_reference() -> None:
    """A text of hundreds of different symbols is counted by another path, with the same result."""
    text = " ".join(map(chr, range(0x2190, 0x2300))) + " one\u2003two"
    assert count_words(text) == reference(text) == 2


@pytest.mark.parametrize(
    ("word", "mebibytes"),
    [("word, ", 4), ("x", 31), ("слово ", 4), ("wörter — ", 4), ("今天，", 4)],
)
@pytest.mark.untraced
def test_count_words_of_a_long_text_needs_little_memory(word: str, mebibytes: int) -> None:
    """Counting takes less than 3 MiB beside the text, however long it is: no list is made."""
    text = word * (mebibytes * 1024 * 1024 // len(word.encode()))
    tracemalloc.start()
    try:
        count_words(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * 1024 * 1024


@pytest.mark.untraced
def test_count_words_of_every_character_equals_the_reference() -> None:
    """Each character of Unicode, alone, is a word or none as the contract says."""
    assigned = [
        char for char in map(chr, range(0x110000)) if category(char) not in {"Cn", "Co", "Cs"}
    ]
    assert [char for char in assigned if count_words(char) != reference(char)] == []
