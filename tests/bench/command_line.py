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
from functools import partial
from pathlib import Path
from typing import Final

from cli.local.stack import Stack, StackOptions
from tests.bench.figures import CONVENTIONAL, EMPTY, Figures, medians
from tests.results import a_task
from transcripts.ports import Write
from transcripts.tasks.task import task_path

PROGRAM: Final = str(Path(sys.executable).with_name("transcripts"))
TASKS: Final = 50

IMPORTS_AT_THE_TOP: Final = """\
import sys
import click, requests, google.auth, google.auth.transport.requests, google.oauth2.id_token

@click.command()
@click.argument("url")
def main(url):
    for task in requests.get(url + "/tasks").json()["tasks"]:
        print(task["task_id"], task["status"], flush=True)

main()
"""


def measure(rounds: int) -> dict[str, Figures]:
    """Return the median time to the first byte: of an empty program, and of both ways."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(rounds, Path(folder)))


async def _measure(rounds: int, folder: Path) -> dict[str, Figures]:
    state_file = folder / "stack.json"
    options = StackOptions(data_dir=folder, state_file=state_file)
    async with Stack(options) as stack:
        for number in range(TASKS):
            task = a_task(f"t{number}", number)
            await stack.documents.commit(Write(task_path(task.task_id), task))
        environ = os.environ | {"TRANSCRIPTS_STACK": str(state_file)}
        commands = {
            EMPTY: [sys.executable, "-c", "print(1, flush=True)"],
            CONVENTIONAL: [sys.executable, "-c", IMPORTS_AT_THE_TOP, stack.url("results")],
            "transcripts list": [PROGRAM, "list"],
        }
        cases = {name: partial(_first_byte, each, environ) for name, each in commands.items()}
        return await asyncio.to_thread(medians, rounds, cases)


def _first_byte(command: Sequence[str], environ: Mapping[str, str]) -> Figures:
    started = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - our own commands
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        if process.stdout is None or not process.stdout.read(1):
            raise RuntimeError(f"{command[0]} has printed nothing")
        elapsed_ms = (time.perf_counter() - started) * 1e3
        process.stdout.read()
    return {"wall_ms": elapsed_ms}
