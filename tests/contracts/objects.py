"""The contract of ``ports.ObjectSource``."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
from typing import Protocol

import pytest

from transcripts.errors import ObjectNotFound
from transcripts.ports import ObjectReader, ObjectSource

LARGER_THAN_A_CHUNK = 20 * 1024 * 1024 + 7


class BucketUnderTest(Protocol):
    """Objects, and a way to put one there."""

    source: ObjectSource

    async def put(
        self,
        name: str,
        content: bytes,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
        content_encoding: str | None = None,
    ) -> None:
        """Upload an object into the bucket ``uploads``."""


def whole(reader: ObjectReader, size: int) -> bytes:
    """Read to the end, as an upload does."""
    content = b""
    while chunk := reader.read(size):
        content += chunk
    reader.close()
    return content


class ObjectsContract:
    """Subclasses give a fixture ``bucket``."""

    async def test_stat_returns_the_object(self, bucket: BucketUnderTest) -> None:
        """The attributes are name, generation, type, size and metadata, with the keys' case."""
        metadata = {"mavi-label-case": "7", "Mavi-Label-Court": "x"}
        await bucket.put("talks/Köln 1.mp4", b"12345", "video/mp4", metadata)
        stat = bucket.source.stat
        stored = await asyncio.to_thread(stat, "uploads", "talks/Köln 1.mp4", None)
        assert (stored.bucket, stored.name, stored.size) == ("uploads", "talks/Köln 1.mp4", 5)
        assert (stored.content_type, stored.metadata) == ("video/mp4", metadata)
        assert stored.generation.isdigit()
        again = await asyncio.to_thread(stat, "uploads", stored.name, stored.generation)
        assert again == stored

    async def test_stat_compressed_object_tells_its_encoding(self, bucket: BucketUnderTest) -> None:
        """The size and the bytes are those that are stored."""
        content = gzip.compress(b"a recording " * 1000)
        await bucket.put("a.wav", content, "audio/wav", content_encoding="gzip")
        stored = await asyncio.to_thread(bucket.source.stat, "uploads", "a.wav", None)
        assert (stored.content_encoding, stored.size) == ("gzip", len(content))
        reader = await asyncio.to_thread(bucket.source.open, stored)
        assert await asyncio.to_thread(whole, reader, 100) == content
        await bucket.put("b.wav", b"x", "audio/wav")
        stored = await asyncio.to_thread(bucket.source.stat, "uploads", "b.wav", None)
        assert (stored.content_encoding, stored.customer_encrypted) == (None, False)

    @pytest.mark.parametrize("name", ["a\x01\x7f\t\x80.mp4", "a?b#c%41&d=e.mp4", "a\u2028😀.mp4"])
    async def test_open_object_of_any_name_reads_it(
        self, bucket: BucketUnderTest, name: str
    ) -> None:
        """Cloud Storage forbids no character but line feed and carriage return."""
        await bucket.put(name, b"12345")
        stored = await asyncio.to_thread(bucket.source.stat, "uploads", name, None)
        assert (stored.name, stored.size) == (name, 5)
        reader = await asyncio.to_thread(bucket.source.open, stored)
        assert await asyncio.to_thread(whole, reader, 2) == b"12345"

    async def test_read_returns_every_byte(self, bucket: BucketUnderTest) -> None:
        """The object is read in several chunks."""
        content = hashlib.sha256(b"x").digest() * (LARGER_THAN_A_CHUNK // 32 + 1)
        await bucket.put("a.mp4", content)
        stored = await asyncio.to_thread(bucket.source.stat, "uploads", "a.mp4", None)
        reader = await asyncio.to_thread(bucket.source.open, stored)
        assert await asyncio.to_thread(whole, reader, 1024 * 1024) == content

    async def test_read_past_the_end_stays_empty(self, bucket: BucketUnderTest) -> None:
        """The end may be read again."""
        await bucket.put("a.mp4", b"12345")
        stored = await asyncio.to_thread(bucket.source.stat, "uploads", "a.mp4", None)
        reader = await asyncio.to_thread(bucket.source.open, stored)
        content = b""
        while len(content) < 5:
            content += await asyncio.to_thread(reader.read, 10)
        assert [await asyncio.to_thread(reader.read, 10) for _ in range(2)] == [b"", b""]
        assert content == b"12345"
        reader.close()

    async def test_read_of_an_object_that_is_replaced_meanwhile_gives_one_generation(
        self, bucket: BucketUnderTest
    ) -> None:
        """The bytes of two generations are never mixed: reading goes on, or raises."""
        first = b"first " * (LARGER_THAN_A_CHUNK // 6)
        await bucket.put("a.mp4", first)
        stored = await asyncio.to_thread(bucket.source.stat, "uploads", "a.mp4", None)
        reader = await asyncio.to_thread(bucket.source.open, stored)
        content = await asyncio.to_thread(reader.read, 1024)
        await bucket.put("a.mp4", b"other " * (LARGER_THAN_A_CHUNK // 6))
        with contextlib.suppress(ObjectNotFound):
            content += await asyncio.to_thread(whole, reader, 1024 * 1024)
        assert first.startswith(content)
        reader.close()

    async def test_close_before_the_end_may_be_repeated(self, bucket: BucketUnderTest) -> None:
        """An upload that fails closes its reader, and so does who opened it."""
        await bucket.put("a.mp4", bytes(LARGER_THAN_A_CHUNK))
        stored = await asyncio.to_thread(bucket.source.stat, "uploads", "a.mp4", None)
        reader = await asyncio.to_thread(bucket.source.open, stored)
        assert await asyncio.to_thread(reader.read, 10)
        reader.close()
        reader.close()

    async def test_read_of_an_empty_object_is_empty(self, bucket: BucketUnderTest) -> None:
        """Reading an empty object is no error."""
        await bucket.put("empty.mp4", b"")
        stored = await asyncio.to_thread(bucket.source.stat, "uploads", "empty.mp4", None)
        assert stored.size == 0
        reader = await asyncio.to_thread(bucket.source.open, stored)
        assert await asyncio.to_thread(whole, reader, 100) == b""

    async def test_stat_of_a_replaced_generation_raises(self, bucket: BucketUnderTest) -> None:
        """Opening the replaced generation raises, too."""
        await bucket.put("a.mp4", b"first")
        first = await asyncio.to_thread(bucket.source.stat, "uploads", "a.mp4", None)
        await bucket.put("a.mp4", b"second")
        second = await asyncio.to_thread(bucket.source.stat, "uploads", "a.mp4", None)
        assert second.generation != first.generation
        with pytest.raises(ObjectNotFound):
            await asyncio.to_thread(bucket.source.stat, "uploads", "a.mp4", first.generation)
        with pytest.raises(ObjectNotFound):
            await asyncio.to_thread(bucket.source.open, first)

    @pytest.mark.parametrize("name", ["none.mp4", "a/b/none.mp4"])
    async def test_stat_of_a_missing_object_raises(
        self, bucket: BucketUnderTest, name: str
    ) -> None:
        """The error is the same as for a replaced generation."""
        with pytest.raises(ObjectNotFound):
            await asyncio.to_thread(bucket.source.stat, "uploads", name, None)
        with pytest.raises(ObjectNotFound):
            await asyncio.to_thread(bucket.source.stat, "none", name, None)
