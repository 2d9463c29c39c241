"""Breaking text into lines, in every script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.exports.samples import SCRIPTS, TEXTS
from transcripts.exports.wrapping import Ruler, wrap
from transcripts.text import one_line


def columns(text: str) -> int:
    return Ruler(text).columns(0, len(text))


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("日本", 4),
        ("ｱｲｳ", 3),
        ("한글", 4),
        ("e\u0301", 1),
        ("نَعَم", 3),
        ("a\u200bb\ufeff", 2),
        ("สวัสดี", 4),
    ],
)
def test_columns_are_those_of_the_east_asian_width(text: str, width: int) -> None:
    """Wide characters take two columns, marks and unseen characters none."""
    assert columns(text) == width


def test_wrap_makes_two_lines_of_about_one_length() -> None:
    """Lines of one length are the easiest to read."""
    text = "should probably look at the drainage first, now"
    assert wrap(text, 42) == "should probably look at\nthe drainage first, now"


def test_wrap_prefers_a_break_after_punctuation() -> None:
    """Punctuation counts if it is not far from the middle."""
    text = "then the budget can be settled. It is getting late."
    assert wrap(text, 42) == "then the budget can be settled.\nIt is getting late."


def test_wrap_of_text_that_fits_one_line_changes_nothing() -> None:
    """A text that fits one line is not broken."""
    assert wrap("a" * 42, 42) == "a" * 42
    assert wrap("日" * 21, 42) == "日" * 21


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        # Han breaks anywhere, but not before a comma nor after an opening bracket.
        ("一二三四五、六七八九", "一二三四五、\n六七八九"),
        ("一二三四（五六七八九", "一二三四\n（五六七八九"),
        ("ちょっとまってちょっとね", "ちょっとまっ\nてちょっとね"),
        # Hangul breaks at blanks.
        ("프로젝트의 진행상황", "프로젝트의\n진행상황"),
    ],
)
def test_wrap_breaks_east_asian_text_by_its_rules(text: str, lines: str) -> None:
    """The rules: https://www.w3.org/TR/jlreq/#characters_not_starting_a_line."""
    assert wrap(text, 12) == lines


@pytest.mark.parametrize(
    "cluster", ["👨‍👩‍👧‍👦", "🇩🇪", "👍🏽", "e\u0301", "क्ष", "น้ำ", "1\ufe0f\u20e3"]
)
def test_wrap_never_splits_what_readers_see_as_one_character(cluster: str) -> None:
    """Emoji families, flags, skin tones, marks and conjuncts stay whole, even in a long word."""
    for width in (15, 16):
        for line in wrap(cluster * 40, width).split("\n"):
            assert len(line) % len(cluster) == 0


@given(TEXTS.map(one_line).filter(bool), st.sampled_from([16, 32, 42]))
def test_wrap_of_any_text_loses_only_blanks(text: str, width: int) -> None:
    """No line is wider than the limit."""
    lines = wrap(text, width).split("\n")
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(line and columns(line) <= width for line in lines)
    assert all(line == line.strip(" ") for line in lines)


@given(
    st.lists(st.text("ab,.", min_size=1, max_size=30), min_size=1, max_size=12).map(" ".join),
    st.integers(8, 45),
)
def test_ascii_is_measured_and_broken_like_any_text(text: str, width: int) -> None:
    """Each letter but ``é`` has a twin in ASCII, so both ways have to break at the same places."""
    other = text.replace("a", "é").replace("b", "ö")
    fast, general = Ruler(text), Ruler(f"{other}é")
    for start in range(0, len(text), 7):
        for end in range(start, len(text), 5):
            assert fast.columns(start, end) == general.columns(start, end)
            assert fast.last_break(start, end) == general.last_break(start, end)
    if not other.isascii():
        assert wrap(other, width).replace("é", "a").replace("ö", "b") == wrap(text, width)


@pytest.mark.parametrize("script", SCRIPTS)
def test_wrap_breaks_at_blanks_where_a_script_has_them(script: str) -> None:
    """A word of a script with blanks stays whole if it fits a line."""
    if script in {"han", "kana", "thai"}:
        return
    text = one_line(SCRIPTS[script])
    words = [word for line in wrap(text, 42).split("\n") for word in line.split()]
    assert words == text.split()
