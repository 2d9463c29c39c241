"""`transcripts up`: the stack, running until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Final

from cli.local.bucket import UPLOADS_BUCKET
from cli.local.processes import Event
from cli.local.stack import EMULATORS, Stack, StackOptions
from cli.local.state import SAMPLE_NOTE
from cli.output import event_lines
from transcripts.embedded.database import FILE_NAME

SWEEP_EVERY_S: Final = 60.0


async def interrupted() -> None:
    """Return when the process receives SIGINT, SIGTERM or SIGHUP."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()


def _print_event(event: Event) -> None:
    for line in event_lines(event):
        print(line)


async def run_stack(backend: str, data_dir: Path, state_file: Path) -> None:
    """Start the stack, print its addresses and events, and stop on Ctrl-C."""
    print(f"{SAMPLE_NOTE}\nStarting the {backend} stack …", flush=True)
    options = StackOptions(
        backend=backend,
        data_dir=data_dir,
        fixed_ports=True,
        sweep_every_s=SWEEP_EVERY_S,
        state_file=state_file,
    )
    async with Stack(options, _print_event) as stack:
        asset = stack.mavi.add_asset("planning-meeting.mp4")
        print(_guide(stack, asset.asset_id), flush=True)
        await interrupted()
        print("\nStopping …", flush=True)


def _guide(stack: Stack, asset_id: str) -> str:
    store = stack.options.data_dir / FILE_NAME
    if stack.options.backend == EMULATORS:
        store_line = f"Firestore emulator at {stack.environ['FIRESTORE_EMULATOR_HOST']}"
    else:
        store_line = f"{store}   (table document: path, version, data)"
    return f"""
submit      {stack.url("submit")}
              curl -s {stack.url("submit")} -H 'Content-Type: application/json' \\
                -d '{{"asset_id": "{asset_id}"}}'
callback    {stack.callback_url}
              curl -s {stack.callback_url} -H 'Content-Type: application/json' \\
                -d @cli/fake_mavi/shapes/multi_speaker.json
bucket      {stack.folder}   (copy a recording into it), or
              curl -s -T recording.mp4 {stack.bucket.url}/{UPLOADS_BUCKET}/recording.mp4
subscriber  {stack.url("subscriber")}   (pushed to by the broker)
ingest      {stack.url("ingest")}   (pushed to by the broker)
sweep       {stack.url("sweep")}   (every minute)
              curl -s -X POST {stack.url("sweep")}
results     {stack.url("results")}
              transcripts open
              transcripts list
              curl -s {stack.url("results")}/tasks
              curl -s {stack.url("results")}/tasks/TASK_ID.srt
              curl -s {stack.url("results")}/accounting
fake Mavi   {stack.mavi.url}
              curl -s {stack.mavi.admin_url}
              curl -s {stack.mavi.admin_url}/assets -d '{{"filename": "another.mp4"}}'
              curl -s -X PATCH {stack.mavi.admin_url}/faults -d '{{"duplicate": 1}}'
store       {store_line}
logs        {stack.options.data_dir}/logs

Ctrl-C stops everything. Events:
"""
