"""Printing, and the file that says where the local stack is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.failures import Failure
from cli.local.state import LocalStack, running_stack, write_state
from cli.output import clean, clock, event_lines, source_of, table, width
from tests.results import a_task
from transcripts.tasks.task import Source

STACK = LocalStack(
    pid=os.getpid(),
    backend="embedded",
    data_dir="/data",
    urls={"results": "http://127.0.0.1:1"},
    bucket="uploads",
    bucket_url="http://127.0.0.1:2",
    callback_url="http://127.0.0.1:3/token",
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ada", "Ada"),
        ("नमस्ते 会議 é", "नमस्ते 会議 é"),
        ("a\x1b[2Jb", "a\ufffd[2Jb"),
        ("a\x00\r\n\t\x7f\x9b31m", "a" + "\ufffd" * 6 + "31m"),
    ],
)
def test_clean_text_has_no_control_characters(text: str, shown: str) -> None:
    """Escape sequences need one, in 7 or 8 bits; all scripts stay as they are."""
    assert clean(text) == shown


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("会議", 4), ("e\u0301", 1), ("", 0)])
def test_width_counts_columns_of_a_terminal(text: str, columns: int) -> None:
    """East Asian characters take two, combining ones none."""
    assert width(text) == columns


def test_table_aligns_columns_by_their_width() -> None:
    """The second column begins at the same place in each line."""
    lines = list(table(["NAME", "N"], [["会議", "1"], ["Ada Example", "2"]]))
    assert lines == ["NAME         N", "会議         1", "Ada Example  2"]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (62.9, "1:02"), (3723.0, "1:02:03"), (360_000, "100:00:00")]
)
def test_clock_writes_hours_only_where_there_are_some(seconds: float, shown: str) -> None:
    """Fractions are cut off."""
    assert clock(seconds) == shown


def test_event_lines_show_time_event_fields_and_stack() -> None:
    """Without what is empty, what every line has, and what is for Cloud Logging only."""
    event = {
        "severity": "ERROR",
        "message": "unexpected_error",
        "time": "2026-01-02T03:04:05.678901Z",
        "function": "submit",
        "version": "1",
        "task_id": "t",
        "attempt": 0,
        "reason": None,
        "anomalies": {},
        "logging.googleapis.com/labels": {"task_id": "t"},
        "stack": ["a.py:1 in f", "b.py:2 in \x1b[2J"],
    }
    moment = "2026-01-02 03:04:05.678"
    fields = 'unexpected_error  task_id="t" attempt=0'
    stack = ["    a.py:1 in f", "    b.py:2 in \ufffd[2J"]
    assert list(event_lines(event, "ERROR")) == [f"{moment} ERROR submit     {fields}", *stack]
    assert next(event_lines(event)) == f"{moment} submit     {fields}"
    assert list(event_lines({"message": "ready"})) == [" " * 11 + "ready"]


def test_source_of_prefers_the_object() -> None:
    """The object is what the user uploaded."""
    assert source_of(a_task("t", source=Source("gs://b/o", "1"), asset_id="re_1")) == "gs://b/o"
    assert source_of(a_task("t", asset_id="re_1")) == "re_1"
    assert source_of(a_task("t")) == ""


def test_state_of_a_running_stack_is_read_as_written(tmp_path: Path) -> None:
    """Only this user may read it: it holds the token of the callback URL."""
    path = tmp_path / "folder" / "stack.json"
    write_state(path, STACK)
    assert running_stack(path) == STACK
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_state_of_a_stack_that_has_died_is_ignored(tmp_path: Path) -> None:
    """A killed stack leaves its file behind."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    path = tmp_path / "stack.json"
    write_state(path, replace(STACK, pid=process.pid))
    assert running_stack(path) is None


@pytest.mark.parametrize("content", ["", "{}", '{"pid": "x"}'])
def test_state_that_is_damaged_says_what_to_do(tmp_path: Path, content: str) -> None:
    """It may be another program's file, so nobody is told to delete it."""
    path = tmp_path / "stack.json"
    path.write_text(content)
    with pytest.raises(Failure, match="transcripts up") as caught:
        running_stack(path)
    assert "elete" not in caught.value.message


def test_state_that_is_a_folder_is_explained(tmp_path: Path) -> None:
    """TRANSCRIPTS_STACK names a file."""
    with pytest.raises(Failure, match=r"Is a directory\. TRANSCRIPTS_STACK names the file"):
        running_stack(tmp_path)
