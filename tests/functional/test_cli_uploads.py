"""Uploading files, to the local bucket and through Google's client."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage

from cli.client.uploads import CHUNK_BYTES, GoogleBucket, LocalBucket, Progress, object_name
from cli.failures import ExitCode, Failure
from cli.local.state import LocalStack, write_state
from tests.command_line import Reply, ScriptedServer, error, transcripts
from transcripts.submissions.answers import EnqueueResult
from transcripts.submissions.submission import submission_id_of_object

NAME = f"{hashlib.sha256(b'media').hexdigest()[:16]}/talk.mp4"
RESOURCE = {"bucket": "uploads", "name": NAME, "generation": "7"}
LOCAL = f"PUT /uploads/{NAME}"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """The bucket of a local stack, and its functions."""
    monkeypatch.chdir(tmp_path)
    Path("talk.mp4").write_bytes(b"media")
    with ScriptedServer().running() as running:
        stack = LocalStack(
            pid=os.getpid(),
            backend="embedded",
            data_dir=str(tmp_path),
            urls={"results": running.url, "submit": running.url},
            bucket="uploads",
            bucket_url=running.url,
            callback_url="",
        )
        write_state(tmp_path / "stack.json", stack)
        monkeypatch.setenv("TRANSCRIPTS_STACK", str(tmp_path / "stack.json"))
        yield running


def test_submit_of_a_file_uploads_it_under_a_name_of_its_content(server: ScriptedServer) -> None:
    """Its submission is known at once, and the event of the bucket enqueues it."""
    server.on(LOCAL, Reply(200, RESOURCE))
    result = transcripts("submit", "talk.mp4", "--label", "case=7", "--json")
    assert result.exit_code == 0, result.output
    (item,) = json.loads(result.stdout)["submissions"]
    assert item["submission_id"] == submission_id_of_object(f"gs://uploads/{NAME}", "7")
    (sent,) = server.of(LOCAL)
    assert sent.body == b"media"
    assert sent.headers["content-type"] == "video/mp4"
    assert sent.headers["x-goog-meta-mavi-label-case"] == "7"
    assert server.of("POST /") == []


def test_submit_of_a_file_that_is_in_the_bucket_uploads_nothing(server: ScriptedServer) -> None:
    """submit says whether it was bought."""
    server.on(f"GET /storage/v1/b/uploads/o/{NAME}", Reply(200, RESOURCE))
    server.on("POST /", Reply(202, EnqueueResult(duplicates=["s"])))
    result = transcripts("submit", "talk.mp4")
    assert "talk.mp4  already bought  submission s" in result.stdout
    assert server.of("POST /")[0].json() == {"uri": f"gs://uploads/{NAME}"}
    assert server.of(LOCAL) == []


def test_submit_of_a_file_that_the_bucket_refuses_fails(server: ScriptedServer) -> None:
    """The answer is shown."""
    server.on(LOCAL, error(500, "x", "x"))
    assert transcripts("submit", "talk.mp4").exit_code == 1


def test_object_name_depends_on_the_content_and_the_name(tmp_path: Path) -> None:
    """A file that changed is another object."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    first = object_name(path)
    path.write_bytes(b"two")
    assert object_name(path) != first
    assert first.endswith("/a.mp4")


# Google's client --------------------------------------------------------------------------------

MULTIPART = "POST /upload/storage/v1/b/acme/o"
TALK = Path("talk.mp4")


