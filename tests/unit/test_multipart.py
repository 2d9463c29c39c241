"""Multipart bodies, and the file name that they send to the provider."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transcripts.mavi.upload_body import (
    MAX_FILENAME_BYTES,
    MultipartFile,
    SizedFile,
    clean_filename,
)


@pytest.mark.parametrize(
    ("filename", "cleaned"),
    [
        ("talk.mp4", "talk.mp4"),
        ("Gespräch 会议 😀 (1).mp4", "Gespräch 会议 😀 (1).mp4"),
        ('a "b"\\c.mp4', "a 'b'_c.mp4"),
        ("a\r\nX-Evil: 1\r\n\r\n.mp4", "a__X-Evil: 1____.mp4"),
        ("\x00\x01\x1f\x7f\x80\x9f\t.mp4", "_______.mp4"),
        ("a\u2028b\u2029c\u0085.mp4", "a_b_c_.mp4"),
        ("a\ud800b\udfff.mp4", "a_b_.mp4"),
        ("a\ufffe\uffff\ufdd0\U0001ffff.mp4", "a____.mp4"),
    ],
)
def test_clean_filename_replaces_characters_that_break_a_header(
    filename: str, cleaned: str
) -> None:
    """Every other character stays as the uploader wrote it."""
    assert clean_filename(filename) == cleaned


@pytest.mark.parametrize(
    ("filename", "cleaned"),
    [
        ("x" * 1000 + ".mp4", "x" * 251 + ".mp4"),
        ("x" * 251 + ".mp4", "x" * 251 + ".mp4"),
        ("ä" * 500 + ".mp4", "ä" * 125 + ".mp4"),
        ("😀" * 200 + ".webm", "😀" * 62 + ".webm"),
        ("x" * 500, "x" * 255),
        ("a." + "b" * 500, "a." + "b" * 253),
        ("." + "b" * 500, "." + "b" * 254),
    ],
)
def test_clean_filename_long_name_is_cut_before_its_extension(filename: str, cleaned: str) -> None:
    """The name is cut between characters, at the limit of file systems in bytes."""
    assert clean_filename(filename) == cleaned


@given(st.text(st.characters(), max_size=400))
@example("\ud800.mp4")
def test_clean_filename_any_name_is_safe(filename: str) -> None:
    """Cleaned names are valid, short UTF-8 without controls; cleaning twice changes nothing."""
    cleaned = clean_filename(filename)
    assert len(cleaned.encode()) <= MAX_FILENAME_BYTES
    categories = {unicodedata.category(character) for character in cleaned}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(cleaned) & set('"\\')
    assert clean_filename(cleaned) == cleaned
    assert json.loads(json.dumps(cleaned)) == cleaned


def test_multipart_head_has_its_four_lines_whatever_the_name() -> None:
    """A name cannot add a header or end the part."""
    body = MultipartFile([], 0, 'x"\r\n\r\n--b--\r\n\ud800.mp4', "b")
    head = next(iter(body))
    assert head.count(b"\r\n") == 4
    assert b'filename="x\'____--b--___.mp4"\r\n' in head


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5))
def test_body_of_any_blocks_has_its_length(blocks: list[bytes]) -> None:
    """The server gets the blocks in order, and as many bytes as Content-Length says."""
    content = b"".join(blocks)
    form = MultipartFile(blocks, len(content), "a.mp4", "b")
    sent = b"".join(form)
    assert len(sent) == len(form)
    assert sent.partition(b"\r\n\r\n")[2] == content + b"\r\n--b--\r\n"
    bare = SizedFile(blocks, len(content))
    assert (b"".join(bare), len(bare), bool(bare)) == (content, len(content), True)
