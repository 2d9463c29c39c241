"""The client's uploads: signed addresses, one request, file names and refusals."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from typing import Any

import msgspec
import pytest

from cli.fake_mavi.account import Limiter
from cli.fake_mavi.server import FakeMavi
from cli.local.processes import free_port
from tests.functional.provider import (
    KEY,
    PATIENT,
    Zeros,
    a_file,
    answer_with,
    client,
    server,
)
from transcripts.errors import ObjectCorrupted, ObjectUnavailable
from transcripts.mavi import rate_limit
from transcripts.mavi.answers import (
    AssetState,
    RateLimited,
    Refusal,
    Refused,
    Sent,
    SignedUrl,
    Unreachable,
    Uploaded,
)
from transcripts.mavi.client import UPLOAD_THREADS, File, MaviClient
from transcripts.mavi.upload_body import BLOCK_BYTES, READ_AHEAD_BYTES, clean_filename
from transcripts.settings import Secret

IN_SOCKETS = 16 * 1024 * 1024
"""More than both sockets of a connection hold."""


def read_ahead_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("read-ahead")]


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_send_streams_the_whole_file(fake: FakeMavi, method: str) -> None:
    """POST and PUT both send every byte, and the file is closed."""
    fake.faults.signed_url_method = method
    mavi = client(fake.url).mavi
    signed = await mavi.signed_url("talk.mp4", PATIENT)
    assert isinstance(signed, SignedUrl)
    size = 20_000_000
    file, opened = a_file(size)
    assert await sent(mavi, signed.url, file) is Sent.ACCEPTED
    asset = fake.account.assets[signed.asset_id]
    assert asset.size == size
    assert asset.sha256 == hashlib.sha256(bytes(size)).hexdigest()
    assert all(each.closed for each in opened)
    assert max(each.largest for each in opened) <= BLOCK_BYTES
    assert await mavi.asset_state(signed.asset_id, PATIENT) is AssetState.READY
    again = await mavi.signed_url("b.mp4", PATIENT)
    assert isinstance(again, SignedUrl)
    before = len(opened)
    assert await mavi.send(again.url, file) is Sent.ACCEPTED
    assert len(opened) == before + 1
    assert fake.keys_given_away == 0


async def sent(mavi: MaviClient, url: str, file: File) -> Sent:
    """Send again after an interruption: a server may close the connection on a rejected method."""
    first = await mavi.send(url, file)
    return await mavi.send(url, file) if first is Sent.INTERRUPTED else first


async def test_send_to_a_refusing_url_is_refused(fake: FakeMavi) -> None:
    """Both methods are tried; a URL without a server is unreachable."""
    file, opened = a_file(100_000)
    mavi = client(fake.url).mavi
    nowhere = fake.admin_url.replace("/_fake", "/signed/re_none")
    assert await mavi.send(nowhere, file) is Sent.REFUSED
    assert len(opened) == 2
    assert await mavi.send(f"http://127.0.0.1:{free_port()}/x", file) is Sent.UNREACHABLE
    fake.faults.answers = {"signed": [503]}
    assert await mavi.send(nowhere, file) is Sent.UNREACHABLE
    assert all(each.closed for each in opened)


async def test_send_interrupted_uses_the_other_method_next_time() -> None:
    """The same call does not repeat the request: the bytes may have arrived."""
    methods: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        methods.append((await reader.readuntil(b" ")).strip())
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    file, _ = a_file(1_000)
    mavi = client("http://127.0.0.1:1").mavi
    async with listening:
        for _ in range(3):
            assert await mavi.send(f"http://127.0.0.1:{port}/x", file) is Sent.INTERRUPTED
    assert methods == [b"POST", b"PUT", b"POST"]


async def test_send_with_each_method_takes_a_slot(fake: FakeMavi) -> None:
    """The rate limit counts requests."""
    fake.limiter = Limiter(5.0, time.monotonic)
    file, _ = a_file(1_000)
    mavi = MaviClient(fake.url, Secret(KEY), per_second=5.0)
    nowhere = fake.admin_url.replace("/_fake", "/signed/re_none")
    assert [await mavi.send(nowhere, file) for _ in range(2)] == [Sent.REFUSED] * 2
    assert (fake.limiter.requests, fake.limiter.violations) == ({"signed": 4}, {})


async def test_upload_in_one_request_sends_the_whole_file(fake: FakeMavi) -> None:
    """Every file name survives."""
    file, _ = a_file(3_000_000, 'a "b" ä\n.mp4')
    answer = await client(fake.url).mavi.upload(file, PATIENT)
    assert isinstance(answer, Uploaded)
    asset = fake.account.assets[answer.asset_id]
    assert (asset.size, asset.filename) == (3_000_000, "a 'b' ä_.mp4")


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "name", ["a\x01\x00\x7f\x85.mp4", "a\u2028.mp4", "a\ud800.mp4", "x" * 1000 + ".mp4", "😀.mp4"]
)
async def test_upload_of_any_name_arrives(fake: FakeMavi, name: str, method: str) -> None:
    """Both ways of uploading send the same name, which every server can read."""
    fake.faults.signed_url_method = method
    mavi = client(fake.url).mavi
    file, _ = a_file(1_000, name)
    signed = await mavi.signed_url(name, PATIENT)
    assert isinstance(signed, SignedUrl)
    assert await sent(mavi, signed.url, file) is Sent.ACCEPTED
    answer = await mavi.upload(file, PATIENT)
    assert isinstance(answer, Uploaded)
    assets = fake.account.assets
    received = {assets[each].filename for each in (signed.asset_id, answer.asset_id)}
    assert received == {clean_filename(name)}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, None),
        (401, Refused(Refusal.AUTH, 401)),
        (402, Refused(Refusal.NO_CREDIT, 402)),
        (405, Refused(Refusal.ERROR, 405)),
        (429, RateLimited()),
        (500, Unreachable()),
    ],
)
async def test_upload_refused_is_classified(fake: FakeMavi, status: int, expected: Any) -> None:
    """Both ways of uploading classify a refusal the same."""
    fake.faults.answers = {"signed_url": [status], "upload": [status]}
    mavi = client(fake.url).mavi
    assert await mavi.signed_url("a.mp4", PATIENT) == expected
    file, _ = a_file(1_000)
    assert await mavi.upload(file, PATIENT) == expected


async def test_send_of_a_short_file_raises(fake: FakeMavi) -> None:
    """The connection ends, so that the server does not wait for the rest."""
    file, _ = a_file(1_000_000)
    short = File(file.open, 2_000_000, file.filename)
    mavi = client(fake.url).mavi
    signed = await mavi.signed_url("a.mp4", PATIENT)
    assert isinstance(signed, SignedUrl)
    with pytest.raises(ObjectUnavailable):
        await mavi.send(signed.url, short)
    with pytest.raises(ObjectUnavailable):
        await mavi.upload(short, PATIENT)


async def test_send_of_a_longer_file_raises(fake: FakeMavi) -> None:
    """A file that was replaced by a longer one is never accepted in part."""
    file, _ = a_file(3_000_000)
    longer = File(file.open, 2_000_000, file.filename)
    await never_accepted(fake, longer, ObjectUnavailable)


class Corrupted(Zeros):
    """A file whose checksum is wrong, which is known at its end."""

    def read(self, size: int, /) -> bytes:
        content = super().read(size)
        if not content:
            raise ObjectCorrupted("injected")
        return content


@pytest.mark.parametrize("size", [1, 1_000, BLOCK_BYTES, 3_000_000])
async def test_send_of_a_corrupted_file_is_never_accepted(fake: FakeMavi, size: int) -> None:
    """The last block is held back until the checksum is known, however small the file is."""
    await never_accepted(fake, File(lambda: Corrupted(size), size, "a.mp4"), ObjectCorrupted)


async def never_accepted(fake: FakeMavi, file: File, error: type[Exception]) -> None:
    for method in ("POST", "PUT"):
        fake.faults.signed_url_method = method
        mavi = client(fake.url).mavi
        mavi._send_methods = (method,)
        signed = await mavi.signed_url("a.mp4", PATIENT)
        assert isinstance(signed, SignedUrl)
        with pytest.raises(error):
            await mavi.send(signed.url, file)
        assert fake.account.assets[signed.asset_id].complete_at is None
        before = set(fake.account.assets)
        with pytest.raises(error):
            await mavi.upload(file, PATIENT)
        assert set(fake.account.assets) == before
    assert read_ahead_threads() == []


async def test_send_to_a_server_that_refuses_early_stops_reading() -> None:
    """Only what was in flight is read, the file is closed, and no thread is left."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    size = 10 * 1024**3
    file, opened = a_file(size)
    async with listening:
        sent = await client("http://127.0.0.1:1").mavi.send(f"http://127.0.0.1:{port}/x", file)
    assert sent in (Sent.REFUSED, Sent.INTERRUPTED)
    assert all(each.closed for each in opened)
    assert max(size - each.left for each in opened) < READ_AHEAD_BYTES + IN_SOCKETS
    assert read_ahead_threads() == []


