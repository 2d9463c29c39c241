"""Functions as processes, for measuring."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Final

from cli.local.processes import FUNCTIONS, free_port

PROGRAMS: Final = Path(sys.executable).parent
"""Those of this environment, which has more packages than are deployed."""

BASELINES: Final = Path(__file__).parent / "baselines"
TOKEN: Final = "b" * 32
TOPIC: Final = "projects/bench/topics/callbacks"
ENVIRON: Final = {
    "CALLBACK_TOKENS": TOKEN,
    "CALLBACK_TOPIC": TOPIC,
    "REJECTED_TOPIC": "projects/bench/topics/callbacks-rejected",
    "GOOGLE_CLOUD_PROJECT": "bench",
    "MAVI_API_KEY": "bench",
    "SUBMIT_QUEUE": "projects/bench/locations/bench/queues/submissions",
    "SUBMIT_URL": "https://submit.example",
    # The conventional way is given the 80 threads that a concurrency of 80 needs.
    "THREADS": "80",
}


@dataclass(frozen=True)
class Server:
    """A running function. ``start_s`` is from the process's start to its first answer."""

    port: int
    pid: int
    start_s: float
    status: int
    memory_mib: float

    def cpu_s(self) -> float:
        """Return the CPU time of the process and its children, which have all their threads."""
        return sum(_cpu_s(each) for each in _processes(self.pid))


def _source(name: str) -> Path:
    path = FUNCTIONS / f"{name}.py"
    return path if path.exists() else BASELINES / f"{name}.py"


def _status(port: int) -> int | None:
    """Return the status of any answer at all, None while the server does not listen."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /x HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return int(connection.recv(64).split()[1])
    except OSError:
        return None


def _processes(pid: int) -> list[str]:
    """Return a process and its children."""
    return [str(pid), *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_s(pid: str) -> float:
    """Return user and system time (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mib(pid: int) -> float:
    """Sum up the proportional memory of a process and its children: shared pages count once."""
    total_kib = 0
    for each in _processes(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total_kib += int(line.split()[1])
    return total_kib / 1024


def peak_mib(pid: str) -> float:
    """Return the highest resident memory of a process; ``self`` is this one."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmHWM")


@contextmanager
def serving(
    name: str,
    environ: Mapping[str, str] | None = None,
    first: Callable[[int], int | None] = _status,
    programs: Path = PROGRAMS,
) -> Iterator[Server]:
    """Serve a function with the real framework, which is one of ``programs``.

    ``first`` sends the first request to a port; it returns the status of the answer, or None while
    the server does not listen.
    """
    port = free_port()
    command = [
        str(programs / "functions-framework"),
        *("--source", str(_source(name)), "--target", name),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    begin = perf_counter()
    process = subprocess.Popen(  # noqa: S603 - our own fixed command
        command,
        # The package beside the entry, wherever an editable install leads.
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(FUNCTIONS),
            **ENVIRON,
            **(environ or {}),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while (status := first(port)) is None:
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended at once")
            sleep(0.002)
        start_s = perf_counter() - begin
        yield Server(port, process.pid, start_s, status, _memory_mib(process.pid))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
