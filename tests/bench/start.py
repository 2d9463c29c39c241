"""How long a function takes from the start of its process to the answer of its first request.

The first request is a usual one, so everything it needs is included: the access token, the TLS
channel and the RPCs, against ``tests.bench.google``. An empty function needs nothing of it. CPU
time is the process's own, so it does not depend on what else the machine does.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Final

import msgspec

from tests.bench.google import deployed
from tests.bench.servers import TOKEN, serving
from tests.builders import callback_body, push_body
from transcripts.callbacks.message import pack
from transcripts.settings import FUNCTIONS

TIMEOUT_S: Final = 30.0
EVENT: Final = {
    "kind": "storage#object",
    "bucket": "uploads",
    "name": "talk.mp4",
    "generation": "1767323045678901",
    "size": "1000000",
    "contentType": "video/mp4",
    "timeCreated": "2026-01-02T03:04:05.678Z",
}
EMPTY: Final = "empty"
CONVENTIONAL: Final = "conventional"


@dataclass(frozen=True)
class First:
    """A first request, and the status of its answer."""

    method: str
    path: str
    status: int
    body: bytes = b""
    headers: tuple[str, ...] = ("Content-Type: application/json",)

    def encode(self) -> bytes:
        """Return the request's bytes."""
        lines = (
            f"{self.method} {self.path} HTTP/1.1",
            *("Host: bench", "Connection: close", f"Content-Length: {len(self.body)}"),
            *self.headers,
        )
        return "\r\n".join((*lines, "", "")).encode() + self.body


def first_requests(asset_id: str) -> dict[str, First]:
    """Return the usual request of each function."""
    body = callback_body(segments=50)
    task_id = msgspec.json.decode(body)["task_id"]
    packed = pack(body, datetime.now(UTC), {"task_id": task_id, "kind": "multi_speaker"})
    event_type = "ce-type: google.cloud.storage.object.v1.finalized"
    return {
        EMPTY: First("GET", "/", 200),
        CONVENTIONAL: First("POST", "/", 200, body),
        "submit": First("POST", "/", 202, msgspec.json.encode({"asset_id": asset_id})),
        "ingest": First(
            "POST",
            "/",
            204,
            msgspec.json.encode(EVENT),
            ("Content-Type: application/json", event_type),
        ),
        "callback": First("POST", f"/{TOKEN}", 200, body),
        "subscriber": First("POST", "/", 204, push_body(packed.data, packed.attributes)),
        "results": First("GET", "/tasks", 200),
        "sweep": First("POST", "/", 200),
    }


def answer(port: int, request: bytes) -> int | None:
    """Return the status of the answer, None while the server does not listen."""
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    except ConnectionRefusedError:
        return None
    with connection:
        connection.sendall(request)
        return int(connection.recv(64).split()[1])


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return the medians of each function: ``wall_ms``, ``cpu_ms``, ``memory_mib``, ``ratio``.

    ``ratio`` is CPU time against an empty function.
    """
    names = (EMPTY, CONVENTIONAL, *FUNCTIONS)
    runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    with deployed() as google:
        requests = first_requests(google.environ["BENCH_ASSET"])
        for _ in range(rounds + 1):
            for name in names:
                google.documents.clear()
                runs[name].append(_start(name, requests[name], google.environ))
    found: dict[str, dict[str, float]] = {}
    for name in names:
        wall_s, cpu_s, memory = (median(column) for column in zip(*runs[name][1:], strict=True))
        found[name] = {"wall_ms": wall_s * 1e3, "cpu_ms": cpu_s * 1e3, "memory_mib": memory}
    for each in found.values():
        each["ratio"] = each["cpu_ms"] / found[EMPTY]["cpu_ms"]
        each["wall_ratio"] = each["wall_ms"] / found[EMPTY]["wall_ms"]
    return found


def _start(name: str, first: First, environ: Mapping[str, str]) -> tuple[float, float, float]:
    request = first.encode()
    with serving(name, environ, lambda port: answer(port, request)) as server:
        if server.status != first.status:
            raise RuntimeError(f"{name} answered {server.status}")
        return server.start_s, server.cpu_s(), server.memory_mib


def report(rounds: int) -> dict[str, dict[str, float]]:
    """Print a row for each function, and return the figures."""
    print(f"\nStart: process start to the answer of a first usual request, median of {rounds}")
    found = measure(rounds)
    for name, each in found.items():
        print(
            f"  {name:<12} {each['wall_ms']:6.0f} ms {each['wall_ratio']:5.2f} x   "
            f"CPU {each['cpu_ms']:6.0f} ms {each['ratio']:5.2f} x   {each['memory_mib']:4.0f} MiB"
        )
    return found