PIECE_BYTES = 1024 * 1024


async def test_send_of_eight_files_at_once_moves_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server gets a block of every upload before it reads the next block of any."""
    monkeypatch.setattr(rate_limit, "ARRIVES_WITHIN_S", 0.0)
    every_block_is_here = asyncio.Barrier(UPLOAD_THREADS)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(20):
            await reader.readexactly(PIECE_BYTES)
            await every_block_is_here.wait()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x"
    file, opened = a_file(10 * 1024**3)
    mavi = client("http://127.0.0.1:1").mavi
    async with listening:
        sent = await asyncio.gather(*(mavi.send(url, file) for _ in range(UPLOAD_THREADS)))
    assert set(sent) == {Sent.INTERRUPTED}
    assert all(each.closed for each in opened)
    assert read_ahead_threads() == []


async def test_send_to_a_stalled_server_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other seven uploads end while one waits."""
    monkeypatch.setattr(rate_limit, "ARRIVES_WITHIN_S", 0.0)
    size = 30_000_000
    stalled, over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not stalled.is_set():
            stalled.set()
            await over.wait()
        else:
            left = int(head.partition(b"content-length:")[2].split()[0])
            while left:
                left -= len(await reader.read(PIECE_BYTES))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x"
    file, opened = a_file(size)
    mavi = client("http://127.0.0.1:1").mavi
    async with listening:
        first = asyncio.ensure_future(mavi.send(url, file))
        await stalled.wait()
        others = [mavi.send(url, file) for _ in range(UPLOAD_THREADS - 1)]
        assert set(await asyncio.gather(*others)) == {Sent.ACCEPTED}
        assert not first.done()
        assert size - opened[0].left < READ_AHEAD_BYTES + IN_SOCKETS
        over.set()
        assert await first is Sent.INTERRUPTED
    assert read_ahead_threads() == []


