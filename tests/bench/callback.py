"""The callback under load, against an empty function and the conventional way.

All run in turn. ``reading`` only reads the body; ``unpublished`` is the callback with a publisher
that answers by itself after 2 ms. The others publish to the Pub/Sub emulator. CPU time is the
server's own for each request, so it does not depend on emulator and client, which share the cores.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Final

from cli.local.emulators import start_emulators, stop_emulators
from cli.local.google_stack import PubSubAdmin
from cli.local.processes import FUNCTIONS
from tests.bench import load
from tests.bench.servers import TOKEN, TOPIC, serving
from tests.builders import callback_body

SEGMENTS: Final = 50
CONNECTIONS: Final = 32
WARM_UP_S: Final = 25.0
"""The emulator's compiler shares the cores until then."""
SERVERS: Final = ("empty", "reading", "conventional", "unpublished", "callback")
SIZES_KB: Final = (1, 10, 100, 1_000)
LARGE_CONNECTIONS: Final = 4
BYTES_PER_SEGMENT: Final = 136


@asynccontextmanager
async def emulator() -> AsyncIterator[str]:
    """Run the Pub/Sub emulator with the topic; yields its ``host:port``."""
    folder = Path(tempfile.mkdtemp())
    try:
        emulators = await start_emulators(folder, ["pubsub"])
        try:
            admin = PubSubAdmin(emulators[0].host)
            admin.topic(TOPIC)
            admin.close()
            yield emulators[0].host
        finally:
            await stop_emulators(emulators)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(name: str, host: str, body: bytes, seconds: float, connections: int) -> dict[str, float]:
    with serving(name, {"PUBSUB_EMULATOR_HOST": host, "PYTHONPATH": str(FUNCTIONS)}) as server:
        begin_s = server.cpu_s()
        run = load.post(server.port, f"/{TOKEN}", body, connections=connections, seconds=seconds)
        cpu_s = server.cpu_s() - begin_s
    if set(run.statuses) != {"200"}:
        raise RuntimeError(f"{name} answered {run.statuses}")
    return {
        "per_second": run.per_second,
        "p50_ms": run.p50_ms,
        "p99_ms": run.p99_ms,
        "cpu_us": cpu_s / run.answers * 1e6,
    }


def _medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: median(run[key] for run in runs) for key in runs[0]}


def _measure(host: str, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    body = callback_body(segments=SEGMENTS)
    _run("callback", host, body, WARM_UP_S, CONNECTIONS)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in SERVERS}
    for _ in range(rounds):
        for name in SERVERS:
            runs[name].append(_run(name, host, body, seconds, CONNECTIONS))
    return {name: _medians(each) for name, each in runs.items()}


def _measure_sizes(host: str, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    found: dict[str, list[dict[str, float]]] = {f"{size} kB": [] for size in SIZES_KB}
    for _ in range(rounds):
        for size in SIZES_KB:
            body = callback_body(segments=max(1, size * 1_000 // BYTES_PER_SEGMENT))
            connections = CONNECTIONS if size < 100 else LARGE_CONNECTIONS
            run = _run("callback", host, body, seconds, connections)
            found[f"{size} kB"].append(run | {"bytes": float(len(body))})
    return {size: _medians(each) for size, each in found.items()}


async def _with_emulator(
    rounds: int, seconds: float
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    async with emulator() as host:
        servers = await asyncio.to_thread(_measure, host, rounds, seconds)
        sizes = await asyncio.to_thread(_measure_sizes, host, max(1, rounds // 2), seconds)
        return servers, sizes


def measure(rounds: int, seconds: float) -> dict[str, dict[str, dict[str, float]]]:
    """Return the medians of each server, and of the callback by size of the body.

    Raises ``EmulatorsMissing``.
    """
    servers, sizes = asyncio.run(_with_emulator(rounds, seconds))
    return {"servers": servers, "sizes": sizes}


def report(rounds: int, seconds: float) -> dict[str, dict[str, dict[str, float]]]:
    """Print a row for each server and each size, and return the figures."""
    print(
        f"\nCallback: {SEGMENTS} segments ({len(callback_body(segments=SEGMENTS))} bytes), "
        f"{CONNECTIONS} connections, median of {rounds} rounds of {seconds:g} s in turn, "
        "publishing to the Pub/Sub emulator",
        flush=True,
    )
    found = measure(rounds, seconds)
    for name, run in found["servers"].items():
        print(
            f"  {name:<12} {run['per_second']:8.0f}/s   p50 {run['p50_ms']:5.1f} ms   "
            f"p99 {run['p99_ms']:5.1f} ms   CPU {run['cpu_us']:6.1f} us"
        )
    servers = found["servers"]
    for name in ("conventional", "empty"):
        rate = servers["callback"]["per_second"] / servers[name]["per_second"]
        cpu = servers["callback"]["cpu_us"] / servers[name]["cpu_us"]
        print(f"  against {name:<12} {rate:5.2f} x the rate, {cpu:5.2f} x the CPU time")
    for size, run in found["sizes"].items():
        print(f"  {size:>8} {run['per_second']:8.0f}/s   CPU {run['cpu_us']:8.1f} us")
    return found
