"""The commands that read, export and change tasks, on the real function."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from cli.commands import reading
from tests.builders import segment
from tests.fakes import NOW
from tests.functional.served_results import do, ok, results, store
from tests.results import Results, a_submission, a_task
from transcripts.submissions.submission import State
from transcripts.tasks.task import Status

__all__ = ["results"]


# list, show -------------------------------------------------------------------------------------


def test_list_of_tasks_prints_them_newest_first(results: Results) -> None:
    """One line for each task, under a header; a column without content is left out."""
    tasks = [a_task(f"t{n}", created_at=NOW + timedelta(hours=n)) for n in range(3)]
    tasks[0] = replace(tasks[0], labels={"case": "7", "court": "x"}, asset_id="re_1")
    do(results.put(*tasks))
    lines = ok("list").stdout.splitlines()
    assert lines[0].split() == ["TASK", "STATUS", "CREATED", "LABELS", "SOURCE"]
    assert lines[3].endswith("  case=7, court=x  re_1")
    assert [line.split()[0] for line in lines[1:]] == ["t2", "t1", "t0"]


def test_list_as_json_follows_pages_up_to_the_limit(results: Results) -> None:
    """More tasks than one page holds are one document."""
    do(results.put(*(a_task(f"t{n:03d}") for n in range(230))))
    found = json.loads(ok("list", "--json", "--limit", "210").stdout)
    assert len(found["tasks"]) == 210
    assert len(json.loads(ok("list", "--json", "--limit", "500").stdout)["tasks"]) == 230


def test_list_without_a_limit_shows_fifty(results: Results) -> None:
    """The newest ones."""
    do(results.put(*(a_task(f"t{n:02d}", created_at=NOW + timedelta(hours=n)) for n in range(51))))
    lines = ok("list").stdout.splitlines()[1:]
    assert (len(lines), lines[0].split()[0], lines[-1].split()[0]) == (50, "t50", "t01")
    assert [line.split()[0] for line in ok("list", "--limit", "1").stdout.splitlines()[1:]] == [
        "t50"
    ]


def test_list_with_a_filter_shows_what_matches(results: Results) -> None:
    """The filters are those of results."""
    do(results.put(a_task("good"), a_task("bad", status=Status.FAILED)))
    assert "good" not in ok("list", "--status", "failed").stdout


def test_list_without_tasks_says_so_on_stderr(results: Results) -> None:
    """An empty stdout is what a script expects of an empty list."""
    result = ok("list")
    assert (result.stdout, result.stderr) == ("", "There are no tasks here.\n")


def test_list_with_two_filters_is_a_usage_error(results: Results) -> None:
    """results takes one filter."""
    assert "Give one of" in ok("list", "--status", "failed", "--unmatched", code=2).stderr


@pytest.mark.parametrize(
    ("option", "value", "ids"),
    [
        ("--since", "2026-01-02", ["t2", "t1"]),
        ("--until", "2026-01-02", ["t0"]),
        ("--since", "2026-01-02T12:00", ["t2"]),
        ("--since", "2026-01-02 01:00+01:00", ["t2"]),
        ("--since", "1h", []),
        ("--since", "9999w", ["t2", "t1", "t0"]),
    ],
)
def test_list_takes_times_as_people_write_them(
    results: Results, monkeypatch: pytest.MonkeyPatch, option: str, value: str, ids: list[str]
) -> None:
    """A date, a time of this machine, one with a zone, and how long ago it was."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    midnight = datetime(2026, 1, 1, 18, 30, tzinfo=UTC)
    hours = (-1, 0, 13)
    do(
        results.put(
            *(
                a_task(f"t{n}", created_at=midnight + timedelta(hours=h))
                for n, h in enumerate(hours)
            )
        )
    )
    found = json.loads(ok("list", option, value, "--json").stdout)["tasks"]
    monkeypatch.undo()
    time.tzset()
    assert [task["task_id"] for task in found] == ids


@pytest.mark.parametrize(
    "arguments",
    [("--since", "yesterday"), ("--since", "2d", "--until", "3d"), ("--label", "case")],
)
def test_list_with_a_wrong_value_says_it_in_words(
    results: Results, arguments: tuple[str, ...]
) -> None:
    """No word of the API stands in it."""
    error = ok("list", *arguments, code=2).stderr
    assert arguments[0] in error
    assert not re.search("created_|RFC|%2B|page_size", error)


def test_list_says_how_many_were_rejected(results: Results) -> None:
    """They have no task; with a filter, nothing is said."""
    entries = [a_submission(f"s{n}", state=State.REJECTED, reason="not_media") for n in range(2)]
    do(results.put_submissions(*entries, a_submission("open")))
    assert "2 rejected, and not listed here: transcripts list --state rejected" in ok("list").stderr
    assert "rejected" not in ok("list", "--status", "failed").stderr
    assert "rejected" not in ok("list", "--since", "1h").stderr


