"""The key that equal names share."""

from __future__ import annotations

import time
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcripts.tasks.speakers import name_key
from transcripts.text import is_blank, trim

UNSEEN = (
    "\ufeff\u200b\u2060\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
NAMES = st.text(
    st.sampled_from("AaéE\u0301\u0327 \t\u00a0\u3000\u200c\u200d-‐한ᄒ\u1161" + UNSEEN)
    | st.characters(exclude_categories=["Cs"]),
    max_size=20,
)


@pytest.mark.parametrize(
    "spelling",
    [
        "José Díaz",
        normalize("NFD", "José Díaz"),
        " José  Díaz\n",
        "José\u00a0Díaz",
        "\ufeffJosé Díaz",
    ]
    + [f"Jo{char}sé{char} Díaz{char}" for char in UNSEEN],
)
def test_name_key_of_one_name_is_the_same(spelling: str) -> None:
    """Normal form, blanks and unseen characters make no difference."""
    assert name_key(spelling) == "José Díaz"


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Ada", "ada"),
        ("Anne-Marie", "Anne Marie"),
        ("Anne-Marie", "Anne‐Marie"),
        ("José", "Jose"),
        ("می\u200cخواهم", "میخواهم"),
        ("क\u094d\u200dष", "क\u094dष"),
    ],
)
def test_name_key_of_different_names_differs(name: str, other: str) -> None:
    """Case, hyphens, accents, and joiners inside of a name make a difference."""
    assert name_key(name) != name_key(other)


@pytest.mark.parametrize("name", ["", " ", "\ufeff", "\u200b \u200d", "\u200c", UNSEEN])
def test_name_key_of_nothing_seen_is_empty(name: str) -> None:
    """A name of blanks, unseen characters and joiners has no key."""
    assert name_key(name) == ""
    assert is_blank(name)
    assert trim(name) == ""


@given(NAMES)
def test_name_key_of_a_key_is_the_key(name: str) -> None:
    """A stored key can be compared with any name's key; so can a trimmed name."""
    key = name_key(name)
    assert name_key(key) == name_key(trim(name)) == key
    assert name_key(normalize("NFD", name)) == key
    assert (key == "") == is_blank(name) == (trim(name) == "")


@pytest.mark.parametrize("char", [" ", "\u3000", "\u200b", "\u200d"])
def test_name_key_of_megabytes_takes_linear_time(char: str) -> None:
    """A name of a million blanks must not keep the function busy."""
    begin = time.process_time()
    assert name_key("é" + char * 1_000_000 + "é")
    assert trim("é" + char * 1_000_000 + "é")
    assert time.process_time() - begin < 2.0


def test_trim_removes_every_blank_of_unicode() -> None:
    """The list of characters to strip stops at U+3000; no blank is after it."""
    blanks = [char for char in map(chr, range(0x110000)) if char.isspace()]
    assert [char for char in blanks if trim(f"{char}ä{char}") != "ä"] == []
