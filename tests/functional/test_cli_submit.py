"""The command `submit`: which files it takes, what they cost, and what became of each."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import wave
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.client.api import Api
from cli.client.progress import MIN_READ_BYTES, Progress
from cli.client.recordings import duration_s
from cli.client.submitting import Input, Submitter
from cli.client.uploads import Content, OnPosition, read_content
from tests.command_line import Reply, ScriptedServer, error, transcripts, use_as_stack
from tests.functional.test_cli_terminal import Terminal
from tests.results import a_submission, a_task, whole_task
from transcripts.results.answers import SubmissionList, TaskList
from transcripts.results.views import submission_view
from transcripts.submissions.answers import EnqueueResult, Receipt
from transcripts.submissions.requests import RequestBody
from transcripts.submissions.submission import (
    State,
    Submission,
    submission_id_of_asset,
    submission_id_of_object,
)
from transcripts.tasks.task import Source, Status, Task

HASH = hashlib.sha256(b"media").hexdigest()[:16]
NAME = f"{HASH}/talk.mp4"
BEGIN = "POST /upload/storage/v1/b/uploads/o"
FORBIDDEN = Reply(403, b"<html>")
SIX_MINUTES = 360.0


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A local stack that knows nothing yet, and a file that is 5 bytes long."""
    with ScriptedServer().running() as running:
        use_as_stack(running, tmp_path, monkeypatch)
        Path("talk.mp4").write_bytes(b"media")
        running.on("GET /submissions", Reply(200, SubmissionList([], None)))
        running.on("GET /tasks", Reply(200, TaskList([], None)))
        running.on(BEGIN, Reply(200, {}, {"Location": f"{running.url}/session"}))
        running.on("PUT /session", Reply(200, {"name": NAME, "generation": "7"}))
        yield running


def know(server: ScriptedServer, entry: Submission, task: Task | None = None) -> None:
    """Let the stack know a submission, by its id and by its content, and its task."""
    view = submission_view(entry)
    server.on("GET /submissions", Reply(200, SubmissionList([view], None)))
    server.on(f"GET /submissions/{entry.submission_id}", Reply(200, view))
    if task is not None:
        server.on(f"GET /tasks/{task.task_id}", Reply(200, whole_task(task)))


def bought(**changes: Any) -> Submission:
    """Return the submission of the file, under the name that it had."""
    source = Source(f"gs://uploads/{HASH}/first.mp4", "1")
    more: dict[str, Any] = {
        "state": State.SUBMITTED,
        "task_id": "t",
        "source": source,
        "asset_id": "re_1",
    }
    return a_submission("s", **more | changes)


