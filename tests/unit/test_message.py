"""A callback on the topic, and back."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import callback_body
from tests.fakes import NOW
from transcripts.callbacks import message as message_module
from transcripts.callbacks.message import (
    COMPRESS_OVER_BYTES,
    MAX_CALLBACK_BYTES,
    compress,
    decompress,
    pack,
    unpack,
    unpacked_bytes,
)
from transcripts.errors import MessageTooLarge, PoisonMessage

LABELS = {"task_id": "a", "kind": "unknown"}


def test_pack_has_the_attributes_of_the_contract() -> None:
    """Other versions rely on the names and forms."""
    body = callback_body()
    message = pack(body, NOW, LABELS)
    assert message.attributes == {
        "task_id": "a",
        "kind": "unknown",
        "received_at": "2026-01-02T03:04:05.678901Z",
        "sha256": hashlib.sha256(body).hexdigest(),
        "size": str(len(body)),
        "encoding": "identity",
        "schema": "1",
    }
    assert message.data == body


def test_pack_time_without_fraction_has_microseconds() -> None:
    """The form of a time does not depend on its value."""
    message = pack(b"{}", NOW.replace(microsecond=0), LABELS)
    assert message.attributes["received_at"] == "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize(
    ("size", "encoding"),
    [(COMPRESS_OVER_BYTES, "identity"), (COMPRESS_OVER_BYTES + 1, "gzip")],
)
def test_pack_compresses_only_large_bodies(size: int, encoding: str) -> None:
    """Bodies over 8 KiB are compressed."""
    message = pack(b"x" * size, NOW, LABELS)
    assert message.attributes["encoding"] == encoding
    assert message.attributes["sha256"] == hashlib.sha256(b"x" * size).hexdigest()


def test_compress_is_the_same_every_time() -> None:
    """The header has no time, and every gzip program reads the data."""
    body = callback_body(200)
    assert compress(body) == compress(body)
    assert gzip.decompress(compress(body)) == body


@given(st.binary(max_size=20_000))
def test_unpack_returns_what_was_packed(body: bytes) -> None:
    """Body, time and checksum survive, compressed or not."""
    message = pack(body, NOW, LABELS)
    carried = unpack(message.data, message.attributes, NOW + timedelta(days=1))
    assert carried.body == body
    assert carried.received_at == NOW
    assert carried.sha256 == hashlib.sha256(body).hexdigest()
    assert gzip.decompress(carried.compressed) == body


def test_pack_body_that_repeats_itself_fits_whatever_its_size() -> None:
    """32 MiB of one sentence are far under 10 MB compressed."""
    line = callback_body(1000)
    body = (line * (MAX_CALLBACK_BYTES // len(line) + 1))[:MAX_CALLBACK_BYTES]
    message = pack(body, NOW, LABELS)
    assert unpack(message.data, message.attributes, NOW).body == body


def test_pack_body_too_large_at_level_1_is_compressed_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A body that fits only at a higher level is sent at that level."""
    choose = random.Random(7)
    words = ["".join(choose.choices("etaoinshrdlu", k=choose.randint(2, 9))) for _ in range(300)]
    body = " ".join(choose.choices(words, k=100_000)).encode()
    sizes = [len(compress(body, level)) for level in (1, 6)]
    monkeypatch.setattr(message_module, "MAX_DATA_BYTES", sum(sizes) // 2)
    message = pack(body, NOW, LABELS)
    assert len(message.data) == sizes[1] < sizes[0]
    assert unpack(message.data, message.attributes, NOW).body == body


def test_pack_incompressible_body_over_the_limit_raises() -> None:
    """Random bytes do not fit a message."""
    with pytest.raises(MessageTooLarge):
        pack(os.urandom(11_000_000), NOW, LABELS)


def test_unpack_without_attributes_is_accepted() -> None:
    """Without attributes the body is plain, and was received when it was published."""
    carried = unpack(b"{}", {}, NOW)
    assert (carried.body, carried.received_at) == (b"{}", NOW)


def test_unpack_time_in_another_zone_is_utc() -> None:
    """A replay may write an offset."""
    zone = timezone(timedelta(hours=2))
    text = datetime(2026, 1, 1, 2, tzinfo=zone).isoformat()
    assert unpack(b"{}", {"received_at": text}, NOW).received_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("data", "attributes"),
    [
        (b"{}", {"schema": "2"}),
        (b"{}", {"encoding": "br"}),
        (b"{}", {"encoding": "gzip"}),
        (compress(b"{}")[:-3], {"encoding": "gzip"}),
        (b"{}", {"sha256": "0" * 64}),
        (b"{}", {"size": "3"}),
        (b"{}", {"size": "two"}),
        (compress(b"{}"), {"encoding": "gzip", "size": "1"}),
        (compress(b"{}"), {"encoding": "gzip", "size": "3"}),
        (compress(b"{}"), {"encoding": "gzip", "size": "-2"}),
        (b"{}", {"received_at": "yesterday"}),
        (b"{}", {"received_at": "2026-01-01T00:00:00"}),
        (b"{}", {"received_at": "0001-01-01T00:00:00+14:00"}),
    ],
)
def test_unpack_contradictory_message_raises_poison(
    data: bytes, attributes: dict[str, str]
) -> None:
    """Each contradiction is refused permanently."""
    with pytest.raises(PoisonMessage):
        unpack(data, attributes, NOW)


@pytest.mark.parametrize("size", ["", "9" * 10, "-1", "1e3", "٣", "none", None])
def test_unpacked_bytes_without_a_usable_size_is_the_largest(size: str | None) -> None:
    """A message of an older version, or made by hand, may hold a body of any size."""
    attributes = {"encoding": "gzip"} | ({} if size is None else {"size": size})
    assert unpacked_bytes(b"", attributes) == MAX_CALLBACK_BYTES


def test_unpacked_bytes_is_the_size_of_the_body() -> None:
    """Compressed or not, the size is at most that of the largest body."""
    small, large = pack(b"{}", NOW, LABELS), pack(b" " * 100_000, NOW, LABELS)
    assert unpacked_bytes(small.data, small.attributes) == 2
    assert unpacked_bytes(large.data, large.attributes) == 100_000
    assert unpacked_bytes(b"{}", {"size": "100000"}) == 2
    assert unpacked_bytes(b"", {"encoding": "gzip", "size": "999999999"}) == MAX_CALLBACK_BYTES


def test_unpack_forged_size_takes_no_more_memory_than_it_says() -> None:
    """A message that says 1,000 bytes and unpacks to 32 MiB is refused at 1,000 bytes."""
    message = pack(b" " * MAX_CALLBACK_BYTES, NOW, LABELS)
    tracemalloc.start()
    try:
        with pytest.raises(PoisonMessage, match="more than 1000 bytes"):
            unpack(message.data, message.attributes | {"size": "1000"}, NOW)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300_000


def test_unpack_gzip_bomb_raises_early() -> None:
    """A few kilobytes that unpack to more than any body are refused before they fill the memory."""
    bomb = zlib.compressobj(level=9, wbits=31)
    data = bomb.compress(b"\0" * (MAX_CALLBACK_BYTES + 2)) + bomb.flush()
    with pytest.raises(PoisonMessage):
        decompress(data)