@pytest.mark.parametrize(
    ("status", "code"), [(Status.SUBMITTED, 8), (Status.OVERDUE, 8), (Status.FAILED, 5)]
)
def test_show_of_a_task_without_a_transcript_has_the_code_of_its_state(
    results: Results, status: Status, code: int
) -> None:
    """As docs/commands.md says."""
    do(results.put(a_task("t", status=status)))
    for arguments in (("t",), ("t", "--json")):
        assert status in ok("show", *arguments, code=code).stdout


def test_show_shows_labels_and_fits_the_terminal(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line of what was said is wider."""
    do(store(results, "t", segment(0, text="word " * 60)))
    do(results.put(replace(do(results.stored("t")), labels={"case": "7"})))
    monkeypatch.setattr(reading, "columns", lambda: 50)
    lines = ok("show", "t").stdout.splitlines()
    assert "labels: case=7" in lines
    said = [line for line in lines if "word word" in line]
    assert (len(said), max(map(len, said))) == (12, 47)


def test_list_by_state_shows_submissions_with_their_reason(results: Results) -> None:
    """Rejected files never become tasks."""
    entry = a_submission("a" * 32, state=State.REJECTED, reason="not_media")
    do(results.put_submissions(entry))
    assert "not_media" in ok("list", "--state", "rejected").stdout


def test_show_of_hostile_text_leaves_the_terminal_alone(results: Results) -> None:
    """Control characters in names and text are replaced."""
    do(store(results, "t", segment(0, speaker="Eve\x1b[31m", text="\x1b]0;title\x07 hello")))
    output = ok("show", "t").stdout
    assert "\x1b" not in output
    assert "\x07" not in output
    assert "hello" in output


def test_show_prints_summary_shares_and_lines(results: Results) -> None:
    """Text is indented under its first line; what is left out and repaired is counted."""
    long = segment(0, text="word " * 30, end_time=150.0)
    blank = segment(1, text="", start_time=150.0, end_time=200.0)
    do(store(results, "t", long, blank, segment(50), {"speaker": "Ada Example"}))
    lines = ok("show", "t", "--lines", "2").stdout.splitlines()
    words = " ".join(["word"] * 14)
    assert lines[1:13] == [
        "succeeded: 3:23 of media, 3 speakers, 4 segments, 41 words",
        "",
        f"  Ada Example      74%    2:30  {'█' * 22}",
        f"  Ben Sample       25%    0:50  {'█' * 7}",
        "  Carla Specimen    2%    0:03  █",
        "",
        f"    0:00  Ada Example     {words}",
        f"                          {words}",
        "                          word word",
        "    2:30  Ben Sample      (no words)",
        "  … 2 more",
        "  repaired: missing_text, 2 times",
    ]


def test_show_as_json_is_the_task_of_the_api(results: Results) -> None:
    """The document has all segments."""
    do(store(results, "t", segment(0), segment(1)))
    assert len(json.loads(ok("show", "t", "--json").stdout)["segments"]) == 2


def test_show_of_an_unknown_id_says_how_to_find_one(results: Results) -> None:
    """The message names the command that lists tasks."""
    assert "transcripts list" in ok("show", "nothing", code=1).stderr


# rename ---------------------------------------------------------------------------------


def test_rename_by_name_id_and_shown_name_changes_every_export(results: Results) -> None:
    """A speaker is named as the user sees it."""
    do(store(results, "t", segment(0, speaker="Speaker 1"), segment(1, speaker="Speaker 2")))
    ok("rename", "t", "Speaker 1=Ada", "s2=Ben")
    assert "Ada:" in ok("export", "t").stdout
    assert "Grace" in ok("rename", "t", "Ada=Grace").stdout
    text = ok("export", "t", "-f", "txt").stdout
    assert "Grace" in text
    assert "Ben" in text
    ok("rename", "t", "s1= ")
    assert "Speaker 1" in ok("export", "t", "-f", "txt").stdout


def test_rename_of_an_unknown_speaker_lists_the_speakers(results: Results) -> None:
    """Nothing is changed."""
    do(store(results, "t", segment(0, speaker="Speaker 1")))
    assert "s1 (Speaker 1)" in ok("rename", "t", "Bob=Ada", code=1).stderr


def test_rename_of_an_old_version_changes_nothing_and_says_how_to_go_on(results: Results) -> None:
    """Two people who rename at once do not overwrite each other."""
    do(store(results, "t", segment(0, speaker="Speaker 1")))
    tag = do(results.get("/tasks/t")).headers["ETag"]
    ok("rename", "t", "s1=Ada")
    assert "transcripts show t" in ok("rename", "t", "s1=Eve", "--if-match", tag, code=1).stderr
    assert do(results.stored("t")).speaker_names[0].display_name == "Ada"


def test_rename_without_an_equals_sign_is_a_usage_error(results: Results) -> None:
    """OLD=NEW is the only form."""
    do(store(results, "t", segment(0)))
    ok("rename", "t", "Ada", code=2)
