"""One asset through the whole pipeline, shown step by step."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import wave
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

from cli.local.processes import Event
from cli.local.stack import EMULATORS, Stack, StackOptions
from cli.local.state import SAMPLE_NOTE
from cli.view import MAX_LINES, readable
from transcripts.embedded.database import FILE_NAME
from transcripts.tasks.speakers import shown_speakers
from transcripts.tasks.task import Task, task_path

SAMPLE: Final = "planning-meeting.mp4"
DROPPED: Final = "interview.wav"
EXPORTS: Final = {"srt": 7, "md": 24}
"""The formats, and how many lines of each are shown."""
RATE: Final = 8_000
RECORDING_S: Final = 37
LOUDNESS: Final = 1_500
RESULT_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.05

_HOPS: Final = {
    "upload_enqueued": "ingest",
    "uploaded": "submit",
    "mavi_answered": "Mavi",
    "submitted": "submit",
    "callback_published": "callback",
    "callback_rejected": "callback",
    "callback_refused": "callback",
    "result_stored": "subscriber",
    "result_duplicate": "subscriber",
    "callback_poisoned": "subscriber",
}


_ENDS: Final[dict[str, Callable[[Event], str]]] = {
    "callback_rejected": lambda event: (
        f"The callback was answered 400 {event['code']}, and kept on the topic callbacks-rejected"
    ),
    "callback_too_large": lambda event: (
        f"The callback was answered 413: its {event['body_bytes']} bytes are too large for a topic,"
        " even compressed, and not kept"
    ),
    "callback_refused": lambda event: (
        f"The callback was refused with {event['code']}, and not kept"
    ),
    "callback_poisoned": lambda event: (
        f"The callback can never be stored, and goes to the dead letters: {event['reason']}"
    ),
}
"""Events after which no result will come, as sentences."""


class DemoFailed(Exception):
    """The demo did not complete; the message says where it stopped."""


def _say(since: datetime, moment: datetime, hop: str, what: str) -> None:
    print(f"  {(moment - since).total_seconds():6.2f} s  {hop:<10}  {what}", flush=True)


def _words(event: Event) -> str:
    match event["message"]:
        case "upload_enqueued":
            return f"on record and on the queue: submission {event['submission_id']}"
        case "uploaded":
            return f"streamed to Mavi: asset {event['asset_id']}"
        case "mavi_answered":
            return f"answered: {event['answer']}"
        case "submitted":
            return f"recorded as bought: task {event['task_id']}"
        case "callback_published":
            return f"authenticated, {event['body_bytes']} bytes, {event['kind']}, published"
        case "callback_rejected":
            return f"rejected: {event['code']}; the body is kept on the rejected topic"
        case "result_stored":
            return f"stored: {event['status']}, {event['segments']} segments"
        case name:
            return str(name).replace("_", " ")


async def run_demo(backend: str, data_dir: Path, recorded: bytes | None) -> None:
    """Run the demo; raises ``DemoFailed``."""
    print(SAMPLE_NOTE if recorded is None else "The fake Mavi posts the given callback.")
    print(f"\nStarting the {backend} stack on this machine (a few seconds) …", flush=True)
    started = datetime.now(UTC)

    def on_event(event: Event) -> None:
        hop = _HOPS.get(event.get("message", ""))
        if hop:
            _say(started, datetime.fromisoformat(event["time"]), hop, _words(event))

    options = StackOptions(backend=backend, data_dir=data_dir, recorded=recorded)
    async with Stack(options, on_event) as stack, aiohttp.ClientSession() as client:
        started = datetime.now(UTC)
        asset = stack.mavi.add_asset(SAMPLE)
        print("\nOne asset through the pipeline:\n")
        _say(started, started, "asset", f"{asset.asset_id} ({SAMPLE}) is at the fake Mavi")
        _say(started, datetime.now(UTC), "submit", f'POST / {{"asset_id": "{asset.asset_id}"}}')
        answer = await _submit(client, stack, asset.asset_id)
        _say(started, datetime.now(UTC), "submit", "202; the fake Mavi works for about a second")
        task = await _result(stack, answer["task_id"], data_dir)
        print("\nThe stored result:\n")
        for line in readable(task, shown_speakers(task, task.segments), MAX_LINES):
            print(f"  {line}")
        stored = f"{task_path(task.task_id)} in {data_dir / FILE_NAME}"
        if backend == EMULATORS:
            stored = f"{task_path(task.task_id)} in the emulators, gone when they stop"
        print(f"\nTask    {task.task_id}\nStored  {stored}\nLogs    {data_dir}/logs")
        again = await _submit(client, stack, asset.asset_id)
        print(
            f"\nSubmitted again: duplicate={str(again['duplicate']).lower()}, the same task; "
            f"Mavi sold {len(stack.mavi.account.jobs)} job."
        )
        shown_id = task.task_id
        if recorded is None:
            started = datetime.now(UTC)
            shown_id = await _drop(stack, data_dir, started)
        if task.status == "succeeded":
            await _export(client, stack, task.task_id, data_dir)
        if backend != EMULATORS:
            print(_guide(shown_id, data_dir))


async def _export(
    client: aiohttp.ClientSession, stack: Stack, task_id: str, data_dir: Path
) -> None:
    """Write the transcript beside the data, as subtitles and as a document."""
    print("\nThe transcript, from results:\n")
    for name, lines in EXPORTS.items():
        path = data_dir / f"transcript.{name}"
        async with client.get(f"{stack.url('results')}/tasks/{task_id}.{name}") as response:
            content = await response.read()
            if response.status != 200:
                raise DemoFailed(f"results answered {response.status}: {content.decode()}")
        path.write_bytes(content)
        print(f"  {path}\n")
        for line in content.decode().splitlines()[:lines]:
            print(f"    {line}".rstrip())
        print()


def _guide(task_id: str, data_dir: Path) -> str:
    program = os.path.relpath(Path(sys.executable).with_name("transcripts"))
    return f"""Look at it: start the stack on this data, and open the page in another terminal.

  {program} up --data-dir {data_dir}
  {program} open {task_id}