def submissions(*arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """Run submit with --json."""
    result = transcripts("submit", *arguments, "--json")
    assert result.exit_code == code, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["submissions"]
    return found


# Which files ------------------------------------------------------------------------------------


def test_submit_of_a_file_uploads_it_under_a_name_of_its_content(server: ScriptedServer) -> None:
    """Its submission is known at once, and the event of the bucket enqueues it."""
    (item,) = submissions("talk.mp4", "--label", "case=7")
    assert item["submission_id"] == submission_id_of_object(f"gs://uploads/{NAME}", "7")
    assert (item["state"], item["labels"]) == ("queued", {"case": "7"})
    (begun,) = server.of(BEGIN)
    assert begun.headers["x-upload-content-type"] == "video/mp4"
    assert begun.json()["metadata"] == {"mavi-label-case": "7"}
    assert server.of("POST /") == []


def test_submit_of_all_files_of_a_folder_takes_the_media(server: ScriptedServer) -> None:
    """The others are named with the reason, before anything is sent, and are no failure."""
    Path("folder").mkdir()
    for name in ("notes.txt", "._talk.mp4", "talk.mp4.part", "noextension"):
        Path(name).write_bytes(b"x")
    items = submissions(
        "folder", "notes.txt", "._talk.mp4", "talk.mp4.part", "noextension", "talk.mp4"
    )
    assert {item["input"]: item["reason"] or item["state"] for item in items} == {
        "folder": "folder",
        "notes.txt": "not_media",
        "._talk.mp4": "apple_double",
        "talk.mp4.part": "unfinished_download",
        "noextension": "not_media",
        "talk.mp4": "queued",
    }
    result = transcripts("submit", "notes.txt", "folder")
    assert (
        "folder  left out: It is a folder. To submit the media below it: --recursive"
        in result.stderr
    )
    assert (result.exit_code, "no media file" in result.stderr) == (1, True)
    assert len(server.of(BEGIN)) == 1


def test_submit_of_a_recording_that_cannot_be_taken_fails(server: ScriptedServer) -> None:
    """An empty file and one over the limit are meant to be recordings, so scripts must notice."""
    Path("empty.mp4").touch()
    with Path("large.mp4").open("wb") as file:
        file.truncate(5 * 1024**3 + 1)
    items = submissions("empty.mp4", "large.mp4", "talk.mp4", code=1)
    assert [item["reason"] or item["state"] for item in items] == ["empty", "too_large", "queued"]
    assert len(server.of(BEGIN)) == 1


def test_submit_recursive_takes_the_media_below_a_folder(server: ScriptedServer) -> None:
    """Hidden files and folders are not looked at."""
    for name, content in {
        "b/c.mp4": b"1",
        "a.mp4": b"2",
        ".git/d.mp4": b"3",
        "n.txt": b"4",
    }.items():
        path = Path("folder", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    items = submissions("folder", "--recursive")
    assert [(item["input"], item["reason"]) for item in items] == [
        ("folder/n.txt", "not_media"),
        ("folder/a.mp4", None),
        ("folder/b/c.mp4", None),
    ]


def test_submit_recursive_goes_on_after_a_folder_that_cannot_be_read(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and is a failure."""
    for name in ("a", "b"):
        Path("folder", name).mkdir(parents=True)
        Path("folder", name, "talk.mp4").write_bytes(name.encode())
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if Path(path).name == "a":
            # The tests may run as root, who may read anything.
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    items = submissions("folder", "--recursive", code=1)
    assert [(item["input"], item["reason"]) for item in items] == [
        ("folder/a", "file_unreadable"),
        ("folder/b/talk.mp4", None),
    ]


def test_submit_of_an_object_with_a_long_name_is_no_file(server: ScriptedServer) -> None:
    """No file system takes the name."""
    server.on("POST /", Reply(202, EnqueueResult(queued=["s"])))
    (item,) = submissions(f"gs://b/{'a' * 300}.mp4")
    assert item["state"] == "queued"


def test_submit_of_a_file_whose_name_is_no_utf8_works(server: ScriptedServer) -> None:
    """The byte that is no letter is replaced, in the object's name and in every line."""
    Path(os.fsdecode(b"Gespr\xe4ch.mp4")).write_bytes(b"other")
    items = submissions(*map(str, Path().glob("*.mp4")))
    assert {item["input"] for item in items} == {"Gespr\ufffdch.mp4", "talk.mp4"}
    names = {each.json()["name"].partition("/")[2] for each in server.of(BEGIN)}
    assert names == {"Gespr\ufffdch.mp4", "talk.mp4"}


@pytest.mark.parametrize("given", ["missing.mp4", "/dev/null"])
def test_submit_of_something_that_is_no_file_sends_nothing(
    server: ScriptedServer, given: str
) -> None:
    """All inputs are checked before the first is sent."""
    result = transcripts("submit", "re_1", given)
    assert (result.exit_code, given in result.stderr) == (2, True)
    assert server.requests == []


def test_submit_of_a_generation_names_it(server: ScriptedServer) -> None:
    """As gcloud writes it; a name may have the sign too."""
    server.on("POST /", Reply(202, EnqueueResult(queued=["s"])))
    transcripts("submit", "gs://b/a.mp4#17", "gs://b/take#b.mp4")
    assert [each.json() for each in server.of("POST /")] == [
        {"uri": "gs://b/a.mp4", "generation": "17"},
        {"uri": "gs://b/take#b.mp4"},
    ]


# What is known already --------------------------------------------------------------------------


def test_submit_of_a_bought_recording_under_another_name_uploads_nothing(
    server: ScriptedServer,
) -> None:
    """It is known by its content; new labels are added, and the answer has them all."""
    know(server, bought(labels={"case": "7"}), a_task("t", status=Status.SUCCEEDED))
    result = transcripts("submit", "talk.mp4")
    assert result.stdout == "talk.mp4  already bought  submission s  task t  labels case=7\n"
    assert server.of("GET /submissions")[0].path == f"/submissions?name={HASH}&page_size=20"
    labels = {"case": "7", "part": "2"}
    server.on("POST /", Reply(200, Receipt("t", "s", duplicate=True, labels=labels)))
    (item,) = submissions("talk.mp4", "--label", "part=2")
    assert (item["duplicate"], item["labels"]) == (True, labels)
    assert [each.json() for each in server.of("POST /")] == [
        {"asset_id": "re_1", "labels": {"part": "2"}}
    ]
    assert server.of(BEGIN) == []


@pytest.mark.parametrize(
    ("status", "reason"), [(Status.FAILED, "failed"), (None, "transcript_deleted")]
)
@pytest.mark.parametrize("given", ["talk.mp4", "re_1", "gs://uploads/a.mp4"])
def test_submit_of_a_recording_without_a_transcript_is_no_success(
    server: ScriptedServer, given: str, status: Status | None, reason: str
) -> None:
    """Mavi could not transcribe it, or it was deleted: the way on is --force."""
    know(server, bought(), a_task("t", status=status) if status else None)
    server.on(
        "POST /",
        Reply(200, Receipt("t", "s", duplicate=True))
        if given == "re_1"
        else Reply(202, EnqueueResult(duplicates=["s"])),
    )
    result = transcripts("submit", given)
    assert "already bought" not in result.output
    assert (result.exit_code, "force" in result.stderr) == (1, True)
    (item,) = submissions(given, code=1)
    assert (item["reason"], item["task_id"], item["duplicate"]) == (reason, "t", False)
    assert server.of(BEGIN) == []


def test_submit_of_a_file_whose_object_was_deleted_uploads_it_again_to_buy_it_again(
    server: ScriptedServer,
) -> None:
    """Under the name that it had, and submit is asked to buy it."""
    know(server, bought(), a_task("t", status=Status.SUCCEEDED))
    server.on("POST /", Reply(202, EnqueueResult(queued=["s"])))
    (item,) = submissions("talk.mp4", "--force", "--yes")
    assert item["state"] == "queued"
    assert server.of(BEGIN)[0].json()["name"] == f"{HASH}/first.mp4"
    assert server.of("POST /")[0].json() == {
        "uri": f"gs://uploads/{HASH}/first.mp4",
        "force": True,
    }


def test_submit_of_a_file_that_is_being_written_stops_no_other(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program is told by the reason."""
    Path("growing.mp4").write_bytes(b"one")

    def read_and_write(path: Path, on_position: OnPosition) -> Content:
        content = read_content(path, on_position)
        if path.name == "growing.mp4":
            path.write_bytes(b"one, two")
        return content

    monkeypatch.setattr("cli.client.submitting.read_content", read_and_write)
    first, second = submissions("growing.mp4", "talk.mp4", code=1)
    assert (first["reason"], second["state"]) == ("file_changed", "queued")


@pytest.mark.parametrize(
    ("step", "options", "state"), [("submit", (), "queued"), ("estimate", ("--dry-run",), "new")]
)
def test_submit_of_a_file_that_is_gone_stops_no_other(
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    options: tuple[str, ...],
    state: str,
) -> None:
    """It was there when the command began."""
    Path("gone.mp4").write_bytes(b"one")
    work = getattr(Submitter, step)

    def remove_and_work(submitter: Submitter, inputs: Collection[Input]) -> Any:
        Path("gone.mp4").unlink()
        return work(submitter, inputs)

    monkeypatch.setattr(Submitter, step, remove_and_work)
    first, second = submissions("gone.mp4", "talk.mp4", *options, code=1)
    assert (first["reason"], second["state"]) == ("file_unreadable", state)


def test_submit_of_two_files_with_the_same_bytes_uploads_one(server: ScriptedServer) -> None:
    """Both have the same submission."""
    Path("copy.mp4").write_bytes(b"media")
    first, second = submissions("talk.mp4", "copy.mp4")
    assert (first["submission_id"], second["duplicate"]) == (second["submission_id"], True)
    assert len(server.of(BEGIN)) == 1


def test_submit_by_a_caller_who_may_only_upload_works(server: ScriptedServer) -> None:
    """What is known already only saves an upload."""
    server.on("GET /submissions", FORBIDDEN)
    (item,) = submissions("talk.mp4")
    assert item["state"] == "queued"


def test_submit_of_a_file_that_waits_in_the_bucket_asks_submit(server: ScriptedServer) -> None:
    """The event of an object comes once."""
    server.on(BEGIN, Reply(412, {"error": {"code": 412, "message": "conditionNotMet"}}))
    server.on("POST /", Reply(202, EnqueueResult(queued=["s"], labels={"s": {"case": "7"}})))
    result = transcripts("submit", "talk.mp4")
    assert result.stdout == "talk.mp4  queued  submission s  labels case=7\n"
    assert server.of("POST /")[0].json() == {"uri": f"gs://uploads/{NAME}"}


# What it costs ----------------------------------------------------------------------------------


def record(path: str, seconds: int) -> None:
    """Write a recording of silence."""
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(100)
        file.writeframes(bytes(100 * seconds))


def test_submit_dry_run_says_what_would_be_bought_and_buys_nothing(server: ScriptedServer) -> None:
    """The length of a file comes from its headers; that of a purchase from its task."""
    record("six.wav", 360)
    result = transcripts("submit", "--dry-run", "six.wav", "talk.mp4", "re_1")
    assert result.stdout.splitlines() == [
        "six.wav  new  6:00  about $0.60",
        "talk.mp4  new  length unknown  $0.10 a minute",
        "re_1  new  length unknown  $0.10 a minute",
    ]
    total = "3 recordings for about $0.60, and $0.10 a minute for 2 of unknown length."
    assert f"Nothing was uploaded or bought. It would be: {total}" in result.stderr
    know(server, bought(), a_task("t", status=Status.SUCCEEDED, duration_s=SIX_MINUTES))
    result = transcripts("submit", "--dry-run", "talk.mp4")
    assert result.stdout == "talk.mp4  bought, succeeded  task t  6:00  nothing to pay\n"
    (item,) = submissions("--dry-run", "--force", "talk.mp4")
    assert (item["duration_s"], item["cost_usd"]) == (SIX_MINUTES, pytest.approx(0.60))
    assert [each for each in server.requests if each.method != "GET"] == []


def test_submit_dry_run_counts_a_recording_once(server: ScriptedServer) -> None:
    """A copy of a file is not bought, and a file that is no media is left out."""
    Path("copy.mp4").write_bytes(b"media")
    Path("notes.txt").write_bytes(b"x")
    items = submissions("--dry-run", "talk.mp4", "copy.mp4", "notes.txt")
    assert [(item["state"], item["cost_usd"]) for item in items] == [
        ("left_out", None),
        ("new", None),
        ("new", 0.0),
    ]


def test_submit_dry_run_of_what_cannot_be_read_fails(server: ScriptedServer) -> None:
    """Saying "new" would be a guess."""
    server.on("GET /submissions", FORBIDDEN)
    (item,) = submissions("--dry-run", "talk.mp4", code=4)
    assert item["state"] == "failed"


def test_submit_force_off_a_terminal_needs_yes(server: ScriptedServer) -> None:
    """It pays again, so nobody's script does it by accident."""
    result = transcripts("submit", "--force", "talk.mp4")
    assert (result.exit_code, "--yes" in result.stderr) == (2, True)
    assert [each for each in server.requests if each.method != "GET"] == []


@pytest.mark.parametrize(("answer", "code", "purchases"), [("y\n", 0, 1), ("n\n", 3, 0)])
def test_submit_force_on_a_terminal_says_the_price_and_asks(
    server: ScriptedServer, answer: str, code: int, purchases: int
) -> None:
    """Declining exits with 3, and nothing is bought."""
    know(server, bought(), a_task("t", status=Status.SUCCEEDED, duration_s=SIX_MINUTES))
    server.on("POST /", Reply(202, Receipt("t2", "s", duplicate=False)))
    terminal = Terminal(
        server, "submit", "--force", "re_1", "--submit-url", server.url, TRANSCRIPTS_STACK=""
    )
    terminal.read_until("[y/N]")
    assert "re_1  bought, succeeded  task t  6:00  about $0.60" in terminal.output
    assert "Buy about $0.60?" in terminal.output
    terminal.type(answer)
    assert terminal.end() == code
    assert len(server.of("POST /")) == purchases


@pytest.mark.parametrize(
    ("name", "content", "seconds"),
    [
        ("a.mp4", b"", None),
        ("a.mp4", b"no media", None),
        ("a.mkv", b"\x1aE\xdf\xa3", None),
    ],
)
def test_duration_of_what_cannot_be_read_is_not_known(
    tmp_path: Path, name: str, content: bytes, seconds: float | None
) -> None:
    """It is an estimate for people, and stops nothing."""
    (tmp_path / name).write_bytes(content)
    assert duration_s(tmp_path / name) == seconds


# A bad day --------------------------------------------------------------------------------------


def test_submit_of_an_asset_prints_its_task(server: ScriptedServer) -> None:
    """Labels and force are passed on."""
    server.on("POST /", Reply(202, Receipt("t", "s", duplicate=False)))
    result = transcripts("submit", "re_1", "--label", "case=7", "--force", "--yes")
    assert "re_1  submitted  submission s  task t" in result.stdout
    assert server.of("POST /")[0].json() == {
        "asset_id": "re_1",
        "labels": {"case": "7"},
        "force": True,
    }


def test_submit_of_a_bought_asset_says_so(server: ScriptedServer) -> None:
    """Nothing was paid."""
    server.on("POST /", Reply(200, Receipt("t", "s", duplicate=True)))
    assert "already bought" in transcripts("submit", "re_1").stdout
    (item,) = json.loads(transcripts("submit", "re_1", "--json").stdout)["submissions"]
    assert item["duplicate"] is True


def test_submit_of_several_assets_is_one_request(server: ScriptedServer) -> None:
    """submit paces them; one that was not enqueued makes the command fail."""
    server.on(
        "POST /",
        Reply(202, EnqueueResult(queued=[submission_id_of_asset("re_1")], failed=["re_2"])),
    )
    result = transcripts("submit", "re_1", "re_2", "re_1")
    assert server.of("POST /")[0].json() == {"asset_ids": ["re_1", "re_2"]}
    assert "re_1  queued" in result.stdout
    assert "re_2  failed" in result.stderr
    assert result.exit_code == 1


def test_submit_of_an_object_whose_answer_was_lost_explains_the_choice(
    server: ScriptedServer,
) -> None:
    """Buying again may pay twice, so it needs --force."""
    server.on("POST /", Reply(202, EnqueueResult(unknown=["s"])))
    result = transcripts("submit", "gs://b/a.mp4")
    assert result.exit_code == 1
    assert "--force" in result.stderr


def test_submit_of_an_object_whose_transcript_was_deleted_explains_the_choice(
    server: ScriptedServer,
) -> None:
    """Only --force buys it again."""
    server.on("POST /", Reply(202, EnqueueResult(deleted=["s"])))
    result = transcripts("submit", "gs://b/a.mp4")
    assert result.exit_code == 1
    assert "gs://b/a.mp4  deleted: It was bought" in result.stderr


def test_submit_goes_on_after_an_input_that_is_refused(server: ScriptedServer) -> None:
    """The refusal is shown beside its input."""
    refused = error(400, "object_refused", "This object can't be transcribed.")
    server.on("POST /", refused, Reply(202, EnqueueResult(queued=["s"])))
    result = transcripts("submit", "gs://b/a.txt", "gs://b/a.mp4")
    assert "gs://b/a.txt  failed: This object can't be transcribed." in result.stderr
    assert "gs://b/a.mp4  queued" in result.stdout
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(503, b""), "unreachable"),
        (Reply(502, b"<html>"), "unreachable"),
        (Reply(401, b"<html>"), "not_authorized"),
        (Reply(200, b"<html>"), "unreachable"),
        (error(400, "object_refused", "This object can't be transcribed."), "object_refused"),
    ],
)
def test_submit_of_a_batch_says_what_became_of_each_input(
    server: ScriptedServer, reply: Reply, reason: str
) -> None:
    """However one fails: those before it are named, and those after it are submitted."""
    good = [Reply(202, EnqueueResult(queued=[name])) for name in ("s1", "s3")]
    server.on("POST /", good[0], reply, good[1])
    result = transcripts("submit", "gs://b/1.mp4", "gs://b/2.mp4", "gs://b/3.mp4", "--json")
    submissions = json.loads(result.stdout)["submissions"]
    assert [each["submission_id"] for each in submissions] == ["s1", None, "s3"]
    assert [each["reason"] for each in submissions] == [None, reason, None]
    assert result.exit_code == (4 if reason == "not_authorized" else 1)


def test_submit_by_somebody_who_may_not_exits_4(server: ScriptedServer) -> None:
    """As every command does."""
    server.on("POST /", FORBIDDEN)
    assert [item["reason"] for item in submissions("re_1", code=4)] == ["not_authorized"]


def test_submit_that_is_interrupted_has_named_what_was_bought(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As text and as JSON."""
    server.on("POST /", Reply(202, EnqueueResult(queued=["s1"])))
    submit = Api.submit

    def interrupted(api: Api, body: RequestBody, kind: Any) -> Any:
        if body.uri == "gs://b/2.mp4":
            raise KeyboardInterrupt
        return submit(api, body, kind)

    monkeypatch.setattr(Api, "submit", interrupted)
    inputs = ("gs://b/1.mp4", "gs://b/2.mp4", "gs://b/3.mp4")
    result = transcripts("submit", *inputs)
    assert (result.exit_code, "gs://b/1.mp4  queued  submission s1" in result.stdout) == (130, True)
    assert "1 of 3 were submitted, as said above. To go on, repeat the command" in result.stderr
    result = transcripts("submit", *inputs, "--json")
    (bought,) = json.loads(result.stdout)["submissions"]
    assert (result.exit_code, bought["submission_id"]) == (130, "s1")


def test_progress_of_reading_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe gets no line of it, however long it takes."""
    now = 0.0
    monkeypatch.setattr("cli.client.progress.time.monotonic", lambda: now)
    for is_terminal in (False, True):
        monkeypatch.setattr("cli.output.sys.stderr.isatty", lambda shown=is_terminal: shown)
        with Progress("reading talk.mp4", MIN_READ_BYTES, quiet=True) as progress:
            now += 100.0
            progress.at(MIN_READ_BYTES)
        assert ("reading talk.mp4" in capsys.readouterr().err) is is_terminal
