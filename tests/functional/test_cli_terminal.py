"""The command on a terminal: colors, questions, and Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command_line import Reply, ScriptedServer
from tests.results import a_task, summary_of, whole_task
from transcripts.results.answers import SubmissionList, TaskList
from transcripts.tasks.task import Source, Status

PROGRAM = Path(sys.executable).with_name("transcripts")
WITHIN_S = 30.0
TASKS = TaskList([summary_of(a_task("t", status=Status.FAILED))], None)
OPEN = whole_task(a_task("t", status=Status.SUBMITTED))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer().running() as running:
        running.on("GET /tasks", Reply(200, TASKS))
        running.on("GET /submissions", Reply(200, SubmissionList([], None)))
        running.on("GET /tasks/t", Reply(200, OPEN))
        running.on("DELETE /tasks/t", Reply(204))
        yield running


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, server: ScriptedServer, *arguments: str, **environ: str) -> None:
        self._controller, terminal = pty.openpty()
        # A shell ignores Ctrl-C for what it runs in the background, and children inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [PROGRAM, *arguments],
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                env=os.environ | {"TRANSCRIPTS_URL": server.url} | environ,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        os.close(terminal)
        self.output = ""

    def read_until(self, text: str) -> None:
        """Read what is shown until it has ``text``."""
        self._read(lambda: text in self.output)

    def type(self, keys: str) -> None:
        os.write(self._controller, keys.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Read the rest and return the exit code."""
        self._read(lambda: False)
        os.close(self._controller)
        return self._process.wait(WITHIN_S)

    def _read(self, is_enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not is_enough():
            left_s = max(deadline - time.monotonic(), 0)
            assert select.select([self._controller], [], [], left_s)[0], self.output
            try:
                data = os.read(self._controller, 4096)
            except OSError:
                # Linux says so when the command has closed the terminal.
                return
            self.output += data.decode(errors="replace")


def test_list_on_a_terminal_colors_the_status(server: ScriptedServer) -> None:
    """A failed task is red."""
    terminal = Terminal(server, "list", NO_COLOR="")
    assert terminal.end() == 0
    assert "\x1b[31mfailed" in terminal.output


def test_list_with_no_color_has_no_escape_sequence(server: ScriptedServer) -> None:
    """https://no-color.org"""
    terminal = Terminal(server, "list", NO_COLOR="1")
    assert terminal.end() == 0
    assert "failed" in terminal.output
    assert "\x1b" not in terminal.output


def test_list_on_a_dumb_terminal_has_no_escape_sequence(server: ScriptedServer) -> None:
    """It could not show one."""
    terminal = Terminal(server, "list", NO_COLOR="", TERM="dumb")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.output


def test_list_on_a_narrow_terminal_shows_the_file_names(server: ScriptedServer) -> None:
    """No line is wider than the terminal; of an address the end is shown."""
    source = Source("gs://uploads/94a5896dd6dbf5e5/a long folder/interview.mp4", "1")
    server.on("GET /tasks", Reply(200, TaskList([summary_of(a_task("t", source=source))], None)))
    terminal = Terminal(server, "list", COLUMNS="60")
    assert terminal.end() == 0
    lines = terminal.output.splitlines()
    assert max(map(len, lines)) == 60
    assert lines[1].endswith("folder/interview.mp4")


@pytest.mark.parametrize(("answer", "code", "deletions"), [("y\n", 0, 1), ("n\n", 3, 0)])
def test_delete_on_a_terminal_asks_first(
    server: ScriptedServer, answer: str, code: int, deletions: int
) -> None:
    """Declining exits with 3, and nothing is deleted."""
    terminal = Terminal(server, "delete", "t")
    terminal.read_until("[y/N]")
    terminal.type(answer)
    assert terminal.end() == code
    assert len(server.of("DELETE /tasks/t")) == deletions


def test_export_of_a_word_document_to_a_terminal_is_a_usage_error(server: ScriptedServer) -> None:
    """It would only show bytes."""
    terminal = Terminal(server, "export", "t", "-f", "docx")
    assert terminal.end() == 2
    assert "-o FILE.docx" in terminal.output


def test_watch_that_is_interrupted_exits_130_and_says_how_to_go_on(server: ScriptedServer) -> None:
    """Ctrl-C leaves no traceback."""
    terminal = Terminal(server, "watch", "t")
    terminal.read_until("submitted")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "Go on: transcripts watch t\r\n" in terminal.output
    assert "Traceback" not in terminal.output


def test_watch_on_a_terminal_shows_one_living_line(server: ScriptedServer) -> None:
    """State, time and what is expected, in the width of the terminal; it is gone at the end."""
    terminal = Terminal(server, "watch", "t", COLUMNS="50")
    living = "0:01  t  submitted: Mavi has accepted the job and"
    terminal.read_until(f"\r\x1b[K{living[:48]}…")
    server.on("GET /tasks/t", Reply(200, whole_task(a_task("t", status=Status.FAILED))))
    assert terminal.end() == 5
    after = terminal.output.rpartition(living[8:40])[2]
    assert after.partition("\r\x1b[K")[2].splitlines()[0].endswith("  task t")


def test_watch_on_a_dumb_terminal_shows_lines_only(server: ScriptedServer) -> None:
    """It can't write over one."""
    terminal = Terminal(server, "watch", "t", "--timeout", "1", TERM="dumb")
    assert terminal.end() == 3
    assert "\x1b" not in terminal.output
