"""Helpers for tests of the client: the fake provider, servers with given answers, and files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from cli.fake_mavi.server import FakeMavi
from transcripts.mavi.answers import (
    AssetState,
    SubmitAnswer,
)
from transcripts.mavi.client import File, MaviClient
from transcripts.settings import Secret

KEY = "made-up-key"


PATIENT = 60.0


class Webhook:
    """Records the callbacks that the fake posts."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.status = 200
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.json_response({"code": 0}, status=self.status)


async def nothing() -> None:
    """Record no intent."""


class Client:
    """A client with a long wait and no rate limit."""

    def __init__(self, url: str, key: str = KEY, **options: Any) -> None:
        self.mavi = MaviClient(url, Secret(key), per_second=10_000.0, **options)

    async def submit(self, asset_id: str) -> SubmitAnswer:
        return await self.mavi.submit(asset_id, PATIENT, nothing)

    async def asset_state(self, asset_id: str) -> AssetState | None:
        return await self.mavi.asset_state(asset_id, PATIENT)


def client(url: str, key: str = KEY, **options: Any) -> Client:
    return Client(url, key, **options)


@asynccontextmanager
async def api(fake: FakeMavi) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": KEY}) as session:
        yield session


def ready(fake: FakeMavi) -> str:
    return fake.add_asset("talk.mp4").asset_id


@asynccontextmanager
async def server(answer: Callable[[asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    """Answer each whole request with raw bytes."""

    handling: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handling.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            for line in lines:
                if line.startswith(b"content-length:"):
                    await reader.readexactly(int(line.partition(b":")[2]))
            await answer(writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield f"http://127.0.0.1:{port}"
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)


def answer_with(content: bytes) -> Callable[[asyncio.StreamWriter], Any]:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return answer


class Zeros:
    """A file of zeros that is never whole in memory, and records how it was read."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.largest = 0
        self.closed = False

    def read(self, size: int, /) -> bytes:
        self.largest = max(self.largest, size)
        content = bytes(min(size, self.left))
        self.left -= len(content)
        return content

    def close(self) -> None:
        self.closed = True


def a_file(size: int, filename: str = "talk.mp4") -> tuple[File, list[Zeros]]:
    opened: list[Zeros] = []

    def open_file() -> Zeros:
        opened.append(Zeros(size))
        return opened[-1]

    return File(open_file, size, filename), opened
