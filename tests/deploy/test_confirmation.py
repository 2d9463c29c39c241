"""Every command that changes anything asks first: at a terminal, and never without one."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.conftest import ROOT, Run
from tests.deploy.fake_programs import FakePrograms, state
from tests.deploy.test_destroy import PROTECTED, deployed

CHANGING: Final = {
    "deploy": ["terraform apply"],
    "destroy": ["terraform state rm", "terraform destroy"],
    "rotate-token": ["terraform apply"],
    "set-api-key": ["terraform apply"],
}
"""Each command, and what it runs once it is confirmed."""

TIMEOUT_S: Final = 60


def at_a_terminal(command: str, root: Path, *answers: str) -> tuple[int, str]:
    """Run a command in a pseudo-terminal, type the answers, return its exit code and output."""
    keyboard, terminal = pty.openpty()
    program = (
        "import pathlib, sys; from cli.deploy import commands; "
        "commands.ROOT = pathlib.Path(sys.argv[1]); commands.main(sys.argv[2:])"
    )
    process = subprocess.Popen(  # noqa: S603 - the command under test
        [sys.executable, "-c", program, str(root), command],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "functions")])},
        start_new_session=True,
    )
    os.close(terminal)
    output, asked, end = "", 0, time.monotonic() + TIMEOUT_S
    while select.select([keyboard], [], [], max(end - time.monotonic(), 0))[0]:
        try:
            output += os.read(keyboard, 4096).decode()
        except OSError:  # the other side is closed: the process has ended
            break
        if asked < min(output.lower().count("[y/n]"), len(answers)):
            os.write(keyboard, answers[asked].encode())
            asked += 1
    # A program that still waits for an answer gets the end of its terminal.
    os.close(keyboard)
    return process.wait(timeout=TIMEOUT_S), output


@pytest.fixture
def deployed_project(
    root: Path, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> FakePrograms:
    """A project in which every command finds something to do."""
    programs.answer("terraform show -json", state(deployed(PROTECTED)))
    monkeypatch.setenv("MAVI_API_KEY", "key-given-by-the-user")
    return programs


@pytest.mark.parametrize(
    ("command", "answer"),
    [*((command, "n\n") for command in CHANGING), ("deploy", "\n"), ("destroy", "\x04")],
    ids=[*CHANGING, "Enter", "end of the input"],
)
def test_command_without_a_yes_changes_nothing(
    command: str, answer: str, root: Path, deployed_project: FakePrograms
) -> None:
    """n, Enter and the end of the input refuse, after the plan or the summary was shown."""
    code, output = at_a_terminal(command, root, answer)
    assert "[y/N]" in output
    assert code == 1, output
    assert deployed_project.changes == []
    shown = output.split("[y/N]")[0]
    assert "the plan" in shown or (command == "destroy" and "database transcripts" in shown)


@pytest.mark.parametrize("command", CHANGING)
def test_command_with_a_yes_goes_on(
    command: str, root: Path, deployed_project: FakePrograms
) -> None:
    """y at the terminal lets the command do its work, and it asks once only."""
    code, output = at_a_terminal(command, root, "y\n")
    assert code == 0, output
    assert output.count("[y/N]") == 1
    changes = deployed_project.changes
    assert [c for c, start in zip(changes, CHANGING[command], strict=True) if start not in c] == []


@pytest.mark.parametrize("command", CHANGING)
def test_command_without_terminal_and_yes_refuses(
    command: str, run: Run, programs: FakePrograms
) -> None:
    """Without a terminal the command cannot ask, so it calls nothing in the cloud."""
    result = run(command)
    assert result.exit_code == 1
    assert "YES=1" in result.output
    assert programs.calls == []
