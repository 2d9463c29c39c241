"""The outer frame of a callback, from any bytes at all."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import TASK_ID, callback, callback_body, shape_body, shape_names
from transcripts.callbacks.envelope import decode, read_envelope
from transcripts.callbacks.kinds import identify
from transcripts.errors import PoisonMessage, UnreadableCallback
from transcripts.ids import usable_id

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)
"""Correct JSON: lone surrogates, NaN and infinity are what json writes that is none."""


@pytest.mark.parametrize("code", ["0000", "200", 200])
def test_read_envelope_of_every_generation_has_its_code(code: str | int) -> None:
    """Three generations of the documentation have three codes."""
    envelope = read_envelope(callback_body(code=code))
    assert (envelope.task_id, decode(envelope.code)) == (TASK_ID, code)


@pytest.mark.parametrize("name", shape_names())
def test_read_envelope_of_every_shape_has_its_task_id(name: str) -> None:
    """All endpoints share one frame."""
    envelope = read_envelope(shape_body(name))
    assert decode(envelope.data) == json.loads(shape_body(name))["data"]


def test_read_envelope_without_parts_has_nulls() -> None:
    """Only ``task_id`` is required."""
    envelope = read_envelope(b'{"task_id": "a"}')
    assert [decode(part) for part in (envelope.code, envelope.message, envelope.data)] == [None] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb"cut \ud83d", "cut \N{REPLACEMENT CHARACTER}"),
        (rb"\ude00 cut", "\N{REPLACEMENT CHARACTER} cut"),
        (rb"\uD83D\ud83d\uDE00", "\N{REPLACEMENT CHARACTER}\N{GRINNING FACE}"),
        (
            rb"whole \ud83d\ude00, cut \ud83d",
            "whole \N{GRINNING FACE}, cut \N{REPLACEMENT CHARACTER}",
        ),
        (rb"\\ud83d is no escape, \ud83d is", "\\ud83d is no escape, \N{REPLACEMENT CHARACTER} is"),
    ],
)
def test_read_envelope_with_half_an_emoji_is_repaired(text: bytes, expected: str) -> None:
    """The text was cut inside an emoji."""
    envelope = read_envelope(b'{"task_id": "a", "data": "' + text + b'"}')
    assert decode(envelope.data) == expected


def test_read_envelope_with_duplicate_keys_takes_the_last() -> None:
    """JSON libraries do the same."""
    assert read_envelope(b'{"task_id": "a", "task_id": "b"}').task_id == "b"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff\xfe{}", "invalid_json"),
        (b'\xef\xbb\xbf\xef\xbb\xbf{"task_id": "a"}', "invalid_json"),
        (b'{"task_id": "a"} x', "invalid_json"),
        (b'{"task_id": "a", "data": NaN}', "invalid_json"),
        (b'{"task_id": "a", "data": [1, 2}', "invalid_json"),
        (b'{"task_id": "a", "data": "\xff"}', "invalid_json"),
        (b'{"task_id": "a", "data": "\xed\xa0\x80"}', "invalid_json"),
        (b'{"task_id": "a", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
        (b'{"task_id": "a", "data": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "invalid_json"),
        (callback_body()[:-1], "invalid_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"task_id"', "not_an_object"),
        (b"7", "not_an_object"),
        (b"{}", "invalid_task_id"),
        (b'{"task_id": null}', "invalid_task_id"),
        (b'{"task_id": 7}', "invalid_task_id"),
        (b'{"task_id": ["a"]}', "invalid_task_id"),
        (b'{"task_id": ""}', "invalid_task_id"),
        (b'{"Task_Id": "a"}', "invalid_task_id"),
    ],
)
def test_read_envelope_of_no_callback_raises_its_code(body: bytes, code: str) -> None:
    """Both ways of reading raise the same code."""
    with pytest.raises(UnreadableCallback) as caught:
        read_envelope(body)
    assert caught.value.code == code
    with pytest.raises(UnreadableCallback) as identified:
        identify(body)
    assert identified.value.code == code


@pytest.mark.parametrize(
    "task_id",
    ["a", "A-_9", "0" * 128, "_", "__", "___", "__a", "a__", "-", TASK_ID],
)
def test_read_envelope_with_a_usable_task_id_returns_it(task_id: str) -> None:
    """Any id that is safe as a document's id is accepted."""
    assert usable_id(task_id)


