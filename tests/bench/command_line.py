"""How long `transcripts list` takes on the local stack, from the start to the first byte.

The conventional way is a command that imports its libraries at the top: requests for HTTP, and
google-auth for the login that a deployment needs.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from cli.local.stack import Stack, StackOptions
from tests.results import a_task
from transcripts.ports import Write
from transcripts.tasks.task import task_path

PROGRAM: Final = str(Path(sys.executable).with_name("transcripts"))
TASKS: Final = 50

CONVENTIONAL: Final = """\
import sys
import click, requests, google.auth, google.auth.transport.requests, google.oauth2.id_token

@click.command()
@click.argument("url")
def main(url):
    for task in requests.get(url + "/tasks").json()["tasks"]:
        print(task["task_id"], task["status"], flush=True)

main()
"""


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return the median time to the first byte: of an empty program, and of both ways."""
    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(_measure(rounds, Path(folder)))
    return {name: {"wall_ms": seconds * 1e3} for name, seconds in measured.items()}


def report(rounds: int) -> dict[str, dict[str, float]]:
    """Print a row for each command, and return the figures."""
    print(f"\nCommand: start to first byte on the local stack, median of {rounds}")
    found = measure(rounds)
    for name, each in found.items():
        print(f"  {name:<16} {each['wall_ms']:6.0f} ms")
    return found


async def _measure(rounds: int, folder: Path) -> dict[str, float]:
    state_file = folder / "stack.json"
    options = StackOptions(data_dir=folder, state_file=state_file)
    async with Stack(options) as stack:
        for number in range(TASKS):
            task = a_task(f"t{number}", number)
            await stack.documents.commit(Write(task_path(task.task_id), task))
        environ = os.environ | {"TRANSCRIPTS_STACK": str(state_file)}
        commands = {
            "empty": [sys.executable, "-c", "print(1, flush=True)"],
            "conventional": [sys.executable, "-c", CONVENTIONAL, stack.url("results")],
            "transcripts list": [PROGRAM, "list"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds + 1):
            for name, command in commands.items():
                times[name].append(await asyncio.to_thread(_first_byte_s, command, environ))
    # The first round reads the files into the cache.
    return {name: median(measured[1:]) for name, measured in times.items()}


def _first_byte_s(command: Sequence[str], environ: Mapping[str, str]) -> float:
    started = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - our own commands
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        if process.stdout is None or not process.stdout.read(1):
            raise RuntimeError(f"{command[0]} has printed nothing")
        elapsed_s = time.perf_counter() - started
        process.stdout.read()
    return elapsed_s
