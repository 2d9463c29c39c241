"""The commands that read, export and change tasks, on the real function."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pysubs2
import pytest

from tests.builders import segment
from tests.fakes import NOW
from tests.functional.served_results import do, ok, results, store
from tests.results import Results, a_submission, a_task
from transcripts.exports.registry import FORMATS
from transcripts.submissions.submission import State
from transcripts.tasks.task import Status

__all__ = ["results"]


# list, show -------------------------------------------------------------------------------------


def test_list_of_tasks_prints_them_newest_first(results: Results) -> None:
    """One line for each task, under a header."""
    tasks = [a_task(f"t{n}", created_at=NOW + timedelta(hours=n)) for n in range(3)]
    do(results.put(*tasks))
    lines = ok("list").stdout.splitlines()
    assert lines[0].split() == ["TASK", "STATUS", "CREATED", "LENGTH", "SOURCE"]
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


def test_list_with_a_wrong_time_says_what_a_time_looks_like(results: Results) -> None:
    """The explanation of results is shown."""
    assert "RFC 3339" in ok("list", "--since", "yesterday", code=1).stderr


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


def test_show_with_lines_shows_only_so_many(results: Results) -> None:
    """The number of segments that are left out is shown."""
    do(store(results, "t", *(segment(n) for n in range(5))))
    output = ok("show", "t", "--lines", "2").stdout
    assert "number 1." in output
    assert "number 2." not in output
    assert "3 more" in output


def test_show_as_json_is_the_task_of_the_api(results: Results) -> None:
    """The document has all segments."""
    do(store(results, "t", segment(0), segment(1)))
    assert len(json.loads(ok("show", "t", "--json").stdout)["segments"]) == 2


def test_show_of_an_unknown_id_says_how_to_find_one(results: Results) -> None:
    """The message names the command that lists tasks."""
    assert "transcripts list" in ok("show", "nothing", code=1).stderr


# export -----------------------------------------------------------------------------------------


def test_export_imports_no_writer() -> None:
    """The command lists formats and options without the writers, whose import takes 50 ms."""
    program = "import sys, cli.commands.export; print(*sys.modules)"
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    loaded = done.stdout.split()
    assert "transcripts.exports.registry" in loaded
    assert not [name for name in loaded if name.startswith("transcripts.exports.formats.")]


@pytest.mark.parametrize("name", FORMATS)
def test_export_to_a_file_writes_what_results_answers(results: Results, name: str) -> None:
    """Each format, chosen by the end of the file's name."""
    do(store(results, "t", segment(0, text="नमस्ते 会議 السلام"), segment(1)))
    ok("export", "t", "-o", f"out.{name}")
    answer = do(results.get(f"/tasks/t.{name}"))
    assert Path(f"out.{name}").read_bytes() == answer.content


