"""Refusals, outages and broken connections in the command line, and the exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
import urllib3
from msgspec.structs import replace

from cli.client import api
from cli.client import api as api_module
from cli.client.target import Choice, find_target
from cli.failures import ExitCode, Failure
from cli.local.processes import free_port
from cli.main import COMMANDS
from tests.command_line import Reply, ScriptedServer, error, transcripts
from tests.results import a_task, summary_of, whole_task
from transcripts.errors import ErrorAnswer
from transcripts.results.answers import Left, Part, SubmissionList, TaskDeleted, TaskList
from transcripts.tasks.task import Speaker, Status

PROGRAM = Path(sys.executable).with_name("transcripts")
EMPTY = Reply(200, TaskList([], None))
TASK = a_task("t", status=Status.SUCCEEDED, submission_id="s")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A server that stands for results and submit; no local stack is running."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(urllib3.Retry, "DEFAULT_BACKOFF_MAX", 0.01)
    with ScriptedServer().running() as running:
        monkeypatch.setenv("TRANSCRIPTS_URL", running.url)
        monkeypatch.setenv("TRANSCRIPTS_SUBMIT_URL", running.url)
        running.on("GET /submissions", Reply(200, SubmissionList([], None)))
        yield running


def test_command_without_a_pipeline_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local stack is the default, and is not running."""
    monkeypatch.chdir(tmp_path)
    result = transcripts("list")
    assert result.exit_code == 1
    assert "transcripts up" in result.stderr
    assert "--env NAME" in result.stderr


def test_command_with_env_and_url_is_a_usage_error() -> None:
    """They contradict each other."""
    assert transcripts("list", "--env", "a", "--url", "https://b.example").exit_code == 2


@pytest.mark.parametrize("url", ["http://results.example", "results.example", "ftp://a"])
def test_url_that_would_send_a_token_in_the_clear_is_a_usage_error(url: str) -> None:
    """Only addresses of this machine may be http."""
    result = transcripts("list", "--url", url)
    assert result.exit_code == 2
    assert "https://" in result.stderr


def test_submit_url_in_clear_text_is_a_usage_error() -> None:
    """Both addresses are sent the token."""
    choice = Choice(url="https://results.example", submit_url="http://submit.example")
    with pytest.raises(Failure, match=r"http://submit\.example is not") as raised:
        find_target(choice)
    assert raised.value.exit_status is ExitCode.USAGE


@pytest.mark.parametrize(
    "url",
    ["https://results.example/", "http://127.0.0.1:8085", "http://localhost:1", "http://[::1]:1"],
)
def test_address_with_tls_or_of_this_machine_is_accepted(url: str) -> None:
    """The slash at the end is not part of it."""
    target = find_target(Choice(url=url))
    assert (target.name, target.results_url) == (url, url.rstrip("/"))


def test_address_that_refuses_connections_is_named(server: ScriptedServer) -> None:
    """The message is one sentence, without a traceback."""
    url = f"http://127.0.0.1:{free_port()}"
    result = transcripts("list", "--url", url)
    assert result.exit_code == 1
    assert f"{url} refuses connections" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("status", "step"), [(401, "gcloud auth login"), (403, "results_callers")])
def test_refused_token_exits_4_and_says_what_to_do(
    server: ScriptedServer, status: int, step: str
) -> None:
    """Cloud Run answers these with HTML."""
    server.on("GET /tasks", Reply(status, b"<html>no</html>"))
    result = transcripts("list")
    assert result.exit_code == 4
    assert step in result.stderr
    assert "<html>" not in result.output


def test_token_is_sent_as_given_and_nowhere_shown(server: ScriptedServer) -> None:
    """By option or variable."""
    server.on("GET /tasks", EMPTY, Reply(401, b""))
    transcripts("list", "--token", "one-token")
    result = transcripts("list", env={"TRANSCRIPTS_TOKEN": "two-token"})
    sent = [request.headers["authorization"] for request in server.of("GET /tasks")]
    assert sent == ["Bearer one-token", "Bearer two-token"]
    assert "two-token" not in result.output