@pytest.fixture
def google(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """The endpoint of Google's client."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    return server


def upload(google: ScriptedServer, positions: list[int] | None = None) -> object:
    """Upload the file with Google's client."""
    reported: list[int] = [] if positions is None else positions
    labels = {"mavi-label-case": "7"}
    return GoogleBucket("acme").upload(TALK, object_name(TALK), labels, reported.append)


def test_google_upload_creates_the_object_once(google: ScriptedServer) -> None:
    """The condition lets no object be replaced, and the labels are its metadata."""
    google.on(MULTIPART, Reply(200, {"name": NAME, "generation": "7"}))
    positions: list[int] = []
    assert upload(google, positions) == (f"gs://acme/{object_name(TALK)}", "7", False)
    (sent,) = google.of(MULTIPART)
    assert "ifGenerationMatch=0" in sent.path
    assert b'"metadata": {"mavi-label-case": "7"}' in sent.body
    assert b"media" in sent.body
    assert positions[-1] == 5


def test_google_upload_of_a_large_file_is_resumed_after_a_lost_chunk(
    google: ScriptedServer,
) -> None:
    """Google's client asks how much has arrived, sends the rest, and compares the checksum."""
    content = bytes(CHUNK_BYTES) + b"the rest"
    Path("talk.mp4").write_bytes(content)
    google.on(MULTIPART, Reply(200, {}, {"Location": f"{google.url}/session"}))
    arrived = Reply(308, None, {"Range": f"bytes=0-{CHUNK_BYTES - 1}"})
    checksum = b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    done = Reply(200, {"name": NAME, "generation": "7", "crc32c": checksum})
    google.on("PUT /session", Reply(503), arrived, done)
    positions: list[int] = []
    assert upload(google, positions) == (f"gs://acme/{object_name(TALK)}", "7", False)
    assert google.of("PUT /session")[-1].body == b"the rest"
    assert positions[-1] == len(content)


@pytest.mark.parametrize("content", [b"MEDIA", b"media, and more", b"med"])
def test_upload_of_a_file_that_changed_after_it_was_hashed_makes_no_object(
    google: ScriptedServer, content: bytes
) -> None:
    """A recorder may still write it: neither bucket gets its last bytes."""
    name = object_name(TALK)
    TALK.write_bytes(content)
    for bucket in (GoogleBucket("acme"), LocalBucket(google.url, "uploads")):
        with pytest.raises(Failure, match="changed while it was read"):
            bucket.upload(TALK, name, {}, lambda _: None)
    assert [each.body for each in google.requests if each.body] == []


def test_google_upload_of_an_existing_object_is_no_error(google: ScriptedServer) -> None:
    """The same content has the same name."""
    google.on(MULTIPART, Reply(412, {"error": {"code": 412, "message": "conditionNotMet"}}))
    assert upload(google) == (f"gs://acme/{object_name(TALK)}", None, True)


@pytest.mark.parametrize(
    ("status", "code", "step"),
    [
        (403, ExitCode.NOT_AUTHORIZED, "uploaders"),
        (401, ExitCode.NOT_AUTHORIZED, "application-default login"),
        (404, ExitCode.FAILED, "doctor"),
        (400, ExitCode.FAILED, "nothing was bought"),
    ],
)
def test_google_upload_that_is_refused_says_what_to_do(
    google: ScriptedServer, status: int, code: ExitCode, step: str
) -> None:
    """The exit code tells missing rights from other failures."""
    google.on(MULTIPART, Reply(status, {"error": {"code": status, "message": "no"}}))
    with pytest.raises(Failure, match=step) as caught:
        upload(google)
    assert caught.value.exit_status == code


def test_google_upload_without_a_login_says_how_to_log_in(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google's client asks for Application Default Credentials."""

    def no_login() -> None:
        raise DefaultCredentialsError("none")

    monkeypatch.setattr(storage, "Client", no_login)
    with pytest.raises(Failure, match="application-default login") as caught:
        upload(server)
    assert caught.value.exit_status == ExitCode.NOT_AUTHORIZED


# Progress ---------------------------------------------------------------------------------------


def test_progress_off_a_terminal_is_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the share and the rate."""
    now = 0.0
    monkeypatch.setattr("cli.client.uploads.time.monotonic", lambda: now)
    with Progress("talk.mp4", 100 * 1024**2) as progress:
        for step in range(1, 26):
            now = float(step)
            progress.at(step * 1024**2)
    assert capsys.readouterr().err.splitlines() == [
        "talk.mp4: 10 %, 1.0 MiB/s",
        "talk.mp4: 20 %, 1.0 MiB/s",
    ]


def test_progress_on_a_terminal_is_a_bar_with_the_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so stdout is data only."""
    monkeypatch.setattr("cli.client.uploads.sys.stderr.isatty", lambda: True)
    with Progress("talk.mp4", 1024) as progress:
        progress.at(512)
        progress.at(1024)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "100%" in captured.err
    assert "MiB/s" in captured.err
