"""Downloads of objects: resumed where they broke, of one generation, with the right checksum."""

from __future__ import annotations

import asyncio
import ssl
import threading
import warnings
from base64 import b64encode
from dataclasses import replace
from time import monotonic

import google_crc32c
import pytest
import requests
import urllib3
from aiohttp import web

from tests.functional.storage import CONTENT, Storage, cloud_storage, json_error, read_whole
from tests.polling import eventually
from transcripts.errors import ObjectCorrupted, ObjectNotFound, ObjectUnavailable
from transcripts.google import objects as objects_module
from transcripts.google.objects import RETRY
from transcripts.mavi.upload_body import BLOCK_BYTES
from transcripts.retry import RetryPolicy
from transcripts.uploads.stored_object import StoredObject

STORED = StoredObject(bucket="uploads", name="a.mp4", generation="7", size=len(CONTENT))


def checksum(content: bytes) -> str:
    """Return the header as Cloud Storage writes it."""
    digest = google_crc32c.Checksum(content).digest()
    return f"crc32c={b64encode(digest).decode()},md5=Ojk9c3dhfxgoKVVHYwFbHQ=="


def longer(by: int) -> StoredObject:
    return StoredObject(bucket="uploads", name="a.mp4", generation="7", size=len(CONTENT) + by)


def read_to_the_end(reader: object) -> None:
    assert isinstance(reader, objects_module._Download)
    while reader.read(10):
        pass


async def test_download_that_does_not_break_is_one_request(storage: Storage) -> None:
    """The first request asks for the whole object."""
    assert await asyncio.to_thread(read_whole) == CONTENT
    assert storage.ranges == [None]


@pytest.mark.parametrize("breaks_after", [[0], [1], [23], [5, 3, 1]])
async def test_download_that_breaks_is_resumed_at_the_byte_where_it_broke(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, breaks_after: list[int]
) -> None:
    """The checksum is that of the whole object, across all requests."""
    monkeypatch.setattr(objects_module, "RETRY", replace(RETRY, first_pause_s=0.001))
    storage.breaks_after = list(breaks_after)
    storage.headers["X-Goog-Hash"] = checksum(CONTENT)
    assert await asyncio.to_thread(read_whole) == CONTENT
    reached = [sum(breaks_after[:number]) for number in range(1, len(breaks_after) + 1)]
    assert storage.ranges == [None, *(f"bytes={at}-" if at else None for at in reached)]


async def test_download_that_breaks_again_and_again_is_unavailable(storage: Storage) -> None:
    """The attempts to resume end after the time of a retry."""
    storage.breaks_after = [5, *([0] * 1000)]
    with pytest.raises(ObjectUnavailable):
        await asyncio.to_thread(read_whole)
    assert len(storage.ranges) >= 1


async def test_download_without_a_length_that_ends_early_is_unavailable(storage: Storage) -> None:
    """Only the size tells that bytes are missing."""
    storage.headers["Transfer-Encoding"] = "chunked"
    with cloud_storage() as source:
        reader = await asyncio.to_thread(source.open, longer(1))
        with pytest.raises(ObjectUnavailable):
            await asyncio.to_thread(read_to_the_end, reader)
        reader.close()


async def test_download_without_a_length_that_is_longer_is_unavailable(storage: Storage) -> None:
    """An answer with other bytes than those stored is not sent on."""
    storage.headers["Transfer-Encoding"] = "chunked"
    with cloud_storage() as source:
        reader = await asyncio.to_thread(source.open, longer(-1))
        with pytest.raises(ObjectUnavailable):
            await asyncio.to_thread(read_to_the_end, reader)
        reader.close()


@pytest.mark.parametrize("by", [-1, 1])
async def test_open_object_of_another_size_is_unavailable(storage: Storage, by: int) -> None:
    """The size was described before the download began."""
    assert storage.ranges == []
    with cloud_storage() as source, pytest.raises(ObjectUnavailable):
        await asyncio.to_thread(source.open, longer(by))


async def test_open_other_generation_than_wanted_is_not_found(storage: Storage) -> None:
    """A server that ignores the generation is not believed."""
    storage.headers["X-Goog-Generation"] = "8"
    with cloud_storage() as source, pytest.raises(ObjectNotFound):
        await asyncio.to_thread(source.open, STORED)


async def test_download_whose_object_is_replaced_is_not_found(storage: Storage) -> None:
    """The rest of the old generation cannot be read, and nothing of the new one is."""
    storage.breaks_after = [5]
    with cloud_storage() as source:
        reader = await asyncio.to_thread(source.open, STORED)
        storage.sent = json_error(404, "notFound")
        with pytest.raises(ObjectNotFound):
            await asyncio.to_thread(read_to_the_end, reader)
        reader.close()


