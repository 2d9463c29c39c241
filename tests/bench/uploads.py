"""An upload from the bucket to Mavi: its rate, its CPU time and its memory.

Each measurement is a process that imports what submit imports (``python -m tests.bench.uploads``);
bucket and receiver are other processes (``line.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import requests

from cli.local.processes import FUNCTIONS
from tests.bench.line import line_end
from tests.bench.servers import ENVIRON, peak_mib
from transcripts.mavi.read_ahead import PAUSE_S

MB: Final = 1_000_000
FIRST_BYTE_S: Final = 0.04
RATES: Final = (80 * MB, 20 * MB)
SIZES: Final = (50 * MB, 100 * MB, 200 * MB, 400 * MB)
PARALLEL: Final = 8
WAYS: Final = ("conventional", "ours", "sockets")
"""``sockets`` only copies from one connection to the other: the CPU time that the system takes."""

SOCKET_BYTES: Final = 1024 * 1024


class Uploaded(msgspec.Struct, frozen=True):
    """The measurements of one process.

    Seconds from the first request to the last answer, CPU seconds, and peak memory in MiB.
    """

    took_s: float
    cpu_s: float
    peak_mib: float


class Row(msgspec.Struct, frozen=True):
    """One measurement, median of several processes.

    ``rate`` is in bytes a second on both sides, ``ratio`` is the part of it that was used. ``size``
    is that of each object in bytes.
    """

    way: str
    rate: int
    size: int
    uploads: int
    ratio: float
    cpu_s_per_gb: float
    peak_mib: float


def upload(way: str, size: int, uploads: int, rate: int) -> Uploaded:
    """Upload objects of one size at once, between two sides of one rate, in a new process."""
    with (
        line_end("bucket", rate, FIRST_BYTE_S) as bucket,
        line_end("receiver", rate) as receiver,
    ):
        # The bucket computes the checksum of its object before the time runs.
        requests.get(
            f"{bucket}/download/o/{size}-0.mp4", headers={"Range": "bytes=0-0"}, timeout=60
        )
        done = subprocess.run(  # noqa: S603 - our own fixed command
            [sys.executable, "-m", "tests.bench.uploads", way, str(size), str(uploads), receiver],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join((str(FUNCTIONS), str(Path.cwd()))),
                **ENVIRON,
                "MAVI_REQUESTS_PER_SECOND": "10",
                "STORAGE_EMULATOR_HOST": bucket,
            },
            stdout=subprocess.PIPE,
            check=True,
        )
    return msgspec.json.decode(done.stdout, type=Uploaded)


def measure_row(way: str, size: int, uploads: int, rate: int, rounds: int) -> Row:
    """Measure one way several times."""
    runs = [upload(way, size, uploads, rate) for _ in range(rounds)]
    return Row(
        way=way,
        rate=rate,
        size=size,
        uploads=uploads,
        ratio=median(size * uploads / run.took_s / rate for run in runs),
        cpu_s_per_gb=median(run.cpu_s / (size * uploads / 1e9) for run in runs),
        peak_mib=median(run.peak_mib for run in runs),
    )


def measure(rounds: int) -> Iterator[Row]:
    """Measure both ways: at each size, at each rate, and eight uploads at once."""
    fast, slow = RATES
    one, largest = SIZES[1], SIZES[-1]
    cases = [(size, 1, fast) for size in SIZES] + [(one, 1, slow)]
    for case in cases:
        for way in ("conventional", "ours"):
            yield measure_row(way, *case, rounds)
    yield measure_row("ours", one, PARALLEL, fast, rounds)
    yield measure_row("sockets", largest, 1, fast, rounds)


def report(rounds: int) -> dict[str, dict[str, float]]:
    """Print a row for each measurement, and return one for each load, with all ways in it."""
    print(
        f"\nUpload: bucket to Mavi, {FIRST_BYTE_S * 1e3:.0f} ms to the first byte of each request,"
        f" median of {rounds}"
    )
    rows: dict[str, dict[str, float]] = {}
    for row in measure(rounds):
        load = f"{row.uploads} x {row.size / MB:.0f} MB at {row.rate / MB:.0f} MB/s"
        way = "" if row.way == "ours" else f"{row.way}_"
        rows.setdefault(load, {}).update(
            {
                f"{way}ratio": row.ratio,
                f"{way}cpu_s": row.cpu_s_per_gb,
                f"{way}peak_mib": row.peak_mib,
            }
        )
        print(
            f"  {row.way:<12} {load:<22}   {row.ratio:4.2f} of the rate"
            f"   {row.cpu_s_per_gb:5.2f} s CPU a GB   {row.peak_mib:5.0f} MiB",
            flush=True,
        )
    return rows


async def _ours(submit: Any, name: str, receiver: str) -> None:
    """Upload as submit does, but for what it records."""
    from transcripts.mavi.answers import Sent
    from transcripts.mavi.client import File

    stored = await asyncio.to_thread(submit.objects.stat, "bench", name, None)
    file = File(lambda: submit.objects.open(stored), stored.size, name)
    assert await submit.mavi.send(f"{receiver}/signed", file) is Sent.ACCEPTED


async def _conventional(_: Any, name: str, receiver: str) -> None:
    """Upload as a first version usually does."""

    def run() -> None:
        from google.cloud import storage

        blob = storage.Client(project="bench").bucket("bench").blob(name)
        files = {"file": (name, blob.download_as_bytes())}
        requests.post(f"{receiver}/signed", files=files, timeout=600).raise_for_status()

    await asyncio.to_thread(run)


async def _sockets(_: Any, name: str, receiver: str) -> None:
    """Copy the bytes, and nothing else."""
    size = name.partition("-")[0]

    def connect(url: str, head: str) -> socket.socket:
        host, port = urlsplit(url).netloc.split(":")
        connection = socket.create_connection((host, int(port)))
        connection.sendall(f"{head}\r\n\r\n".encode())
        return connection

    def run() -> None:
        bucket = os.environ["STORAGE_EMULATOR_HOST"]
        blocks: queue.Queue[bytes] = queue.Queue(8)

        def read() -> None:
            while block := source.recv(SOCKET_BYTES):
                blocks.put(block)
                time.sleep(PAUSE_S)

        with (
            connect(bucket, f"GET /download/o/{name} HTTP/1.1") as source,
            connect(receiver, f"POST / HTTP/1.1\r\nContent-Length: {size}") as sink,
        ):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += source.recv(1)
            reading = threading.Thread(target=read)
            reading.start()
            left = int(size)
            while left:
                block = blocks.get()
                sink.sendall(block)
                left -= len(block)
            sink.recv(SOCKET_BYTES)
            source.shutdown(socket.SHUT_RDWR)
            reading.join()

    await asyncio.to_thread(run)


async def _run(way: str, size: int, uploads: int, receiver: str) -> Uploaded:
    import submit

    # The first call imports Google's client, once for every instance.
    await asyncio.to_thread(submit.objects.stat, "bench", f"{size}-0.mp4", None)
    ways: dict[str, Callable[..., Any]] = {
        "ours": _ours,
        "conventional": _conventional,
        "sockets": _sockets,
    }
    cpu_s, begin = process_time(), perf_counter()

    names = (f"{size}-{number}.mp4" for number in range(uploads))
    await asyncio.gather(*(ways[way](submit, name, receiver) for name in names))
    return Uploaded(perf_counter() - begin, process_time() - cpu_s, peak_mib("self"))


def main() -> None:
    """Upload, and print what was measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("size", type=int)
    parser.add_argument("uploads", type=int)
    parser.add_argument("receiver")
    options = parser.parse_args()
    done = asyncio.run(_run(options.way, options.size, options.uploads, options.receiver))
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    main()