SCRIPTS = {
    "Latin": ("Zoë Müller", "Crème brûlée, s'il vous plaît."),
    "Han": ("王小明", "我们明天开会讨论这个问题。"),
    "kana": ("たなか さくら", "おはようございます、はじめましょう。"),
    "Arabic": ("ليلى حسن", "صباح الخير، لنبدأ الاجتماع."),
    "Devanagari": ("आदित्य शर्मा", "नमस्ते, बैठक शुरू करते हैं।"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_export_after_rename_shows_text_and_name_to_another_parser(
    results: Results, script: str
) -> None:
    """In SRT and WebVTT, in each of five scripts."""
    name, text = SCRIPTS[script]
    do(store(results, "t", segment(0, speaker="Speaker 1", text=text)))
    ok("rename", "t", f"Speaker 1={name}")
    shown = {}
    for ending in ("srt", "vtt"):
        ok("export", "t", "-o", f"out.{ending}")
        cues = pysubs2.load(f"out.{ending}", encoding="utf-8")
        # A line may break between any two characters of Han and kana.
        shown[ending] = "".join("".join(cue.plaintext.split()) for cue in cues)
    assert shown["srt"] == f"{name}:{text}".replace(" ", "")
    assert shown["vtt"] == text.replace(" ", "")
    assert f"<v {name}>" in Path("out.vtt").read_text(encoding="utf-8")


def test_export_to_stdout_writes_bytes_and_nothing_else(results: Results) -> None:
    """Subtitles are the default."""
    do(store(results, "t", segment(0)))
    result = ok("export", "t")
    assert result.stdout.startswith("1\n00:00:00,000 --> ")
    assert result.stderr == ""


def test_export_options_reach_results(results: Results) -> None:
    """Speakers, columns and the byte-order mark."""
    do(store(results, "t", segment(0)))
    output = ok("export", "t", "--speakers", "none", "--bom", "--max-chars", "32").stdout_bytes
    assert output.startswith("\ufeff1\n".encode())
    assert b"Ada" not in output


def test_export_with_an_option_of_another_format_is_a_usage_error(results: Results) -> None:
    """The message lists the options of the format."""
    do(store(results, "t", segment(0)))
    assert "none" in ok("export", "t", "-f", "rttm", "--raw", code=2).stderr


def test_export_to_a_folder_uses_the_name_that_results_gives(results: Results) -> None:
    """The name is readable, and has the format's ending."""
    do(store(results, "t", segment(0)))
    Path("out").mkdir()
    ok("export", "t", "-f", "vtt", "-o", "out")
    (written,) = Path("out").iterdir()
    assert written.suffix == ".vtt"


def test_export_over_an_existing_file_needs_force(results: Results) -> None:
    """No file is replaced by accident."""
    do(store(results, "t", segment(0)))
    Path("a.srt").write_text("mine")
    assert "--force" in ok("export", "t", "-o", "a.srt", code=1).stderr
    assert Path("a.srt").read_text() == "mine"
    ok("export", "t", "-o", "a.srt", "--force")
    assert Path("a.srt").read_text() != "mine"
    assert [path.name for path in Path.cwd().glob(".*")] == []


def test_export_before_the_result_exits_8_and_says_how_to_wait(results: Results) -> None:
    """The result may still come."""
    do(results.put(a_task("t", status=Status.SUBMITTED)))
    assert "transcripts watch t" in ok("export", "t", code=8).stderr


def test_export_of_a_failed_task_exits_1(results: Results) -> None:
    """No result will come."""
    do(results.put(a_task("t", status=Status.FAILED)))
    ok("export", "t", code=1)


# rename, delete ---------------------------------------------------------------------------------


def test_rename_by_name_id_and_shown_name_changes_every_export(results: Results) -> None:
    """A speaker is named as the user sees it."""
    do(store(results, "t", segment(0, speaker="Speaker 1"), segment(1, speaker="Speaker 2")))
    ok("rename", "t", "Speaker 1=Ada", "s2=Ben")
    assert "Ada:" in ok("export", "t").stdout
    assert "Grace" in ok("rename", "t", "Ada=Grace").stdout
    text = ok("export", "t", "-f", "txt").stdout
    assert "Grace" in text
    assert "Ben" in text
    ok("rename", "t", "s1=")
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


def test_delete_off_a_terminal_needs_yes(results: Results) -> None:
    """A script is never asked."""
    do(store(results, "t", segment(0)))
    assert "--yes" in ok("delete", "t", code=2).stderr
    ok("show", "t")


def test_delete_removes_the_task_and_is_repeatable(results: Results) -> None:
    """The second deletion finds nothing that is left."""
    do(store(results, "t", segment(0)))
    assert "t  deleted" in ok("delete", "t", "--yes").stdout
    ok("show", "t", code=1)
    ok("delete", "t", "--yes")


def test_delete_of_several_tasks_goes_on_after_an_unknown_one(results: Results) -> None:
    """The exit code tells that not everything was deleted."""
    do(store(results, "t", segment(0)))
    result = ok("delete", "unknown", "t", "--yes", code=1)
    assert "t  deleted" in result.stdout
    assert "unknown" in result.stderr
