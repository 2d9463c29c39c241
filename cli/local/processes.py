"""Child processes: starts them, reads their output, and stops them with their own children.

A guard process ends them if this process is killed, since nothing else would.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from cli import ROOT

FUNCTIONS: Final = ROOT / "functions"
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.02
TAIL_LINES: Final = 15

PORTS: Final = range(20_000, 32_000)
"""Below the ephemeral ports that the system assigns to outgoing connections."""

_locked: set[int] = set()

Event = dict[str, Any]
OnEvent = Callable[[Event], None]


class ProcessFailed(Exception):
    """A child ended, or did not answer in time; the message has the end of its output."""


def free_port(preferred: int = 0) -> int:
    """Return ``preferred`` if it is free, else any free port of this machine.

    The port is locked until this process ends: no other process gets it from this function, since
    the server that will use it may need seconds to start.
    """
    candidates = random.sample(PORTS, len(PORTS))
    for port in ([preferred] if preferred else []) + candidates:
        if port in _locked:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                # One byte stands for the port; the system unlocks it when the process ends.
                fcntl.lockf(_lock_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
                _locked.add(port)
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise ProcessFailed("No free port on this machine.")


@cache
def _lock_file() -> int:
    """Open the file whose bytes are locked; it stays open until the process ends."""
    path = Path(tempfile.gettempdir()) / f"transcripts-ports-{os.getuid()}.lock"
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


_GUARD: Final = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    started, group = line.split()
    (groups.add if started == "+" else groups.discard)(int(group))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


@cache
def _guard() -> subprocess.Popen[str]:
    """Start the process that kills the groups that are left when this process ends."""
    guard = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", _GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    atexit.register(guard.communicate)
    return guard


def _tell_guard(sign: str, group: int) -> None:
    pipe = _guard().stdin
    if pipe is not None:
        pipe.write(f"{sign} {group}\n")
        pipe.flush()


class ChildProcess:
    """A command in its own session; its output is written to a file and read line by line."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        *,
        log_file: Path,
        environ: Mapping[str, str],
        on_event: OnEvent | None = None,
    ) -> None:
        self.name = name
        self.port = port
        self._command = command
        self._log_file = log_file
        self._environ = environ
        self._on_event = on_event
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._tail: list[str] = []

    @property
    def url(self) -> str:
        """The URL that the process serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} was not started.")
        return self._process.pid

    async def start(self) -> None:
        """Start the process; return when it accepts connections. Raises ``ProcessFailed``."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(self._environ),
            start_new_session=True,
            limit=2**20,
        )
        _tell_guard("+", self._process.pid)
        self._reading = asyncio.ensure_future(self._read(self._process))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._accepts():
                    if self._process.returncode is not None:
                        await self.stop()
                        raise ProcessFailed(self._report("ended at once"))
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            await self.stop()
            raise ProcessFailed(self._report("did not answer in time")) from error

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            raise ProcessFailed(f"{self.name} has no output to read.")
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as file:
            async for line in process.stdout:
                file.write(line)
                file.flush()
                self._tail = [*self._tail[1 - TAIL_LINES :], line.decode(errors="replace")]
                if self._on_event is not None and line.startswith(b"{"):
                    try:
                        event = msgspec.json.decode(line)
                    except msgspec.DecodeError:
                        continue
                    self._on_event(event)

    def _report(self, what: str) -> str:
        tail = "".join(self._tail)
        return f"{self.name} {what}. The end of its output ({self._log_file}):\n{tail}"

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop the process and its children; return when the process has ended."""
        process = self._process
        if process is None:
            return
        # The second signal also ends children that the process left running.
        for each in (how, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, each)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
        _tell_guard("-", process.pid)
        if self._reading is not None:
            await self._reading
        self._process = None


def function_process(
    name: str,
    port: int,
    environ: Mapping[str, str],
    log_file: Path,
    on_event: OnEvent | None = None,
) -> ChildProcess:
    """Return the process that serves one function with functions-framework, as in production."""
    command = [
        str(Path(sys.executable).with_name("functions-framework")),
        "--source",
        str(FUNCTIONS / f"{name}.py"),
        "--target",
        name,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    base = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    # The package beside the entry, wherever an editable install leads.
    base["PYTHONPATH"] = str(FUNCTIONS)
    return ChildProcess(
        name, command, port, log_file=log_file, environ=base | dict(environ), on_event=on_event
    )
