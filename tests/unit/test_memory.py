"""How much memory the parsers of hostile bodies take, as a factor of the body's size."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.kinds import identify
from transcripts.errors import UnreadableCallback

BODY_BYTES = 1024 * 1024


def in_data(piece: bytes, before: bytes = b'"', after: bytes = b'"') -> bytes:
    """Return a callback whose ``data`` is ``piece`` repeated to 1 MiB."""
    count = BODY_BYTES // len(piece)
    return b'{"task_id": "a", "data": ' + before + piece * count + after + b"}"


BODIES = {
    "one lone surrogate": in_data(b"a", after=rb'\ud83d"'),
    "lone surrogates only": in_data(rb"\ud83d"),
    "pairs and a lone one": in_data(rb"\ud83d\ude00", after=rb'\ud83d"'),
    "backslashes and a lone surrogate": in_data(b"\\\\", after=rb'\ud83d"'),
    "escapes and a lone surrogate": in_data(rb"\n", after=rb'\ud83d"'),
    "small items": in_data(b"1,", before=b"[", after=b"1]"),
    "empty objects": in_data(b"{},", before=b"[", after=b"{}]"),
    "not ASCII": in_data("ä".encode()),
    "not UTF-8": in_data(b"\xe4"),
    "a byte-order mark": b"\xef\xbb\xbf" + in_data(b"a"),
    "not closed": in_data(b"a", after=b""),
}


def peak_factor(parse: Callable[[bytes], object], body: bytes) -> float:
    """Return the peak of memory while ``body`` is parsed, as a factor of its size."""
    tracemalloc.start()
    try:
        parse(body)
    except UnreadableCallback:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak / len(body)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("parse", [read_envelope, identify])
def test_parser_of_a_hostile_body_takes_a_small_factor_of_its_size(
    parse: Callable[[bytes], object], name: str
) -> None:
    """The public function holds several bodies of 32 MiB in 512 MiB."""
    assert peak_factor(parse, BODIES[name]) < 2.5