@pytest.mark.parametrize("how", ["no range", "another range", "no numbers"])
async def test_download_resumed_with_other_bytes_is_unavailable(storage: Storage, how: str) -> None:
    """Bytes of another place in the object are never sent on."""
    storage.breaks_after = [5]
    storage.ignores_ranges = how == "no range"
    if how == "another range":
        storage.headers["Content-Range"] = f"bytes 4-23/{len(CONTENT)}"
    if how == "no numbers":
        storage.headers["Content-Range"] = "bytes */*"
    with pytest.raises(ObjectUnavailable):
        await asyncio.to_thread(read_whole)


async def test_download_with_another_checksum_is_corrupted(storage: Storage) -> None:
    """The error comes at the end, after every byte and before the end."""
    storage.headers["X-Goog-Hash"] = checksum(CONTENT.upper())
    with cloud_storage() as source:
        reader = await asyncio.to_thread(source.open, STORED)
        content = b""
        while len(content) < len(CONTENT):
            content += await asyncio.to_thread(reader.read, 10)
        with pytest.raises(ObjectCorrupted):
            await asyncio.to_thread(reader.read, 10)
        reader.close()


@pytest.mark.parametrize("header", [None, "md5=Ojk9c3dhfxgoKVVHYwFbHQ==", "crc32c=x"])
async def test_download_without_a_checksum_is_not_compared(
    storage: Storage, header: str | None
) -> None:
    """Emulators leave the header out."""
    if header is not None:
        storage.headers["X-Goog-Hash"] = header
    assert await asyncio.to_thread(read_whole) == CONTENT


async def test_download_of_a_compressed_object_gives_the_stored_bytes(storage: Storage) -> None:
    """Its size and its checksum are those of the stored bytes."""
    storage.headers |= {"Content-Encoding": "gzip", "X-Goog-Hash": checksum(CONTENT)}
    assert await asyncio.to_thread(read_whole) == CONTENT


async def test_close_while_a_read_waits_ends_it(storage: Storage) -> None:
    """The thread that reads does not wait for a silent server."""
    silent = asyncio.Event()

    async def stall(response: web.StreamResponse) -> None:
        await response.write(CONTENT[:5])
        await silent.wait()

    storage.write = stall
    with cloud_storage() as source:
        reader = await asyncio.to_thread(source.open, STORED)
        errors: list[BaseException] = []

        def read() -> None:
            try:
                reader.read(10)
            except ObjectUnavailable as error:
                errors.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        begin = monotonic()
        await asyncio.to_thread(reader.close)
        await asyncio.to_thread(thread.join)
        assert len(errors) == 1
        assert monotonic() - begin < objects_module.TIMEOUTS_S[1] / 2
    silent.set()


async def test_close_between_two_attempts_ends_the_read(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause between the attempts is not waited for."""
    slow = RetryPolicy(first_pause_s=1000.0, max_pause_s=1000.0, timeout_s=10_000.0)
    monkeypatch.setattr(objects_module, "RETRY", slow)
    storage.breaks_after = [0]
    with cloud_storage() as source:
        reader = await asyncio.to_thread(source.open, STORED)
        reading = asyncio.ensure_future(asyncio.to_thread(reader.read, 10))
        await eventually(lambda: reader._response is None)
        reader.close()
        with pytest.raises(ObjectUnavailable):
            await reading


async def test_read_of_a_closed_download_opens_no_connection(storage: Storage) -> None:
    """A thread that comes too late does not read."""
    with cloud_storage() as source:
        reader = await asyncio.to_thread(source.open, STORED)
        reader.close()
        with pytest.raises(ObjectUnavailable):
            await asyncio.to_thread(reader.read, 10)


async def test_download_names_the_generation_in_every_request(storage: Storage) -> None:
    """The first request, and a resumed one, are for just this generation."""
    storage.breaks_after = [5]
    with cloud_storage() as source:
        reader = await asyncio.to_thread(source.open, STORED)
        await asyncio.to_thread(read_to_the_end, reader)
        reader.close()
    assert storage.queries == [{"alt": "media", "generation": "7"}] * 2


async def test_read_over_tls_returns_whole_blocks(self_signed: ssl.SSLContext) -> None:
    """A record has 16 KiB at most: sending each of them alone would take more CPU time."""
    size = 4 * 1024 * 1024

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size))
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(send, "127.0.0.1", 0, ssl=self_signed)
    url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x"
    stored = StoredObject(bucket="uploads", name="a.mp4", generation="7", size=size)

    def sizes() -> list[int]:
        with requests.Session() as session, warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
            session.verify = session.trust_env = False
            download = objects_module._Download(session, url, stored)
            found = []
            while content := download.read(BLOCK_BYTES):
                found.append(len(content))
            download.close()
            return found

    async with listening:
        found = await asyncio.to_thread(sizes)
    assert sum(found) == size
    assert found == [BLOCK_BYTES] * (size // BLOCK_BYTES)
