"""The commands that follow, count and repeat work, on the real function."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cli.client import watching
from cli.client.api import Api
from cli.client.lookup import Found, find_result
from tests.builders import segment
from tests.fakes import NOW
from tests.functional.served_results import do, ok, results, store
from tests.results import Results, a_submission, a_task
from transcripts.submissions.submission import State
from transcripts.tasks.task import Source, Status

__all__ = ["results"]


# status, watch ----------------------------------------------------------------------------------

URI = "gs://uploads/a.mp4"


def entry(state: State, **changes: Any) -> Any:
    """Return a submission of the object at ``URI``."""
    return a_submission("b" * 32, **{"state": state, "source": Source(URI, "1"), **changes})


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (State.PENDING, 8),
        (State.SUBMITTING, 8),
        (State.REJECTED, 5),
        (State.SUBMIT_UNKNOWN, 5),
    ],
)
def test_status_of_a_submission_says_its_next_step(
    results: Results, state: State, code: int
) -> None:
    """By its object's address and by its id, before there is a task."""
    do(results.put_submissions(entry(state, task_id=None)))
    for subject in (URI, "b" * 32):
        result = ok("status", subject, code=code)
        assert f"state       {state}" in result.stdout
        assert "next step" in result.stdout


def test_status_of_a_task_joins_its_submission(results: Results) -> None:
    """The task's state counts."""
    do(store(results, "t", segment(0)))
    do(results.put(replace(do(results.stored("t")), submission_id="b" * 32)))
    do(results.put_submissions(entry(State.SUBMITTED, task_id="t")))
    for subject in ("t", "b" * 32, URI):
        assert "state       succeeded" in ok("status", subject).stdout
    content = json.loads(ok("status", "t", "--json").stdout)
    assert content["submission"]["submission_id"] == "b" * 32
    assert "segments" not in content["task"]


def test_status_of_a_deleted_task_exits_5(results: Results) -> None:
    """The submission still names the task."""
    do(results.put_submissions(entry(State.SUBMITTED, task_id="gone")))
    assert "state       deleted" in ok("status", URI, code=5).stdout