def test_local_server_is_called_without_a_token(server: ScriptedServer) -> None:
    """Functions of the local stack ask for none."""
    server.on("GET /tasks", EMPTY)
    transcripts("list")
    assert "authorization" not in server.requests[0].headers


def test_read_is_repeated_after_a_503(server: ScriptedServer) -> None:
    """A short outage is not seen."""
    outage = error(503, "store_unavailable", "The store is busy.")
    server.on("GET /tasks", outage, outage, EMPTY)
    assert transcripts("list").exit_code == 0
    assert len(server.of("GET /tasks")) == 3


def test_outage_that_lasts_fails_with_the_reason(server: ScriptedServer) -> None:
    """The message says when to try again."""
    reply = error(503, "store_unavailable", "The store is busy.")
    server.on("GET /tasks", Reply(503, reply.content, {"Retry-After": "0"}))
    result = transcripts("list")
    assert result.exit_code == 1
    assert "The store is busy. Try again in 0 s." in result.stderr


def test_answer_of_another_service_is_not_taken_for_results(server: ScriptedServer) -> None:
    """A page of HTML is no list."""
    server.on("GET /tasks", Reply(200, b"<html>"))
    result = transcripts("list")
    assert result.exit_code == 1
    assert "not that of the function" in result.stderr


def test_submit_is_not_repeated_after_an_outage(server: ScriptedServer) -> None:
    """Only the user decides to submit again."""
    server.on("POST /", error(503, "store_unavailable", "The store is busy."))
    assert transcripts("submit", "re_1").exit_code == 1
    assert len(server.requests) == 1


def test_export_that_breaks_off_leaves_no_file(server: ScriptedServer) -> None:
    """Half a transcript would look like a whole one."""
    server.on("GET /tasks/t.srt", Reply(200, b"1\n00:00", length=10_000))
    result = transcripts("export", "t", "-o", "t.srt")
    assert result.exit_code == 1
    assert "cut off" in result.stderr
    assert list(Path.cwd().iterdir()) == []


