"""A load generator: a fixed number of connections, each with one request under way.

Raw sockets on uvloop, since a slower client would measure itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import uvloop


@dataclass
class Load:
    """The counts of a run. Times in seconds; ``answers`` includes those of the warm-up."""

    begin: float
    end: float
    open: int
    done: asyncio.Future[None]
    answers: int = 0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """The result of a run."""

    per_second: float
    p50_ms: float
    p99_ms: float
    answers: int
    statuses: dict[str, int]


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, load: Load) -> None:
        self._request = request
        self._load = load
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent_at = perf_counter()
        if self._sent_at < self._load.end:
            self._transport.write(self._request)
            return
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.open -= 1
        if not self._load.open:
            self._load.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        at = head.find(b"content-length: ")
        length = int(head[at + 16 :].split(b"\r\n")[0]) if at >= 0 else 0
        if len(self._buffer) < head_end + 4 + length:
            return
        status = self._buffer[9:12].decode()
        self._buffer = b""
        now = perf_counter()
        self._load.answers += 1
        if now > self._load.begin:
            self._load.latencies.append(now - self._sent_at)
            self._load.statuses[status] = self._load.statuses.get(status, 0) + 1
        self._send()


async def _run(port: int, request: bytes, connections: int, seconds: float) -> Measured:
    loop = asyncio.get_running_loop()
    warm_up = min(1.0, seconds / 4)
    now = perf_counter()
    load = Load(now + warm_up, now + warm_up + seconds, connections, loop.create_future())
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(request, load), "127.0.0.1", port)
    await load.done
    ordered = sorted(load.latencies)
    return Measured(
        per_second=len(ordered) / seconds,
        p50_ms=ordered[len(ordered) // 2] * 1e3,
        p99_ms=ordered[int(len(ordered) * 0.99)] * 1e3,
        answers=load.answers,
        statuses=load.statuses,
    )


def post(port: int, path: str, body: bytes, *, connections: int, seconds: float) -> Measured:
    """Post ``body`` again and again from ``connections`` connections, after a short warm-up."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return uvloop.run(_run(port, head.encode() + body, connections, seconds))
