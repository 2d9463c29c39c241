"""An upload from the bucket to Mavi: its rate, its CPU time and its memory.

Each measurement is a process that imports what submit imports (``python -m tests.bench.uploads``);
bucket and receiver are other processes (``line.py``).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

import msgspec
import requests

from cli.local.processes import FUNCTIONS
from tests.bench.figures import Figures, medians
from tests.bench.line import line_end
from tests.bench.servers import ENVIRON, peak_mib
from transcripts.backends import open_objects
from transcripts.mavi.answers import Sent
from transcripts.mavi.client import File, MaviClient
from transcripts.ports import ObjectSource
from transcripts.settings import SubmitSettings

MB: Final = 1_000_000
FIRST_BYTE_S: Final = 0.04
RATES: Final = (80 * MB, 20 * MB)
SIZES: Final = (50 * MB, 100 * MB, 200 * MB, 400 * MB)
PARALLEL: Final = 8


def upload(way: str, size: int, uploads: int, rate: int) -> Figures:
    """Upload objects of one size at once, between two sides of one rate, in a new process.

    ``rate`` is in bytes a second on both sides; the figure ``ratio`` is the part of it that was
    used, ``cpu_s`` is for a GB.
    """
    with (
        line_end(rate, FIRST_BYTE_S) as bucket,
        line_end(rate) as receiver,
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
                # Else Google's client also asks for the bucket, which this one does not describe.
                "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA": "true",
            },
            stdout=subprocess.PIPE,
            check=True,
        )
    run = msgspec.json.decode(done.stdout, type=dict[str, float])
    total = size * uploads
    return {
        "ratio": total / run["took_s"] / rate,
        "cpu_s": run["cpu_s"] / (total / 1e9),
        "peak_mib": run["peak_mib"],
    }


def measure(rounds: int) -> dict[str, Figures]:
    """Measure both ways: at each size, at each rate; and eight uploads at once."""
    fast, slow = RATES
    one = SIZES[1]
    loads = [*((size, 1, fast) for size in SIZES), (one, 1, slow), (one, PARALLEL, fast)]
    rows: dict[str, Figures] = {}
    for size, uploads, rate in loads:
        name = f"{uploads} x {size / MB:.0f} MB at {rate / MB:.0f} MB/s"
        ways = {"ours": "", "conventional": "conventional_"} if uploads == 1 else {"ours": ""}
        found = medians(rounds, {way: partial(upload, way, size, uploads, rate) for way in ways})
        rows[name] = {
            f"{ways[way]}{key}": v for way, row in found.items() for key, v in row.items()
        }
    return rows


async def _ours(objects: ObjectSource, mavi: MaviClient, name: str, receiver: str) -> None:
    """Upload as submit does, but for what it records."""
    stored = await asyncio.to_thread(objects.stat, "bench", name, None)
    file = File(lambda: objects.open(stored), stored.size, name)
    assert await mavi.send(f"{receiver}/signed", file) is Sent.ACCEPTED


async def _conventional(_: ObjectSource, __: MaviClient, name: str, receiver: str) -> None:
    """Upload as a first version usually does."""

    def run() -> None:
        from google.cloud import storage

        blob = storage.Client(project="bench").bucket("bench").blob(name)
        files = {"file": (name, blob.download_as_bytes())}
        requests.post(f"{receiver}/signed", files=files, timeout=600).raise_for_status()

    await asyncio.to_thread(run)


async def _run(way: str, size: int, uploads: int, receiver: str) -> dict[str, float]:
    settings = SubmitSettings.load(os.environ)
    objects = open_objects(settings, os.environ)
    mavi = MaviClient(
        settings.mavi_base_url, settings.mavi_api_key, settings.mavi_requests_per_second
    )
    # The first call connects, once for every instance.
    await asyncio.to_thread(objects.stat, "bench", f"{size}-0.mp4", None)
    send = _ours if way == "ours" else _conventional
    cpu_s, begin = process_time(), perf_counter()
    names = (f"{size}-{number}.mp4" for number in range(uploads))
    await asyncio.gather(*(send(objects, mavi, name, receiver) for name in names))
    return {
        "took_s": perf_counter() - begin,
        "cpu_s": process_time() - cpu_s,
        "peak_mib": peak_mib("self"),
    }


if __name__ == "__main__":
    way, size, uploads, receiver = sys.argv[1:]
    measured = asyncio.run(_run(way, int(size), int(uploads), receiver))
    sys.stdout.buffer.write(msgspec.json.encode(measured))