def test_unexpected_error_is_reported_without_a_traceback(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRANSCRIPTS_DEBUG shows the traceback."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError("made-up")

    monkeypatch.setattr(api.Api, "get", broken)
    result = transcripts("list")
    assert result.exit_code == 1
    assert "This is a bug" in result.stderr
    assert "Traceback" not in result.output
    monkeypatch.setenv("TRANSCRIPTS_DEBUG", "1")
    assert isinstance(transcripts("list").exception, KeyError)


@pytest.mark.parametrize(
    "body", [b'{"tasks": [{"task_id": 1}], "next_page_token": null}', b'{"unexpected": 1}', b"[]"]
)
def test_answer_of_another_shape_is_explained(server: ScriptedServer, body: bytes) -> None:
    """It is no bug of the command: the function is of another version, or another service."""
    server.on("GET /tasks", Reply(200, body))
    result = transcripts("list")
    assert result.exit_code == 1
    assert "The answer has another shape" in result.stderr


def test_answer_with_a_field_that_the_command_does_not_know_is_read(
    server: ScriptedServer,
) -> None:
    """A function may be newer than the command."""
    known = msgspec.json.encode(TaskList([summary_of(TASK)], None))
    server.on("GET /tasks", Reply(200, known.replace(b'{"task_id"', b'{"new":1,"task_id"')))
    assert transcripts("list").stdout.splitlines()[1].startswith("t ")


def test_interrupted_command_exits_130(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As shells expect after Ctrl-C."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api.Api, "get", interrupted)
    assert transcripts("list").exit_code == 130


def test_unknown_command_is_a_usage_error_with_a_guess() -> None:
    """click's own message."""
    result = transcripts("lst")
    assert (result.exit_code, "Did you mean 'list'?" in result.stderr) == (2, True)


def test_help_as_a_command_is_that_of_the_option() -> None:
    """Of one command, and of all."""
    assert transcripts("help", "watch").stdout == transcripts("watch", "--help").stdout
    assert transcripts("help").stdout == transcripts("--help").stdout


def test_version_is_that_of_the_package() -> None:
    """As pyproject.toml has it."""
    assert transcripts("--version").stdout == f"transcripts {version('mavi-transcripts')}\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("show", "nothing"), "not_found"), (("list", "--limit", "0"), "usage")],
)
def test_error_with_json_is_one_line_of_json(
    server: ScriptedServer, arguments: tuple[str, ...], code: str
) -> None:
    """On stderr, in the shape of the functions' errors; stdout stays empty."""
    result = transcripts(*arguments, "--json")
    assert msgspec.json.decode(result.stderr, type=ErrorAnswer).error.code == code
    assert result.stdout == ""


def test_full_disk_is_no_bug(server: ScriptedServer) -> None:
    """The command says that the output has no room, once."""
    server.on("GET /tasks", Reply(200, TaskList([summary_of(TASK)], None)))
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(  # noqa: S603 - our own command
            [PROGRAM, "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr == "Error: The output: No space left on device.\n"
    assert done.returncode == 1


def test_help_lists_every_command_with_a_sentence() -> None:
    """Each command's module exists and names it."""
    output = transcripts("--help").stdout
    for name in COMMANDS:
        assert f"  {name} " in output
        assert transcripts(name, "--help").exit_code == 0


def test_start_of_list_imports_no_large_library(server: ScriptedServer) -> None:
    """Google's libraries take longer than everything else together."""
    server.on("GET /tasks", EMPTY)
    script = (
        "import sys\nfrom cli.main import main\n"
        "try:\n    main(['list'])\nexcept SystemExit:\n    pass\n"
        "print(*sorted(name for name in sys.modules if '.' not in name), file=sys.stderr)"
    )
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.splitlines()[-1].split())
    assert not loaded & {"aiohttp", "asyncio", "requests", "grpc", "hcl2", "starlette"}
    assert "google.auth" not in done.stderr


def test_reader_that_closes_the_pipe_ends_the_command_quietly(server: ScriptedServer) -> None:
    """As in ``transcripts export t | head -1``."""
    server.on("GET /tasks/t.txt", Reply(200, b"line\n" * 400_000))
    script = "from cli.main import main; main(['export', 't', '-f', 'txt'])"
    done = subprocess.run(  # noqa: S603 - our own command
        ["/bin/sh", "-c", f'{sys.executable} -c "$0" | head -1', script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "line\n"
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_that_of_the_command(shell: str) -> None:
    """docs/commands.md has the line for a shell's start file."""
    result = transcripts(env={"_TRANSCRIPTS_COMPLETE": f"{shell}_source"})
    assert result.exit_code == 0
    assert "transcripts" in result.stdout
    words = {"_TRANSCRIPTS_COMPLETE": "bash_complete", "COMP_WORDS": "transcripts re"}
    completed = transcripts(env=words | {"COMP_CWORD": "1"}).stdout
    for command in ("show", "submit"):
        asked = {
            "_TRANSCRIPTS_COMPLETE": f"{shell}_complete",
            "COMP_CWORD": "2" if shell != "fish" else "",
        }
        words_of = {"COMP_WORDS": f"transcripts {command} "}
        assert transcripts(env=asked | words_of).stdout.startswith("file")
    assert "plain,replay" in completed
    assert "plain,rename" in completed


def test_no_color_keeps_escape_sequences_out(server: ScriptedServer) -> None:
    """Off a terminal there are none either."""
    failed = summary_of(a_task("t", status=Status.FAILED))
    server.on("GET /tasks", Reply(200, TaskList([failed], None)))
    assert "\x1b" not in transcripts("list").stdout
    assert "\x1b" not in transcripts("list", env={"NO_COLOR": "1"}).stdout


# watch ------------------------------------------------------------------------------------------


def test_watch_goes_on_through_an_outage(server: ScriptedServer) -> None:
    """stderr reports the outage."""
    outage = error(503, "store_unavailable", "The store is busy.")
    waiting = Reply(200, whole_task(a_task("t", status=Status.SUBMITTED)))
    done = Reply(200, whole_task(TASK))
    server.on("GET /tasks/t", waiting, outage, outage, outage, outage, done)
    result = transcripts("watch", "t")
    assert result.exit_code == 0
    assert "The watch goes on." in result.stderr


@pytest.mark.parametrize(
    "answer",
    [
        Reply(500, b"<html>"),
        Reply(404, b"<html>"),
        Reply(408, b""),
        Reply(403, b"<html>"),
        Reply(200, b"<html>Log in to this network"),
        Reply(302, b"", {"Location": "http://portal.example"}),
    ],
)
def test_watch_goes_on_after_an_answer_that_is_not_the_functions(
    server: ScriptedServer, answer: Reply
) -> None:
    """After a good answer, what a platform or a network says in between is an outage."""
    waiting = Reply(200, whole_task(a_task("t", status=Status.SUBMITTED)))
    server.on("GET /tasks/t", waiting, answer, Reply(200, whole_task(TASK)))
    result = transcripts("watch", "t")
    assert (result.exit_code, "The watch goes on." in result.stderr) == (0, True)


def test_watch_renews_a_token_that_has_expired(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token lasts an hour, a watch may take longer; a token that was just fetched is final."""
    tokens = iter(["first", "second", "third"])
    monkeypatch.setattr(api_module, "id_token", lambda *_: next(tokens))
    monkeypatch.setattr(api_module, "RENEW_AFTER_S", 0.0)
    waiting = Reply(200, whole_task(a_task("t", status=Status.SUBMITTED)))
    server.on("GET /tasks/t", waiting, Reply(401, b"<html>"), Reply(200, whole_task(TASK)))
    assert transcripts("watch", "t").exit_code == 0
    sent = [request.headers["authorization"] for request in server.of("GET /tasks/t")]
    assert sent == ["Bearer first", "Bearer first", "Bearer second"]
    monkeypatch.setattr(api_module, "RENEW_AFTER_S", 60.0)
    server.on("GET /tasks/t", Reply(401, b"<html>"))
    assert transcripts("watch", "t").exit_code == 4


# changes ----------------------------------------------------------------------------------------


def test_deletion_and_renormalizing_are_repeated_after_an_outage(server: ScriptedServer) -> None:
    """Each may be done twice."""
    outage = Reply(503, b"", {"Retry-After": "0"})
    server.on("DELETE /tasks/t", outage, Reply(204))
    server.on("POST /tasks/t/renormalize", outage, Reply(200, summary_of(TASK)))
    assert transcripts("delete", "t", "--yes").exit_code == 0
    assert transcripts("renormalize", "t").exit_code == 0


def test_rename_whose_answer_is_lost_is_not_repeated(server: ScriptedServer) -> None:
    """It may have happened, and the repetition would be told that the task has changed."""
    task = replace(TASK, speakers=[Speaker("s1", "Speaker 1", 1, 1, 1.0, 1.0, 0.0)])
    server.on("GET /tasks/t", Reply(200, whole_task(task), {"ETag": '"1"'}))
    server.on("PATCH /tasks/t/speaker_names", Reply(503, b""))
    assert transcripts("rename", "t", "s1=Ada").exit_code == 1
    (sent,) = server.of("PATCH /tasks/t/speaker_names")
    assert sent.headers["if-match"] == '"1"'
    assert sent.json() == {"Speaker 1": "Ada"}


def test_deletion_goes_on_after_one_that_fails(server: ScriptedServer) -> None:
    """Each is named with what became of it."""
    server.on("DELETE /tasks/a", Reply(204))
    server.on("DELETE /tasks/b", Reply(404, b"<html>"))
    server.on("DELETE /tasks/c", Reply(204))
    result = transcripts("delete", "a", "b", "c", "--yes")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["a", "c"]
    assert (result.exit_code, "b  " in result.stderr) == (1, True)


def test_deletion_that_leaves_something_exits_1_and_says_what(server: ScriptedServer) -> None:
    """The asset at Mavi, for example."""
    left = Left(Part.ASSET, "unavailable", "Delete the task again later.")
    server.on("DELETE /tasks/t", Reply(200, TaskDeleted("t", [left])))
    result = transcripts("delete", "t", "--yes", "--asset")
    assert result.exit_code == 1
    assert "left: asset (unavailable). Delete the task again later." in result.stderr
    (sent,) = server.of("DELETE /tasks/t")
    assert sent.path == "/tasks/t?asset=true"
