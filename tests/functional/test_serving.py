"""The server process, as the framework starts it: idle instances, connections, logs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from functions_framework._http.gunicorn import UvicornApplication
from gunicorn.arbiter import Arbiter

from cli.local.processes import ChildProcess, free_port, function_process
from tests.builders import callback_body
from transcripts import serving

TOKEN = "token-of-more-than-thirty-two-characters"
TIMEOUT_S = 1
"""Cloud Run's request time-out in this test; a frozen instance sleeps for longer."""

REQUESTS = {
    "submit": ("/", b"{}", 400),
    "ingest": ("/", b"{}", 422),
    "callback": (f"/{TOKEN}", callback_body(), 200),
    "subscriber": ("/", b"{}", 422),
    "results": ("/tasks", b"", 405),
    "sweep": ("/", b"", 200),
}
"""A path, a body and the status of the answer."""


@pytest.fixture
async def functions(tmp_path: Path) -> AsyncIterator[dict[str, ChildProcess]]:
    environ = {
        "TRANSCRIPTS_BACKEND": "embedded",
        "TRANSCRIPTS_DATA_DIR": str(tmp_path / "data"),
        "MAVI_API_KEY": "test",
        "CALLBACK_TOKENS": TOKEN,
        "CLOUD_RUN_TIMEOUT_SECONDS": str(TIMEOUT_S),
    }
    found = {
        name: function_process(name, free_port(), environ, tmp_path / f"{name}.log")
        for name in REQUESTS
    }
    await asyncio.gather(*(function.start() for function in found.values()))
    try:
        for name, function in found.items():
            assert await answer(function, name) == REQUESTS[name][2]
        yield found
    finally:
        await asyncio.gather(*(function.stop() for function in found.values()))


class Connection:
    """One HTTP/1.1 connection, kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, path: str, body: bytes) -> None:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        await self._writer.drain()

    async def status(self) -> int:
        async with asyncio.timeout(20):
            head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.lower().splitlines()
                if line.startswith(b"content-length:")
            ),
            0,
        )
        await self._reader.readexactly(length)
        return int(head.split()[1])

    def close(self) -> None:
        self._writer.close()


async def answer(function: ChildProcess, name: str) -> int:
    """Return the status of one request on a connection of its own."""
    path, body, _ = REQUESTS[name]
    connection = await Connection.open(function.port)
    try:
        await connection.post(path, body)
        return await connection.status()
    finally:
        connection.close()


def workers(function: ChildProcess) -> list[int]:
    children = Path(f"/proc/{function.pid}/task/{function.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


async def test_instance_frozen_longer_than_its_timeout_answers_the_next_request(
    functions: dict[str, ChildProcess],
) -> None:
    """Cloud Run takes the CPU away between requests; the worker must survive that."""
    before = {name: workers(function) for name, function in functions.items()}
    for function in functions.values():
        os.killpg(function.pid, signal.SIGSTOP)
    # The freeze itself is the subject: it has to outlast the time-out.
    await asyncio.sleep(2.5 * TIMEOUT_S)
    connections = {
        name: await Connection.open(function.port) for name, function in functions.items()
    }
    for name, (path, body, _) in REQUESTS.items():
        await connections[name].post(path, body)
    for function in functions.values():
        os.killpg(function.pid, signal.SIGCONT)
    try:
        statuses = {name: await connection.status() for name, connection in connections.items()}
    finally:
        for connection in connections.values():
            connection.close()
    assert statuses == {name: status for name, (_, _, status) in REQUESTS.items()}
    # The arbiter looks at its workers once a second.
    await asyncio.sleep(2 * TIMEOUT_S)
    assert {name: workers(function) for name, function in functions.items()} == before


async def test_connection_idle_longer_than_gunicorns_default_is_still_open(
    functions: dict[str, ChildProcess],
) -> None:
    """A proxy that reuses a connection must not meet a server that is closing it."""
    connection = await Connection.open(functions["callback"].port)
    path, body, status = REQUESTS["callback"]
    try:
        await connection.post(path, body)
        assert await connection.status() == status
        # gunicorn would close it after 2 s.
        await asyncio.sleep(3)
        await connection.post(path, body)
        assert await connection.status() == status
    finally:
        connection.close()


async def test_answer_to_a_closed_connection_leaves_no_token_in_the_log(
    functions: dict[str, ChildProcess], tmp_path: Path
) -> None:
    """The framework logs the path of a request whose answer can't be sent."""
    function = functions["callback"]
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", function.port)
        head = f"POST /{TOKEN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}"
        writer.write(head.encode() * 3)
        writer.transport.abort()

    assert await answer(function, "callback") == 200
    await function.stop()
    assert TOKEN not in (tmp_path / "callback.log").read_text()


def test_server_reads_the_settings_after_the_entry_was_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails when a new version of the framework or of gunicorn takes them from elsewhere."""
    monkeypatch.setenv("CLOUD_RUN_TIMEOUT_SECONDS", "300")
    serving.configure_server()
    application: Any = UvicornApplication(lambda: None, "127.0.0.1", 0, debug=False)
    settings = application.cfg
    assert settings.timeout == 0
    assert settings.keepalive == serving.KEEP_ALIVE_S > 600
    assert settings.control_socket_disable is True
    assert Arbiter(application).timeout == 0
