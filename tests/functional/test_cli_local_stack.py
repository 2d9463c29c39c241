"""What the command says on the local stack: whose transcript this is, and what the topic told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.local import run
from cli.local.broker import Broker
from cli.local.state import SAMPLE_NOTE, LocalStack, write_state
from cli.local.topics import KEPT_RESULTS, RESULTS, Subscription
from tests.builders import segment
from tests.functional.served_results import do, local_stack, ok, results, store
from tests.results import Results, a_submission, a_task, summary_of
from transcripts.embedded.database import Database
from transcripts.embedded.publisher import SqlitePublisher
from transcripts.logs import Log
from transcripts.results.events import result_message
from transcripts.submissions.submission import State
from transcripts.tasks.task import Source

__all__ = ["local_stack", "results"]

PROGRAM = Path(sys.executable).with_name("transcripts")


def test_up_beside_a_running_stack_starts_nothing(
    local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says which one is running, and how to end it."""
    monkeypatch.setattr(run, "Stack", None)
    error = ok("up", code=1).stderr
    assert f"running already: process {local_stack.pid}, embedded, data in" in error
    assert error.endswith(f"End it: kill {local_stack.pid}\n")


@pytest.mark.parametrize("command", [("list",), ("show", "t"), ("watch", "t"), ("export", "t")])
def test_transcript_of_the_local_stack_is_called_the_sample(
    results: Results, local_stack: LocalStack, command: tuple[str, ...]
) -> None:
    """In the first line of stderr; stdout is data."""
    do(store(results, "t", segment(0)))
    result = ok(*command)
    assert result.stderr.splitlines()[0] == SAMPLE_NOTE
    assert SAMPLE_NOTE not in result.stdout
    assert "fake Mavi" in SAMPLE_NOTE


def test_command_in_a_folder_below_finds_the_local_stack(
    results: Results, local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As git finds its repository; a file of another user is left out."""
    path = Path(".transcripts/stack.json")
    write_state(path, local_stack)
    monkeypatch.delenv("TRANSCRIPTS_STACK")
    below = Path("recordings/2026")
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    ok("list")
    monkeypatch.setattr(os, "getuid", lambda: -1)
    assert "TRANSCRIPTS_STACK" in ok("list", code=1).stderr


def test_deployment_has_no_note_of_a_sample(results: Results) -> None:
    """Its transcripts are real."""
    do(store(results, "t", segment(0)))
    for command in (("list",), ("show", "t"), ("watch", "t"), ("export", "t")):
        assert SAMPLE_NOTE not in ok(*command).output


def test_delete_on_the_local_stack_names_the_file_that_stays(
    results: Results, local_stack: LocalStack
) -> None:
    """There is no gcloud for it."""
    source = Source("gs://uploads/a talk.mp4", "7")
    do(results.put_submissions(a_submission("entry", state=State.REJECTED, source=source)))
    error = ok("delete", "entry", "--yes").stderr
    file = f"{local_stack.data_dir}/buckets/uploads/a talk.mp4"
    assert f"stays: object gs://uploads/a talk.mp4#7. To delete it: rm '{file}'" in error


def test_events_of_the_local_stack_are_shown_and_followed(local_stack: LocalStack) -> None:
    """Each once, as it arrives; none is taken away."""
    database = Database(Path(local_stack.data_dir))
    publisher = SqlitePublisher(database)

    async def post(*_: object) -> int:
        raise NotImplementedError

    kept = Subscription(name=KEPT_RESULTS, topic=RESULTS)
    do(Broker(database, [kept], post, Log("broker", lambda _: None, project="p")).subscribe())
    assert "There are no events yet." in ok("events").stderr

    def publish(task_id: str) -> None:
        task = summary_of(a_task(task_id, source=Source("gs://uploads/talk.mp4", "1")))
        do(publisher.publish(RESULTS, result_message(task)))

    publish("first")
    assert ok("events").stdout.split()[2:] == ["first", "submitted", "gs://uploads/talk.mp4"]
    follow = [str(PROGRAM), "events", "--follow", "--json"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["attributes"]["task_id"] == "first"
        publish("second")
        event = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert event["attributes"]["task_id"] == event["data"]["task_id"] == "second"
    assert len(ok("events", "--json").stdout.splitlines()) == 2
    database.close()


def test_events_of_a_deployment_say_how_to_subscribe(results: Results) -> None:
    """Its topic keeps nothing."""
    assert "docs/events.md" in ok("events", code=2).stderr
