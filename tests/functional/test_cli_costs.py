"""The command `transcripts costs`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.command_line import Reply, ScriptedServer, transcripts
from transcripts.callbacks.kinds import Kind
from transcripts.results.answers import SubmissionList, SubmissionView, Summary, TaskList
from transcripts.submissions.submission import State
from transcripts.tasks.task import Status

BOUGHT = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)


def a_task(task_id: str, status: Status, duration_s: float, **labels: str) -> Summary:
    return Summary(
        task_id=task_id,
        kind=Kind.MULTI_SPEAKER,
        status=status,
        submission_id=None if task_id == "other" else task_id,
        labels=labels,
        created_at=BOUGHT,
        submitted_at=BOUGHT,
        duration_s=duration_s,
        speaker_count=0,
        speakers=[],
        next_step=None,
    )


def an_entry(task_id: str, submitted_at: datetime) -> SubmissionView:
    return SubmissionView(
        submission_id="5" * 32,
        state=State.SUBMITTED,
        reason=None,
        asset_id=None,
        source=None,
        labels={},
        task_id=task_id,
        created_at=submitted_at,
        updated_at=submitted_at,
        submitted_at=submitted_at,
        expires_at=None,
        deleted_at=None,
        uploads=0,
        queued=False,
        previous_attempts=[],
        duplicate_of=None,
        next_step="",
    )


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    tasks = [
        a_task("task-1", Status.SUCCEEDED, 600, case="7"),
        a_task("task-2", Status.SUCCEEDED, 1800, case="7", by="ada"),
        a_task("task-3", Status.OVERDUE, 0),
        a_task("other", Status.SUCCEEDED, 6000),
    ]
    ledger = [
        an_entry("task-1", BOUGHT),
        an_entry("deleted", BOUGHT),
        an_entry("of-march", datetime(2026, 3, 1, tzinfo=UTC)),
    ]
    with ScriptedServer().running() as running:
        running.on("GET /tasks", Reply(200, TaskList(tasks, None)))
        running.on("GET /submissions", Reply(200, SubmissionList(ledger, None)))
        yield running


def test_costs_of_a_month_are_summed_by_status_label_and_day(server: ScriptedServer) -> None:
    """A task that was not bought here costs nothing; a deleted one is counted by itself."""
    result = transcripts("costs", "--month", "2026-02", "--json", "--url", server.url)
    content = json.loads(result.stdout)
    assert (content["purchases"], content["minutes"], content["dollars"]) == (3, 40.0, 4.0)
    assert (content["without_length"], content["deleted"]) == (1, 1)
    assert content["by_status"]["succeeded"] == {"purchases": 2, "minutes": 40.0, "dollars": 4.0}
    assert {key: cost["dollars"] for key, cost in content["by_label"].items()} == {
        "by:ada": 3.0,
        "case:7": 4.0,
        "no label": 0.0,
    }
    assert list(content["by_day"]) == ["2026-02-03"]
    (asked,) = server.of("GET /tasks")
    assert "created_after=2026-02-01" in asked.path
    assert "created_before=2026-03-01" in asked.path


def test_costs_are_printed_with_their_doubts(server: ScriptedServer) -> None:
    """What has no length is named."""
    result = transcripts("costs", "--month", "2026-12", "--url", server.url)
    assert "2026-12: 3 purchases, 40.0 minutes, about $4.00" in result.stdout
    assert "1 of them have no result yet" in result.stderr
    assert "created_before=2027-01-01" in server.of("GET /tasks")[0].path


def test_costs_of_no_month_exit_2(server: ScriptedServer) -> None:
    """A month has the form YYYY-MM."""
    assert transcripts("costs", "--month", "May", "--url", server.url).exit_code == 2
