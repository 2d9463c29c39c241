"""The `transcripts` command, as a process, on the local stack of both backends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.local.stack import Stack
from cli.local.topics import CALLBACKS
from tests.docs import DOCS
from tests.e2e.conftest import Start, on_embedded
from tests.e2e.test_pipeline import events, post_callback
from tests.polling import eventually
from transcripts.ports import Message
from transcripts.settings import FUNCTIONS

PROGRAM = Path(sys.executable).with_name("transcripts")


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """Runs commands in a folder, on one stack."""

    folder: Path
    state_file: Path

    async def __call__(self, *arguments: str, code: int = 0) -> Done:
        """Run a command that ends with ``code``."""
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *arguments,
            cwd=self.folder,
            env=os.environ | {"TRANSCRIPTS_STACK": str(self.state_file)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        done = Done(process.returncode or 0, out.decode(errors="replace"), err.decode())
        assert done.code == code, done
        assert "Traceback" not in done.err
        return done


@pytest.fixture
def transcripts(tmp_path: Path) -> CommandLine:
    folder = tmp_path / "desk"
    folder.mkdir()
    return CommandLine(folder, tmp_path / "stack.json")


async def started(start: Start, transcripts: CommandLine, **faults: int) -> Stack:
    """Start all functions, since the command finds the address of each."""
    return await start(faults, functions=tuple(FUNCTIONS), state_file=transcripts.state_file)


async def test_cli_takes_a_file_from_upload_to_deletion(
    start: Start, transcripts: CommandLine
) -> None:
    """submit, watch, list, show, export, rename, status, audit, renormalize and delete."""
    stack = await started(start, transcripts)
    media = transcripts.folder / "talk.mp4"
    media.write_bytes(os.urandom(300_000))
    submitted = await transcripts(
        "submit", "talk.mp4", "--label", "case=7", "--watch", "--json", "--timeout", "60"
    )
    last = json.loads(submitted.out.splitlines()[-1])
    assert last["state"] == "succeeded"
    task_id = last["task_id"]

    copy = transcripts.folder / "Gespräch (Kopie).MP4"
    copy.write_bytes(media.read_bytes())
    arguments = ("talk.mp4", copy.name, "--label", "straße=Höhe")
    would = (await transcripts("submit", *arguments, "--dry-run", "--json")).json()["submissions"]
    again = (await transcripts("submit", *arguments, "--json")).json()["submissions"]
    assert [(item["task_id"], item["cost_usd"]) for item in would] == [(task_id, 0.0)] * 2
    assert [(item["task_id"], item["duplicate"]) for item in again] == [(task_id, True)] * 2
    assert again[0]["labels"] == {"case": "7", "straße": "Höhe"}
    assert len(stack.mavi.account.jobs) == 1
    # A recording is watched once, under the name that came first.
    *_, watched = (await transcripts("submit", *arguments[:2], "--watch")).out.splitlines()
    assert "talk.mp4  succeeded" in watched

    (listed,) = (await transcripts("list", "--label", "case:7", "--json")).json()["tasks"]
    assert listed["task_id"] == task_id
    assert "Ada Example" in (await transcripts("show", "talk.mp4")).out

    await transcripts("rename", task_id, "Ada Example=Grace Hopper")
    for name in ("srt", "vtt", "docx"):
        await transcripts("export", task_id, "-o", f"out.{name}")
    assert "Grace Hopper: " in (transcripts.folder / "out.srt").read_text()
    assert "Ada Example" not in (transcripts.folder / "out.vtt").read_text()

    status = (await transcripts("status", "talk.mp4", "--json")).json()
    assert status["state"] == "succeeded"
    assert status["submission"]["labels"] == again[0]["labels"]
    (event,) = (await transcripts("events", "--json")).out.splitlines()
    assert json.loads(event)["data"]["task_id"] == task_id
    await transcripts("audit")
    await transcripts("renormalize", task_id)
    assert "Grace Hopper" in (await transcripts("export", task_id)).out

    await transcripts("delete", task_id, code=2)
    await transcripts("delete", task_id, "--yes")
    await transcripts("show", task_id, code=1)
    # The deletion takes the file's name out of the ledger; the hash of its content stays.
    deleted = (await transcripts("status", "talk.mp4", "--json", code=5)).json()
    assert (deleted["state"], deleted["submission"]["source"]) == ("deleted", None)
    submission_id = status["submission"]["submission_id"]
    assert "deleted" in (await transcripts("status", submission_id, code=5)).out
    again = (await transcripts("submit", "talk.mp4", "--json", code=1)).json()["submissions"]
    assert [item["state"] for item in again] == ["deleted"]
    await transcripts("audit")


async def test_cli_proves_the_path_and_shows_what_happened_to_a_file(
    start: Start, transcripts: CommandLine
) -> None:
    """smoke leaves nothing behind and names a dead letter; logs follow a file through all."""
    stack = await started(start, transcripts)
    (transcripts.folder / "talk.mp4").write_bytes(os.urandom(30_000))
    proof = (await transcripts("smoke", "--buy", "talk.mp4", "--json")).json()
    assert "repair" not in (await transcripts("smoke")).out
    assert [check["name"] for check in proof["checks"]] == [
        *("results", "submit", "wrong token", "callback", "document", "export srt", "export json"),
        *("event", "canary", "sweep", "kept in dead", "kept in rejected", "kept in uploads-dead"),
        *("purchase", "second submission"),
    ]
    assert len(stack.mavi.account.jobs) == 1
    await transcripts("audit")
    assert len((await transcripts("list", "--json")).json()["tasks"]) == 1

    events = (await transcripts("logs", "talk.mp4", "--json")).json()
    names = [(event["function"], event["message"]) for event in events]
    path = [
        *(("ingest", "upload_enqueued"), ("submit", "uploaded"), ("submit", "submitted")),
        *(("callback", "callback_published"), ("subscriber", "result_stored")),
    ]
    assert [step for step in names if step in path] == path
    shown = (await transcripts("logs", "talk.mp4")).out
    assert "result_stored" in shown

    assert await post_callback(stack, b"no callback") == 400
    broken = (await transcripts("smoke", "--json", code=1)).json()
    assert [check["name"] for check in broken["checks"] if not check["ok"]] == ["kept in rejected"]


RUNBOOKS = (DOCS / "operations.md").read_text()
RUNBOOK_COMMANDS = sorted(
    {
        " ".join(line.replace(" --env production", "").split()[1:])
        for line in RUNBOOKS.splitlines()
        if line.startswith("transcripts ")
    }
)
"""Every command of the runbooks, as it is for the local stack."""
PURCHASES = [each for each in RUNBOOK_COMMANDS if each.startswith("submit ")]
DIAGNOSES = [each for each in RUNBOOK_COMMANDS if each not in PURCHASES]


@on_embedded
async def test_cli_runs_every_command_of_the_runbooks_on_a_broken_stack(
    start: Start, transcripts: CommandLine
) -> None:
    """After a lost answer and a rejected callback, each ends with 0 and says something.

    The last one buys the recording again, and a plain repetition of that buys nothing.
    """
    stack = await started(start, transcripts, lost_answer=1)
    assert await post_callback(stack, b"no callback") == 400
    (transcripts.folder / "interview.mp4").write_bytes(os.urandom(3_000))
    await transcripts("submit", "interview.mp4", "--json")
    await eventually(lambda: events(stack, "answer_lost") != [])
    assert len(DIAGNOSES) > 10
    said = {}
    for command in DIAGNOSES:
        done = await transcripts(*command.split())
        said[command] = done.out + done.err
    assert [command for command, text in said.items() if not text] == []
    assert "answer_lost" in said["logs --severity ERROR"]
    assert "submit_unknown" in said["list --state submit_unknown"]
    assert "dry run" in said["replay rejected"]
    assert PURCHASES == ["submit interview.mp4", "submit interview.mp4 --force"]
    for command in reversed(PURCHASES):
        await transcripts(*command.split(), "--yes")
    assert len(stack.mavi.account.jobs) == 2


@on_embedded
async def test_cli_says_where_a_rejected_file_is(start: Start, transcripts: CommandLine) -> None:
    """The reason and the next step are those of the ledger."""
    stack = await started(start, transcripts)
    (transcripts.folder / "notes.txt").write_text("no media")
    refused = await transcripts("submit", "notes.txt", code=1)
    assert "notes.txt  left out: It is no media file" in refused.err
    stack.folder.mkdir(parents=True, exist_ok=True)
    (stack.folder / "notes.txt").write_text("no media")
    await eventually(lambda: bool(events(stack, "upload_rejected")))
    status = await transcripts("status", "gs://uploads/notes.txt", code=5)
    assert "Upload it again" in status.out
    (entry,) = (await transcripts("list", "--state", "rejected", "--json")).json()["submissions"]
    assert entry["reason"] == "not_media"


@on_embedded
async def test_cli_submits_and_watches_assets(start: Start, transcripts: CommandLine) -> None:
    """One directly, several through the queue."""
    stack = await started(start, transcripts)
    assets = [stack.mavi.add_asset(f"{number}.mp4").asset_id for number in range(3)]
    await transcripts("submit", assets[0])
    await transcripts("submit", *assets)
    await transcripts("watch", *assets, "--timeout", "60")
    assert len((await transcripts("list", "--json")).json()["tasks"]) == 3
    await transcripts("status", assets[2])


async def test_cli_replays_kept_messages(start: Start, transcripts: CommandLine) -> None:
    """A dry run leaves the message to the next one; a replay removes it."""
    stack = await started(start, transcripts)
    await post_callback(stack, b"no JSON")
    await stack.publisher.publish(CALLBACKS, Message(b"{}", {"kind": "unknown"}))
    await eventually(lambda: bool(events(stack, "callback_poisoned")))

    async def is_kept() -> bool:
        return bool((await transcripts("replay", "dead", "--json")).json()["messages"])

    await eventually(is_kept, within_s=60)
    replayed = (await transcripts("replay", "dead", "--apply", "--json")).json()
    assert [row["outcome"] for row in replayed["messages"]] == ["published"]
    for _ in range(2):
        rejected = await transcripts("replay", "rejected", "--apply")
        assert "stays: invalid_json" in rejected.out


@on_embedded
async def test_cli_doctor_finds_a_stopped_function(start: Start, transcripts: CommandLine) -> None:
    """Before it is stopped, nothing is wrong."""
    stack = await started(start, transcripts)
    await transcripts("doctor")
    await stack.processes["submit"].stop()
    assert "problem  submit" in (await transcripts("doctor", code=1)).out
    assert "transcripts up" in (await transcripts("submit", "re_1", code=1)).err


async def test_cli_demo_leaves_a_transcript_that_up_serves(transcripts: CommandLine) -> None:
    """The demo's own hints work: start the stack on its data, and read the task."""
    demo = await transcripts("demo")
    data = transcripts.folder / ".transcripts" / "demo"
    assert "Ada Example: " in (data / "transcript.srt").read_text()
    assert "Ada Example" in (data / "transcript.md").read_text()
    assert "00:00:00,000 --> " in demo.out
    (task_id,) = re.findall(r"transcripts open (\w+)", demo.out)

    up = await asyncio.create_subprocess_exec(
        PROGRAM,
        *("up", "--data-dir", ".transcripts/demo"),
        cwd=transcripts.folder,
        env=os.environ | {"TRANSCRIPTS_STACK": str(transcripts.state_file)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await eventually(transcripts.state_file.exists, within_s=90)
        assert len((await transcripts("list", "--json")).json()["tasks"]) == 2
        assert "Ada Example" in (await transcripts("show", task_id)).out
        assert "is running already" in (await transcripts("up", code=1)).err
    finally:
        up.send_signal(signal.SIGINT)
        await up.wait()
    assert not transcripts.state_file.exists()
    assert "transcripts up" in (await transcripts("list", code=1)).err
