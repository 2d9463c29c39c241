"""The command `transcripts logs`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.local.state import LocalStack, write_state
from tests.command_line import Reply, ScriptedServer, transcripts
from tests.deploy.fake_programs import FakePrograms
from tests.fakes import NOW
from tests.functional.test_cli_login import checkout, outputs, programs
from transcripts.results.answers import SubmissionList, SubmissionView
from transcripts.submissions.submission import Attempt, State

__all__ = ["checkout", "programs"]

SUBMISSION, TASK, EARLIER = "5" * 32, "task-2", "task-1"
NOTHING = Reply(200, SubmissionList([], None))


def line(second: int, message: str, severity: str = "INFO", **fields: object) -> dict[str, Any]:
    """Return an event of a function."""
    return {
        "severity": severity,
        "message": message,
        "time": f"2026-11-30T10:00:{second:02}.000000Z",
        "function": "submit",
        "version": "0.1.0",
        **fields,
    }


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A local stack whose results know nothing, with a folder of logs."""
    (tmp_path / "logs").mkdir()
    with ScriptedServer().running() as running:
        running.on("GET /submissions", NOTHING)
        stack = LocalStack(
            pid=os.getpid(),
            backend="embedded",
            data_dir=str(tmp_path),
            urls={"results": running.url, "submit": running.url},
            bucket="uploads",
            bucket_url=running.url,
            callback_url=running.url,
        )
        write_state(tmp_path / "stack.json", stack)
        monkeypatch.setenv("TRANSCRIPTS_STACK", str(tmp_path / "stack.json"))
        yield running


def write_log(folder: Path, name: str, *events: dict[str, Any]) -> None:
    """Write the file of a function, with a line of another program in it."""
    lines = ["Starting gunicorn", *(json.dumps(event) for event in events)]
    (folder / "logs" / f"{name}.log").write_text("\n".join(lines))


SINCE = ("--since", "2026-01-01T00:00:00Z")


def test_logs_of_a_submission_are_those_of_every_attempt_in_order(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """The functions' files are merged by time, and other tasks are left out."""
    view = SubmissionView(
        submission_id=SUBMISSION,
        state=State.SUBMITTED,
        reason=None,
        asset_id=None,
        source=None,
        labels={},
        task_id=TASK,
        created_at=NOW,
        updated_at=NOW,
        submitted_at=NOW,
        expires_at=None,
        deleted_at=None,
        uploads=0,
        queued=False,
        previous_attempts=[Attempt(State.SUBMITTED, EARLIER, None, NOW)],
        duplicate_of=None,
        next_step="",
    )
    server.on(f"GET /submissions/{SUBMISSION}", Reply(200, view))
    write_log(tmp_path, "callback", line(4, "callback_published", task_id=TASK))
    write_log(
        tmp_path,
        "submit",
        line(1, "submitted", submission_id=SUBMISSION, task_id=EARLIER),
        line(3, "submitted", submission_id=SUBMISSION, task_id=TASK),
        line(3, "submitted", submission_id="6" * 32, task_id="other"),
    )
    write_log(tmp_path, "sweep", line(2, "task_overdue", "WARNING", task_id=EARLIER))
    result = transcripts("logs", SUBMISSION, *SINCE)
    assert result.exit_code == 0
    order = ["submitted", "task_overdue", "submitted", "callback_published"]
    assert [each for each in result.stdout.split() if each in order] == order
    assert "other" not in result.stdout
    assert "What to do: wait, or buy it again (docs/operations.md#overdue-or-unknown)" in (
        result.stdout
    )


def test_logs_of_an_id_that_the_database_does_not_know_are_found(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """A callback may have come whose result was never stored."""
    poisoned = line(1, "callback_poisoned", "ERROR", task_id=TASK)
    write_log(tmp_path, "subscriber", line(2, "unexpected_error", "ERROR"), poisoned)
    result = transcripts("logs", TASK, "--json", *SINCE)
    assert [event["message"] for event in json.loads(result.stdout)] == ["callback_poisoned"]
    assert server.requests


def test_logs_by_severity_and_limit_keep_the_newest(server: ScriptedServer, tmp_path: Path) -> None:
    """A stack is printed below its line."""
    assert server.url
    defect = line(3, "unexpected_error", "ERROR", stack=["KeyError"])
    write_log(tmp_path, "submit", line(1, "requeued", "WARNING"), line(2, "swept"), defect)
    result = transcripts("logs", "--severity", "WARNING", "--limit", "1", *SINCE)
    assert "unexpected_error" in result.stdout
    assert "    KeyError" in result.stdout
    assert "requeued" not in result.stdout
    assert "newest 1" in result.stderr


def test_logs_before_a_time_are_left_out(server: ScriptedServer, tmp_path: Path) -> None:
    """The end of nothing is said."""
    assert server.url
    write_log(tmp_path, "submit", line(1, "swept"))
    result = transcripts("logs", "--since", "2026-11-30T11:00:00Z")
    assert (result.stdout, result.stderr) == ("", "Nothing was logged.\n")
    assert transcripts("logs", "--since", "yesterday").exit_code == 2


@pytest.mark.usefixtures("checkout")
def test_logs_of_a_deployment_come_from_cloud_logging(programs: FakePrograms) -> None:
    """The filter has the functions of this deployment and the ids; the newest line comes last."""
    with ScriptedServer().running() as results:
        results.on("GET /submissions", NOTHING)
        programs.answer("terraform output -json", outputs(results_url=results.url))
        entry = {"timestamp": "2026-11-30T10:00:00.1Z", "severity": "WARNING", "labels": {}}
        newest = entry | {"jsonPayload": line(0, "lease_lost"), "severity": "INFO"}
        oldest = entry | {"jsonPayload": line(0, "requeued")}
        programs.answer("gcloud logging read", json.dumps([newest, oldest]))
        result = transcripts("logs", TASK, "--env", "production", "--json", *SINCE)
    events = json.loads(result.stdout)
    assert [(each["message"], each["severity"]) for each in events] == [
        ("requeued", "WARNING"),
        ("lease_lost", "INFO"),
    ]
    (call,) = programs.calls_of("gcloud logging read")
    for part in (
        '"transcripts-submit" OR',
        f'jsonPayload.task_id=("{TASK}")',
        'timestamp>="2026-01-01T00:00:00+00:00"',
        "severity>=INFO",
    ):
        assert part in call.text


@pytest.mark.usefixtures("checkout")
def test_logs_that_may_not_be_read_name_the_role(programs: FakePrograms) -> None:
    """The exit code is that of a missing right."""
    with ScriptedServer().running() as results:
        results.on("GET /submissions", NOTHING)
        programs.answer("terraform output -json", outputs(results_url=results.url))
        programs.answer("gcloud logging read", "ERROR: PERMISSION_DENIED", code=1)
        result = transcripts("logs", TASK, "--env", "production")
    assert result.exit_code == 4
    assert "roles/logging.viewer" in result.stderr