While the stack is up: {program} list, show, rename, export. docs/commands.md describes them."""


def write_tone(path: Path) -> None:
    """Write a quiet tone that is as long as the fake Mavi's transcript."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for second in range(RECORDING_S):
            hertz = 220 + 110 * (second % 4)
            tone = (
                round(LOUDNESS * math.sin(2 * math.pi * hertz * at / RATE)) for at in range(RATE)
            )
            file.writeframes(b"".join(each.to_bytes(2, "little", signed=True) for each in tone))


async def _drop(stack: Stack, data_dir: Path, started: datetime) -> str:
    """Upload a file to the bucket, wait for its transcript and return the id of its task."""
    print("\nA file dropped into the bucket:\n")
    path = stack.folder / DROPPED
    write_tone(path)
    _say(started, started, "bucket", f"{path}")

    def bought() -> list[Event]:
        return [event for event in stack.events if event["message"] == "submitted"][1:]

    await _until(lambda: bool(bought()), data_dir)
    task = await _result(stack, bought()[0]["task_id"], data_dir)
    print(
        f"\nTask    {task.task_id}: {task.status}, {len(task.speakers)} speakers, from "
        f"{task.source.uri if task.source else 'nowhere'}"
    )
    return task.task_id


async def _submit(client: aiohttp.ClientSession, stack: Stack, asset_id: str) -> dict[str, Any]:
    async with client.post(stack.url("submit"), json={"asset_id": asset_id}) as response:
        content: dict[str, Any] = await response.json()
        if response.status not in (200, 202):
            raise DemoFailed(f"submit answered {response.status}: {content}")
        return content


async def _until(condition: Callable[[], bool], data_dir: Path) -> None:
    try:
        async with asyncio.timeout(RESULT_TIMEOUT_S):
            while not condition():
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        raise DemoFailed(
            f"It did not come within {RESULT_TIMEOUT_S:.0f} s; logs: {data_dir}/logs"
        ) from error


async def _result(stack: Stack, task_id: str, data_dir: Path) -> Task:
    def ended() -> list[str]:
        return [_ENDS[name](event) for event in stack.events if (name := event["message"]) in _ENDS]

    def stored() -> bool:
        return any(
            event["message"].startswith("result_") and event["task_id"] == task_id
            for event in stack.events
        )

    await _until(lambda: bool(ended()) or stored(), data_dir)
    if ended():
        raise DemoFailed(f"{ended()[0]}; logs: {data_dir}/logs")
    task = await stack.tasks.read_task(task_id)
    if task is None:
        raise DemoFailed(f"The result was stored and is not there; logs: {data_dir}/logs")
    return task
