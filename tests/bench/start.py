"""How long a function takes from the start of its process to the answer of its first request.

The first request is a usual one, so everything it needs is included: the access token, the TLS
channel and the RPCs, against ``tests.bench.google``. An empty function needs nothing of it. CPU
time is the process's own, so it does not depend on what else the machine does.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from cli.local.processes import FUNCTIONS
from tests.bench.figures import CONVENTIONAL, EMPTY, Figures, medians
from tests.bench.google import deployed
from tests.bench.servers import TOKEN, serving
from tests.builders import callback_body, push_body
from transcripts.callbacks.message import pack

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
        "reader": First("GET", "/tasks", 200),
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


@contextmanager
def deployed_programs() -> Iterator[Path]:
    """Install what is deployed, and nothing else; yields the folder of its programs.

    Google's packages import other ones where those are installed: aiohttp, which is not deployed,
    takes as long as a client.
    """
    with TemporaryDirectory() as folder:
        uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
        python = f"{folder}/bin/python"
        packages = ["--require-hashes", "--requirements", str(FUNCTIONS / "requirements.txt")]
        for command in (
            [*uv, "venv", "--python", sys.executable, "--clear", folder],
            [*uv, "pip", "install", "--python", python, "--compile-bytecode", *packages],
        ):
            subprocess.run(command, check=True)  # noqa: S603 - our own fixed commands
        yield Path(python).parent


def measure(rounds: int) -> dict[str, Figures]:
    """Return the medians of each function: ``wall_ms``, ``cpu_ms``, ``memory_mib``."""
    with deployed() as google, deployed_programs() as programs:
        requests = first_requests(google.environ["BENCH_ASSET"])

        def start(name: str) -> Figures:
            google.documents.clear()
            request = requests[name].encode()
            environ, first = google.environ, lambda port: answer(port, request)
            with serving(name, environ, first, programs) as server:
                if server.status != requests[name].status:
                    raise RuntimeError(f"{name} answered {server.status}")
                return {
                    "wall_ms": server.start_s * 1e3,
                    "cpu_ms": server.cpu_s() * 1e3,
                    "memory_mib": server.memory_mib,
                }

        return medians(rounds, {name: partial(start, name) for name in requests})