@pytest.mark.parametrize(
    "task_id",
    ["", "0" * 129, "a/b", "..", ".", "a b", "a\n", "ä", "__a__", "____", "a\x00", "../a"],
)
def test_read_envelope_with_an_unusable_task_id_raises(task_id: str) -> None:
    """Reserved names, parts of a path, and characters beyond ASCII are rejected."""
    assert not usable_id(task_id)
    with pytest.raises(UnreadableCallback):
        read_envelope(callback_body(task_id=task_id))


@given(st.binary(max_size=200))
def test_read_envelope_of_any_bytes_returns_or_raises_one_error(body: bytes) -> None:
    """Any bytes give an envelope or ``UnreadableCallback``."""
    try:
        read_envelope(body)
    except UnreadableCallback as error:
        assert error.code in {"invalid_json", "not_an_object", "invalid_task_id"}


@given(st.data())
def test_read_envelope_of_a_damaged_callback_raises_one_error(data: st.DataObject) -> None:
    """A callback that is cut off, or has one changed byte, raises no other error."""
    body = bytearray(callback_body())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    for damaged in (bytes(body), bytes(body[:cut])):
        try:
            read_envelope(damaged)
        except UnreadableCallback:
            continue


@given(JSON_VALUES)
def test_decode_of_any_json_equals_the_standard_library(value: Any) -> None:
    """Any JSON may be the data of a callback."""
    for ascii_only in (True, False):
        text = json.dumps({"task_id": "a", "data": value}, ensure_ascii=ascii_only)
        assert decode(read_envelope(text.encode()).data) == value


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400, "9" * 5000])
def test_decode_of_a_huge_number_is_infinite(number: str) -> None:
    """It is correct JSON, so the result must not be lost."""
    raw = read_envelope(b'{"task_id": "a", "data": {"x": %s}}' % number.encode()).data
    value = decode(raw)["x"]
    assert value in (float("inf"), float("-inf")) or value == int("9" * 400)


def test_decode_of_deep_nesting_raises_poison_message() -> None:
    """JSON can be skipped at a depth at which objects cannot be built from it."""
    deep = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(PoisonMessage):
        decode(deep)


def test_read_envelope_of_a_large_body_builds_nothing() -> None:
    """The parts of a large body stay raw."""
    content = callback(segments=[{"text": "x" * 1000}] * 1000)
    assert memoryview(read_envelope(msgspec.json.encode(content)).data).nbytes > 1_000_000


def test_read_envelope_of_a_large_text_takes_little_memory() -> None:
    """A text with one emoji would take four times the body if it were decoded whole."""
    body = b'{"task_id": "a", "data": "' + "\U0001f600".encode() + b"x" * 4_000_000 + b'"}'
    tracemalloc.start()
    read_envelope(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * len(body)


@pytest.mark.parametrize("at", [65_535, 65_536, 65_537, 100_000])
def test_read_envelope_with_bad_utf8_raises(at: int) -> None:
    """Bad UTF-8 is found at the borders of the checked pieces too."""
    head = b'{"task_id": "a", "data": "'
    for text, good in (("ä".encode(), True), (b"\xc3x", False), (b"\xff", False)):
        body = head + b"x" * (at - len(head) - 1) + text + b'"}'
        if good:
            assert read_envelope(body).task_id == "a"
        else:
            with pytest.raises(UnreadableCallback):
                read_envelope(body)
