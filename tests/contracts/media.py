"""The contract of ``ports.MediaSigner``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from tests.fakes import Clock
from transcripts.ports import MediaSigner
from transcripts.uploads.stored_object import StoredObject

CONTENT = bytes(range(256)) * 64
VALID_FOR = timedelta(minutes=15)


@dataclass(frozen=True)
class Given:
    """The answer of an address: 200 or 206 with the bytes, 4xx without."""

    status: int
    content: bytes = b""
    media_type: str = ""
    disposition: str = ""


class MediaUnderTest(Protocol):
    """A signer, the time that it goes by, and the server that its addresses lead to."""

    clock: Clock

    @property
    def signer(self) -> MediaSigner:
        """The signer."""

    async def put(self, name: str, content: bytes) -> StoredObject:
        """Store an object of the bucket ``uploads``, of the type ``audio/wav``."""

    async def get(self, address: str, wanted: str | None = None) -> Given:
        """Request an address, or a range of its bytes such as ``bytes=0-9``."""


class MediaContract:
    """Subclasses give a fixture ``media``."""

    async def sign(self, media: MediaUnderTest, stored: StoredObject) -> str:
        until = media.clock() + VALID_FOR
        return await asyncio.to_thread(media.signer.sign, stored, "audio/wav", until)

    async def test_address_gives_the_object_as_an_attachment(self, media: MediaUnderTest) -> None:
        """A browser plays it, and shows no page if it opens the address itself."""
        address = await self.sign(media, await media.put("talks/Köln 1 & 2?.wav", CONTENT))
        given = await media.get(address)
        assert (given.status, given.content) == (200, CONTENT)
        assert (given.media_type, given.disposition) == ("audio/wav", "attachment")

    async def test_address_gives_a_range_of_bytes(self, media: MediaUnderTest) -> None:
        """Seeking needs it; one address serves many ranges."""
        address = await self.sign(media, await media.put("a.wav", CONTENT))
        for first, last in ((0, 9), (5000, 5099)):
            given = await media.get(address, f"bytes={first}-{last}")
            assert (given.status, given.content) == (206, CONTENT[first : last + 1])

    async def test_address_after_its_time_gives_nothing(self, media: MediaUnderTest) -> None:
        """Another address of the same object does."""
        stored = await media.put("a.wav", CONTENT)
        address = await self.sign(media, stored)
        media.clock.advance(minutes=14)
        assert (await media.get(address)).status == 200
        media.clock.advance(minutes=2)
        assert (await media.get(address)).status in (400, 403, 404)
        assert (await media.get(await self.sign(media, stored))).status == 200

    async def test_address_of_a_replaced_generation_gives_nothing(
        self, media: MediaUnderTest
    ) -> None:
        """The recording beside a transcript is the one that was transcribed."""
        address = await self.sign(media, await media.put("a.wav", CONTENT))
        await media.put("a.wav", CONTENT + b"another")
        assert (await media.get(address)).status == 404

    async def test_changed_address_gives_nothing(self, media: MediaUnderTest) -> None:
        """No other object, and no later time, can be made of an address."""
        address = await self.sign(media, await media.put("a.wav", CONTENT))
        assert (await media.get(f"{address[:-4]}0000")).status in (400, 403, 404)
