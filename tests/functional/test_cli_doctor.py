"""The checks of `transcripts doctor`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.local.processes import free_port
from cli.local.state import LocalStack, write_state
from tests.command_line import Reply, ScriptedServer, error, transcripts
from tests.deploy.fake_programs import FakePrograms
from tests.functional.test_cli_login import checkout, outputs, programs
from transcripts.results.answers import TaskList

__all__ = ["checkout", "programs"]

EMPTY = Reply(200, TaskList([], None))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A server that stands for every function of a local stack, all of them healthy."""
    with ScriptedServer().running() as running:
        running.on("GET /tasks", EMPTY)
        running.on("POST /", error(400, "invalid_body", "Give one."))
        stack = LocalStack(
            pid=os.getpid(),
            backend="embedded",
            data_dir=str(tmp_path),
            urls={"results": running.url, "submit": running.url, "mavi": running.url},
            bucket="uploads",
            bucket_url=running.url,
            callback_url=f"{running.url}/token",
        )
        write_state(tmp_path / "stack.json", stack)
        monkeypatch.setenv("TRANSCRIPTS_STACK", str(tmp_path / "stack.json"))
        yield running


def test_doctor_of_a_healthy_local_stack_exits_0(server: ScriptedServer) -> None:
    """Nothing is submitted, and the token of the webhook is not used."""
    result = transcripts("doctor")
    assert result.exit_code == 0
    assert "problem" not in result.stdout
    assert server.of("POST /")[0].json() == {}
    assert server.of("GET /token") == []


def test_doctor_of_a_database_that_does_not_answer_prints_the_repair(
    server: ScriptedServer,
) -> None:
    """The other checks are made too."""
    server.on("GET /tasks", Reply(503, b"", {"Retry-After": "0"}))
    result = transcripts("doctor", "--json")
    content = json.loads(result.stdout)
    assert result.exit_code == 1
    problems = [check for check in content["checks"] if not check["ok"]]
    assert [(check["name"], check["repair"]) for check in problems] == [
        ("results", "transcripts up")
    ]


def test_doctor_of_an_open_webhook_reports_it(server: ScriptedServer) -> None:
    """callback has to refuse a token that it does not know."""
    server.on("GET /wrong-token-of-transcripts-doctor", Reply(200, {}))
    result = transcripts("doctor")
    assert result.exit_code == 1
    assert "problem  webhook" in result.stdout


def test_doctor_of_a_stopped_part_names_it(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket is a part of its own."""
    dead = f"http://127.0.0.1:{free_port()}"
    stack = LocalStack(
        pid=os.getpid(),
        backend="embedded",
        data_dir=str(tmp_path),
        urls={"results": server.url, "submit": server.url, "mavi": server.url},
        bucket="uploads",
        bucket_url=dead,
        callback_url=f"{server.url}/token",
    )
    write_state(tmp_path / "stack.json", stack)
    result = transcripts("doctor")
    assert "problem  bucket" in result.stdout
    assert "repair: transcripts up" in result.stdout


# A deployment -----------------------------------------------------------------------------------


@pytest.fixture
def deployed(
    checkout: Path,
    programs: FakePrograms,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> FakePrograms:
    """A deployment in which gcloud finds everything."""
    programs.answer(
        "terraform output -json",
        outputs(results_url=server.url, callback_url=server.url, urls={"submit": server.url}),
    )
    programs.answer("gcloud tasks queues describe", "RUNNING")
    for what in ("pubsub topics", "pubsub subscriptions", "firestore databases"):
        programs.answer(f"gcloud {what} describe", "a-name")
    programs.answer("gcloud secrets versions describe", "ENABLED")
    return programs


def test_doctor_of_a_healthy_deployment_changes_nothing(deployed: FakePrograms) -> None:
    """Every command only reads, and reads no secret's value."""
    result = transcripts("doctor", "--env", "production")
    assert result.exit_code == 0, result.output
    commands = [call.text for call in deployed.calls if call.text.startswith("gcloud")]
    assert all(" describe " in text or " auth list " in text for text in commands)
    assert all(text.endswith("--quiet") for text in commands)


def test_doctor_of_results_without_callers_leads_to_the_deployment(
    deployed: FakePrograms, server: ScriptedServer
) -> None:
    """Google answers 404 for a function that accepts internal traffic only."""
    server.on("GET /tasks", Reply(404, b"<html>404</html>", headers={"Content-Type": "text/html"}))
    result = transcripts("doctor", "--env", "production", "--json")
    checks = json.loads(result.stdout)["checks"]
    (problem,) = [check for check in checks if not check["ok"]]
    assert problem["name"] == "results"
    assert problem["repair"].startswith("make deploy ENV=production")
    assert "results_callers" in problem["repair"]


@pytest.mark.parametrize(
    ("command", "out", "code", "name", "repair"),
    [
        ("tasks queues describe", "PAUSED", 0, "queue", "gcloud tasks queues resume"),
        ("tasks queues describe", "ERROR: NOT_FOUND", 1, "queue", "make deploy ENV=production"),
        (
            "pubsub topics describe transcripts-uploads-dead",
            "ERROR: NOT_FOUND",
            1,
            "topic transcripts-uploads-dead",
            "make deploy ENV=production",
        ),
        (
            "pubsub subscriptions describe transcripts-callbacks-to-subscriber",
            "",
            0,
            "subscription transcripts-callbacks-to-subscriber",
            "make deploy ENV=production",
        ),
        ("firestore databases", "ERROR: x", 1, "database", "make deploy ENV=production"),
        (
            "secrets versions describe latest --secret=transcripts-mavi-api-key",
            "DISABLED",
            0,
            "secret mavi-api-key",
            "make set-api-key ENV=production",
        ),
        ("auth list", "", 0, "login", "gcloud auth login"),
    ],
)
def test_doctor_of_a_broken_part_prints_its_repair(
    deployed: FakePrograms, command: str, out: str, code: int, name: str, repair: str
) -> None:
    """One problem each, and the exit code 1."""
    deployed.answer(f"gcloud {command}", out, code)
    result = transcripts("doctor", "--env", "production", "--json")
    assert result.exit_code == 1
    checks = json.loads(result.stdout)["checks"]
    (problem,) = [check for check in checks if not check["ok"]]
    assert problem["name"] == name
    assert problem["repair"].startswith(repair)
