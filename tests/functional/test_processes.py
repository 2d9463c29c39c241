"""Ports and children of the local stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.local.processes import PORTS, TAIL_LINES, ChildProcess, ProcessFailed, free_port
from tests.polling import eventually

MANY = 40

STACK_OF_ONE = """
import asyncio, os, sys
from pathlib import Path
from cli.local.processes import ChildProcess, free_port

async def main():
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    child = ChildProcess("web", command, port, log_file=Path(sys.argv[1]), environ=os.environ)
    await child.start()
    print(child.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""

NOISY = """
import http.server, sys
print("starting", '{"no event', '{"message": "ready", "function": "web"}', sep="\\n", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler
    ).serve_forever()
"""


async def test_child_keeps_its_output_and_tells_its_events(tmp_path: Path) -> None:
    """Each line is in the log file, also those that are no events."""
    port, events, log_file = free_port(), list[Any](), tmp_path / "logs" / "web.log"
    command = [sys.executable, "-c", NOISY, str(port)]
    child = ChildProcess(
        "web", command, port, log_file=log_file, environ=os.environ, on_event=events.append
    )
    await child.start()
    await child.stop()
    event = {"message": "ready", "function": "web"}
    assert log_file.read_text().splitlines() == ["starting", '{"no event', json.dumps(event)]
    assert events == [event]


async def test_child_that_ends_at_once_shows_the_end_of_its_output(tmp_path: Path) -> None:
    """What it said last is why it ended."""
    command = [sys.executable, "-c", "print(*range(100), sep='\\n')"]
    log_file = tmp_path / "log"
    child = ChildProcess("web", command, free_port(), log_file=log_file, environ=os.environ)
    with pytest.raises(ProcessFailed) as caught:
        await child.start()
    head, *tail = str(caught.value).splitlines()
    assert head == f"web ended at once. The end of its output ({log_file}):"
    assert tail == [str(number) for number in range(100 - TAIL_LINES, 100)]


async def test_child_of_a_killed_process_ends(tmp_path: Path) -> None:
    """No function and no emulator stays behind, which a second stack would meet."""
    parent = subprocess.Popen(  # noqa: ASYNC220, S603 - our own code
        [sys.executable, "-c", STACK_OF_ONE, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.communicate()

    def is_gone() -> bool:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return True
        # Where nothing reaps orphans, as in a container, it stays as a zombie.
        status = Path(f"/proc/{child}/stat")
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"

    await eventually(is_gone)


def test_free_port_in_many_processes_differs() -> None:
    """A server may take seconds to use its port."""
    code = (
        "from cli.local.processes import free_port\n"
        f"print(*[free_port() for _ in range({MANY})], flush=True)\n"
        "input()\n"
    )
    children = [
        subprocess.Popen(  # noqa: S603 - our own code
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ports = [free_port() for _ in range(MANY)]
    for child in children:
        assert child.stdout is not None
        ports += map(int, child.stdout.readline().split())
    for child in children:
        child.communicate("\n")
    assert len(ports) == 5 * MANY
    assert len(set(ports)) == len(ports)


def test_free_port_preferred_is_given_once() -> None:
    """Another stack gets another port."""
    preferred = free_port()
    assert free_port(preferred) != preferred
    assert free_port(preferred) in PORTS