async def test_signed_url_with_an_unreadable_answer_is_none(fake: FakeMavi) -> None:
    """An unreadable answer names no asset."""
    for content in (
        b"nonsense",
        b'{"code": 200}',
        b'{"code": 200, "data": {"asset_id": "../x"}}',
        b'{"code": "7777"}',
    ):
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        async with server(answer_with(head + content)) as url:
            assert await client(url).mavi.signed_url("a.mp4", PATIENT) is None
    nowhere = client(f"http://127.0.0.1:{free_port()}").mavi
    assert await nowhere.signed_url("a.mp4", PATIENT) == Unreachable()
    file, _ = a_file(10)
    assert await nowhere.upload(file, PATIENT) == Unreachable()


@pytest.mark.parametrize(
    ("base_url", "url", "taken"),
    [
        ("https://mavi.example", "https://signed.example/x", True),
        ("https://mavi.example", "http://signed.example/x", False),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/x", True),
        ("http://127.0.0.1:1", "https://signed.example/x", True),
    ],
)
async def test_signed_url_in_clear_text_is_accepted_only_on_this_machine(
    monkeypatch: pytest.MonkeyPatch,
    base_url: str,
    url: str,
    taken: bool,  # noqa: FBT001 - parametrized
) -> None:
    """A recording never leaves this machine without TLS."""
    mavi = client(base_url).mavi
    content = msgspec.json.encode({"code": 200, "data": {"asset_id": "re_1", "signed_url": url}})
    monkeypatch.setattr(mavi, "_call", lambda *_: (200, content, None))
    expected = SignedUrl("re_1", url) if taken else None
    assert await mavi.signed_url("a.mp4", PATIENT) == expected


async def test_upload_opens_its_file_when_a_thread_is_free(fake: FakeMavi) -> None:
    """Each open file holds a chunk in memory, so only as many are open as there are threads."""
    mavi = client(fake.url).mavi
    mavi._uploads.slots = asyncio.Semaphore(0)
    file, opened = a_file(10)
    nowhere = fake.admin_url.replace("/_fake", "/signed/re_none")
    sending = asyncio.ensure_future(mavi.send(nowhere, file))
    uploading = asyncio.ensure_future(mavi.upload(file, PATIENT))
    await asyncio.sleep(0.1)
    assert opened == []
    for _ in range(2):
        mavi._uploads.slots.release()
    assert await sending is Sent.REFUSED
    assert isinstance(await uploading, Uploaded)
