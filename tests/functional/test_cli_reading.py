"""The commands that read and change tasks, on the real function and the embedded backend."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pysubs2
import pytest
from click.testing import Result
from msgspec.structs import replace

from cli import watching
from cli.api import Api
from cli.commands.export import FORMATS as NAMES
from cli.lookup import Found, find, object_name
from tests.builders import callback_body, segment
from tests.command_line import served, transcripts
from tests.contracts.results import Results, a_submission, a_task
from tests.fakes import NOW
from tests.functional.framework import load
from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.message import compress
from transcripts.exports import FORMATS
from transcripts.retry import Retrier
from transcripts.submissions.submission import State
from transcripts.tasks.normalize import normalize
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Source, Status


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Results]:
    """The real function, served; the command finds it through the environment."""
    environ = {"TRANSCRIPTS_BACKEND": "embedded", "TRANSCRIPTS_DATA_DIR": str(tmp_path / "data")}
    loaded = load("results", environ, monkeypatch)
    module: Any = loaded.module
    monkeypatch.chdir(tmp_path)

    async def remove(path: str) -> None:
        raise NotImplementedError(path)

    with served(loaded.app) as url:
        monkeypatch.setenv("TRANSCRIPTS_URL", url)
        yield Results(loaded, module.documents, remove)
    module.documents._database.close()


def do(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what prepares the store."""
    return asyncio.run(work)


def ok(*arguments: str, code: int = 0) -> Result:
    """Run a command that ends with ``code``."""
    result = transcripts(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


async def store(results: Results, task_id: str, *lines: dict[str, Any]) -> None:
    """Store a result of these segments, with the callback that it was made of."""
    body = callback_body(list(lines), task_id=task_id)
    result = normalize(
        read_envelope(body), revision="r1", received_at=NOW, stored_at=NOW, expires_at=None
    )
    await TaskStore(results.documents, Retrier()).save_result(result, compress(body))


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


def test_export_knows_every_format_of_results() -> None:
    """The formats are listed without importing the exports, which takes time."""
    assert tuple(FORMATS) == NAMES


@pytest.mark.parametrize("name", NAMES)
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


def test_status_of_a_file_finds_its_upload_by_content(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object's name is made from the content, so a renamed copy in another folder is found."""
    path = Path("folder/a.mp4")
    path.parent.mkdir()
    path.write_bytes(b"media")
    uri = f"gs://uploads/{object_name(path)}"
    do(results.put_submissions(entry(State.PENDING, source=Source(uri, "1"))))
    monkeypatch.setenv("TRANSCRIPTS_BUCKET", "uploads")
    assert uri in ok("status", str(path), code=8).stdout
    path.write_bytes(b"other media")
    assert "transcripts submit" in ok("status", str(path), code=1).stderr


def test_watch_prints_each_change_until_the_result(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --json, each change is one line."""
    do(results.put(a_task("t", status=Status.SUBMITTED)))
    looks: list[Found] = []

    def find_and_deliver(api: Api, subject: str) -> Found:
        looks.append(find(api, subject))
        if len(looks) == 2:
            do(store(results, "t", segment(0)))
        return looks[-1]

    monkeypatch.setattr(watching, "find", find_and_deliver)
    lines = ok("watch", "t", "--json").stdout.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["submitted", "succeeded"]


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
    do(results.put_submissions(entry(State.PENDING)))
    result = ok("audit")
    assert "ok       1 total submissions" in result.stdout


def test_audit_that_does_not_balance_exits_1_and_names_the_ids(results: Results) -> None:
    """A bought task whose callback is of another kind is no term of the sum."""
    do(results.put(a_task("odd", status=Status.UNRECOGNIZED, submission_id="b" * 32)))
    assert "not accounted for: odd" in ok("audit", code=1).stdout
    assert json.loads(ok("audit", "--json", code=1).stdout)["unaccounted"]["tasks"] == ["odd"]


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
