"""The measurements of ``make bench``."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from cli.emulators import EmulatorsMissing, start_emulators, stop_emulators
from cli.google_stack import PubSubAdmin
from tests.bench import command_line, exports, load, memory, results, subscriber, viewer
from tests.bench.servers import TOKEN, TOPIC, serving
from tests.builders import callback_body
from transcripts.settings import FUNCTIONS

SEGMENTS: Final = 50
CONNECTIONS: Final = 32
WARM_UP_S: Final = 25.0
"""The emulator's compiler shares the cores until then."""
PARTS: Final = [
    *("start", "subscriber", "exports", "results", "viewer", "command", "memory", "callback")
]
SERVERS: Final = ("empty", "conventional", "callback")


def bench_callback(host: str, rounds: int, seconds: float) -> None:
    """Requests a second of the callback, an empty function and the conventional callback."""
    body = callback_body(segments=SEGMENTS)
    environ = {"PUBSUB_EMULATOR_HOST": host}
    print(
        f"\nCallback: {SEGMENTS} segments ({len(body)} bytes), {CONNECTIONS} connections, "
        f"{rounds} rounds of {seconds:g} s in turn, publishing to the Pub/Sub emulator"
    )
    print("  warming up the emulator …", flush=True)
    with serving("callback", environ) as server:
        load.post(server.port, f"/{TOKEN}", body, connections=CONNECTIONS, seconds=WARM_UP_S)
    runs: dict[str, list[load.Measured]] = {name: [] for name in SERVERS}
    for turn in range(rounds):
        for name in SERVERS:
            with serving(name, environ) as server:
                measured = load.post(
                    server.port, f"/{TOKEN}", body, connections=CONNECTIONS, seconds=seconds
                )
            if set(measured.statuses) != {"200"}:
                sys.exit(f"{name} answered {measured.statuses}")
            runs[name].append(measured)
            print(f"  round {turn + 1}  {name:<12} {measured.per_second:8.0f}/s", flush=True)
    rate = {name: median(run.per_second for run in runs[name]) for name in SERVERS}
    for name in SERVERS:
        p50 = median(run.p50_ms for run in runs[name])
        p99 = median(run.p99_ms for run in runs[name])
        print(f"  {name:<12} {rate[name]:8.0f}/s   p50 {p50:5.1f} ms   p99 {p99:5.1f} ms")
    print(f"  against the conventional way  {rate['callback'] / rate['conventional']:5.2f} x")
    print(f"  against an empty function     {rate['callback'] / rate['empty']:5.2f} x")


def bench_subscriber(rounds: int) -> None:
    """CPU time of storing a long result."""
    print(
        f"\nSubscriber: {subscriber.SEGMENTS} segments, push body to encoded writes, CPU time, "
        f"median of {rounds}"
    )
    result = subscriber.measure(rounds)
    print(f"  conventional {result['conventional']:7.1f} ms")
    print(f"  ours         {result['ours']:7.1f} ms")
    print(f"  the conventional way takes {result['ratio']:.1f} times as long")


def bench_start(rounds: int) -> None:
    """Time from process start to the first answer, and memory then."""
    print(f"\nStart: process start to first answer, and memory then, median of {rounds}")
    names = ("empty", *FUNCTIONS)
    starts: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(rounds + 1):
        for name in names:
            with serving(name) as server:
                starts[name].append((server.start_s, server.memory_mib))
    empty_s = median(start for start, _ in starts["empty"][1:])
    for name in names:
        start_s = median(start for start, _ in starts[name][1:])
        memory = median(memory for _, memory in starts[name][1:])
        print(
            f"  {name:<12} {start_s * 1e3:6.0f} ms   {start_s / empty_s:4.2f} x   {memory:5.0f} MiB"
        )


def bench_command(rounds: int) -> None:
    """Time from the start of ``transcripts list`` to its first byte."""
    print(f"\nCommand: start to first byte on the local stack, median of {rounds}")
    with tempfile.TemporaryDirectory() as folder:
        measured = command_line.measure(rounds, Path(folder))
    for name, seconds in measured.items():
        print(f"  {name:<16} {seconds * 1e3:6.0f} ms")


async def _with_emulator(rounds: int, seconds: float) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        emulators = await start_emulators(folder, ["pubsub"])
        try:
            host = emulators[0].host
            admin = PubSubAdmin(host)
            admin.topic(TOPIC)
            admin.close()
            await asyncio.to_thread(bench_callback, host, rounds, seconds)
        finally:
            await stop_emulators(emulators)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measure the parts that the command line names, by default all."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    if "start" in options.parts:
        bench_start(2 * options.rounds)
    if "command" in options.parts:
        bench_command(4 * options.rounds)
    if "subscriber" in options.parts:
        bench_subscriber(6 * options.rounds)
    if "exports" in options.parts:
        exports.report(options.rounds)
    if "results" in options.parts:
        results.report(options.rounds)
    if "viewer" in options.parts:
        viewer.report(2 * options.rounds)
    if "memory" in options.parts:
        memory.report()
    if "callback" in options.parts:
        try:
            asyncio.run(_with_emulator(options.rounds, options.seconds))
        except EmulatorsMissing as error:
            sys.exit(f"\nThe callback was not measured. {error}")


if __name__ == "__main__":
    main()
