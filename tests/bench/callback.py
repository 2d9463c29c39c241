"""The callback under load, against an empty function and the conventional way.

All run in turn. ``reading`` only reads the body; ``unpublished`` is the callback with a publisher
that answers by itself after 2 ms. The others publish to the Pub/Sub emulator. CPU time is the
server's own for each request, so it does not depend on emulator and client, which share the cores.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from cli.local.emulators import pubsub_clients, start_emulators, stop_emulators
from cli.local.processes import FUNCTIONS
from tests.bench import load
from tests.bench.figures import CONVENTIONAL, EMPTY, Figures, medians
from tests.bench.servers import TOKEN, TOPIC, serving
from tests.builders import callback_body

SEGMENTS: Final = 50
SECONDS: Final = 3.0
CONNECTIONS: Final = 32
WARM_UP_S: Final = 25.0
"""The emulator's compiler shares the cores until then."""
SERVERS: Final = (EMPTY, "reading", CONVENTIONAL, "unpublished", "callback")
SIZES_KB: Final = (1, 10, 100, 1_000)
LARGE_CONNECTIONS: Final = 4
BYTES_PER_SEGMENT: Final = 136


def _run(name: str, host: str, body: bytes, seconds: float, connections: int) -> Figures:
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


def _measure(host: str, rounds: int) -> dict[str, dict[str, Figures]]:
    body = callback_body(segments=SEGMENTS)
    _run("callback", host, body, WARM_UP_S, CONNECTIONS)
    servers = {name: partial(_run, name, host, body, SECONDS, CONNECTIONS) for name in SERVERS}
    sizes: dict[str, Callable[[], Figures]] = {}
    for size_kb in SIZES_KB:
        body = callback_body(segments=max(1, size_kb * 1_000 // BYTES_PER_SEGMENT))
        connections = CONNECTIONS if size_kb < 100 else LARGE_CONNECTIONS
        sizes[f"{size_kb} kB"] = partial(_run, "callback", host, body, SECONDS, connections)
    return {"servers": medians(rounds, servers), "sizes": medians(max(1, rounds // 2), sizes)}


async def _with_emulator(rounds: int) -> dict[str, dict[str, Figures]]:
    with tempfile.TemporaryDirectory() as folder:
        emulators = await start_emulators(Path(folder), ["pubsub"])
        try:
            publisher, _ = pubsub_clients(emulators[0].host)
            with publisher:
                publisher.create_topic(name=TOPIC)
            return await asyncio.to_thread(_measure, emulators[0].host, rounds)
        finally:
            await stop_emulators(emulators)


def measure(rounds: int) -> dict[str, dict[str, Figures]]:
    """Return the medians of each server, and of the callback by size of the body.

    Raises ``EmulatorsMissing``.
    """
    return asyncio.run(_with_emulator(rounds))