def test_watch_prints_each_change_until_the_result(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --json, each change is one line."""
    do(results.put(a_task("t", status=Status.SUBMITTED)))
    looks: list[Found] = []

    def find_and_deliver(api: Api, subject: str) -> Found:
        looks.append(find_result(api, subject))
        if len(looks) == 2:
            do(store(results, "t", segment(0)))
        return looks[-1]

    monkeypatch.setattr(watching, "find_result", find_and_deliver)
    lines = ok("watch", "t", "--json").stdout.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["submitted", "succeeded"]


class PassingTime:
    """A clock in seconds that only sleeping moves on."""

    def __init__(self) -> None:
        self.pauses_s: list[float] = []

    def monotonic(self) -> float:
        return sum(self.pauses_s)

    def sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)

    def strftime(self, _: str) -> str:
        return "12:00:00"


def test_watch_in_a_pipe_looks_less_often_and_prints_only_changes(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pauses grow to ten seconds, and a change makes the next one short again."""
    do(results.put(a_task("t", status=Status.SUBMITTED)))
    passing = PassingTime()
    monkeypatch.setattr(watching, "time", passing)
    after = {9: Status.OVERDUE, 11: Status.SUCCEEDED}

    def find_and_change(api: Api, subject: str) -> Found:
        status = after.pop(len(passing.pauses_s), None)
        if status:
            do(results.put(a_task("t", status=status)))
        return find_result(api, subject)

    monkeypatch.setattr(watching, "find_result", find_and_change)
    result = ok("watch", "t")
    pauses = [0.5 * 1.5**number for number in range(8)]
    assert passing.pauses_s == pytest.approx([*pauses, 10.0, 0.5, 0.75])
    states = [line.split()[2] for line in result.stdout.splitlines() if "12:00:00" in line]
    assert states == ["submitted", "overdue", "succeeded"]
    assert result.stderr == ""


def test_watch_past_its_time_out_exits_3_and_says_how_to_go_on(results: Results) -> None:
    """The task is not changed by the watch."""
    do(results.put(a_task("t", status=Status.SUBMITTED)))
    assert "transcripts watch t" in ok("watch", "t", "--timeout", "0.1", code=3).stderr


def test_watch_of_a_failed_task_exits_5(results: Results) -> None:
    """A script can tell a failed task from a failed command."""
    do(results.put(a_task("t", status=Status.FAILED), a_task("good", status=Status.FAILED)))
    do(store(results, "good", segment(0)))
    ok("watch", "t", "good", code=5)
    ok("watch", "good")


# audit, renormalize -----------------------------------------------------------------------------


def test_audit_of_a_balanced_store_exits_0(results: Results) -> None:
    """Every sum holds."""
    do(results.put_submissions(entry(State.SUBMITTED, task_id="bought")))
    do(results.put(a_task("bought", submission_id="b" * 32), a_task("theirs")))
    result = ok("audit")
    submissions, tasks, unmatched = result.stdout.splitlines()
    terms = "1 submitted, 0 rejected, 0 submit_unknown, 0 open"
    assert submissions == f"ok       1 total submissions: {terms}"
    terms = "0 succeeded, 0 failed, 0 unrecognized, 1 pending, 0 overdue, 0 deleted"
    assert tasks == f"ok       1 submitted tasks: {terms}"
    assert unmatched == "         1 tasks without a submission"
    assert "transcripts list --unmatched" in result.stderr


def test_audit_that_does_not_balance_exits_1_and_names_the_ids(results: Results) -> None:
    """A task whose submission is missing, and a bought task that is missing."""
    do(results.put(a_task("odd", status=Status.SUCCEEDED, submission_id="b" * 32)))
    result = ok("audit", code=1)
    assert "problem  0 submitted tasks" in result.stdout
    assert "         not accounted for: odd\n" in result.stdout
    assert "transcripts status ID" in result.stderr
    bought = replace(entry(State.SUBMITTED), task_id="gone")
    do(results.put_submissions(bought, replace(bought, submission_id="c" * 32, task_id="lost")))
    assert "not accounted for: gone" in ok("audit", code=1).stdout
    found = json.loads(ok("audit", "--json", code=1).stdout)
    assert found["unaccounted"]["tasks"] == found["tasks"]["missing"] == ["gone", "lost"]


def test_renormalize_since_a_time_works_on_all_results(results: Results) -> None:
    """Tasks without a result are left out."""
    for name in ("t1", "t2"):
        do(store(results, name, segment(0)))
    do(results.put(a_task("open", status=Status.SUBMITTED)))
    result = ok("renormalize", "--since", "2000-01-01T00:00:00Z", "--json")
    assert sorted(json.loads(result.stdout)["renormalized"]) == ["t1", "t2"]


def test_renormalize_goes_on_after_a_task_without_a_stored_callback(results: Results) -> None:
    """The exit code tells that one is left."""
    do(results.put(a_task("bare")))
    do(store(results, "t", segment(0)))
    result = ok("renormalize", "bare", "t", code=1)
    assert "t  succeeded" in result.stdout
    assert "bare" in result.stderr


def test_renormalize_that_is_interrupted_prints_the_command_that_goes_on(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C exits with 130; the printed command works on the tasks that are left."""
    for name in ("t1", "t2", "t3"):
        do(store(results, name, segment(0)))
        stored = do(results.stored(name))
        do(results.put(replace(stored, created_at=NOW - timedelta(hours=9 - int(name[1])))))
    call, calls = Api.call, list[str]()

    def interrupted(self: Api, method: str, path: str, **options: Any) -> Any:
        if method == "POST":
            calls.append(path)
            if len(calls) == 2:
                raise KeyboardInterrupt
        return call(self, method, path, **options)

    monkeypatch.setattr(Api, "call", interrupted)
    result = ok("renormalize", "--since", "2000-01-01T00:00:00Z", code=130)
    monkeypatch.setattr(Api, "call", call)
    command = result.stderr.partition("transcripts renormalize ")[2].split()
    again = json.loads(ok("renormalize", *command, "--json").stdout)
    assert again["renormalized"] == ["t2", "t1"]
