"""Uploading files, to the local bucket and through Google's client."""

from __future__ import annotations

import hashlib
import os
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage

from cli.client.progress import Progress
from cli.client.sessions import KEPT_S, Sessions
from cli.client.uploads import (
    CHUNK_BYTES,
    Bucket,
    FileChanged,
    Uploaded,
    object_name,
    read_content,
    usable_name,
)
from cli.failures import ExitCode, Failure, Unreachable
from tests.command_line import Reply, ScriptedServer, use_as_stack

NAME = f"{hashlib.sha256(b'media').hexdigest()[:16]}/talk.mp4"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """The bucket of a local stack, and its functions."""
    with ScriptedServer().running() as running:
        use_as_stack(running, tmp_path, monkeypatch)
        Path("talk.mp4").write_bytes(b"media")
        yield running


def test_object_name_depends_on_the_content_and_the_name(tmp_path: Path) -> None:
    """A file that changed is another object."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    first = object_name(path.name, read_content(path))
    path.write_bytes(b"two")
    assert object_name(path.name, read_content(path)) != first
    assert first.endswith("/a.mp4")


@pytest.mark.parametrize(
    ("file_name", "usable"),
    [(os.fsdecode(b"Gespr\xe4ch.mp4"), "Gespr\ufffdch.mp4"), ("two\nlines.mp4", "two_lines.mp4")],
)
def test_usable_name_has_no_character_that_an_object_may_not_have(
    file_name: str, usable: str
) -> None:
    """A name in Latin-1, and one of two lines."""
    assert usable_name(file_name) == usable


# Resumable uploads ------------------------------------------------------------------------------

BEGIN = "POST /upload/storage/v1/b/acme/o"
SESSION = "PUT /session"
TALK = Path("talk.mp4")
LARGE = bytes(CHUNK_BYTES) + b"the rest"
DONE = Reply(200, {"name": NAME, "generation": "7"})


def upload(server: ScriptedServer, positions: list[int] | None = None) -> Uploaded:
    """Upload the file; pauses take no time."""
    content = read_content(TALK)
    name = object_name(TALK.name, content)
    reported: list[int] = [] if positions is None else positions
    return Bucket("acme", server.url).upload(
        TALK, name, content, {"mavi-label-straße": "7"}, reported.append, sleep=lambda _: None
    )


def arrived(count: int) -> Reply:
    """Say that the first bytes have arrived."""
    return Reply(308, None, {"Range": f"bytes=0-{count - 1}"} if count else {})


def ranges(server: ScriptedServer) -> list[str]:
    """Return which bytes each request of the session has sent."""
    return [each.headers["content-range"] for each in server.of(SESSION)]


@pytest.fixture
def google(server: ScriptedServer) -> ScriptedServer:
    """A bucket that begins an upload."""
    server.on(BEGIN, Reply(200, {}, {"Location": f"{server.url}/session"}))
    return server


def test_upload_creates_the_object_once_with_checksum_and_labels(google: ScriptedServer) -> None:
    """The condition lets no object be replaced; the labels are its metadata, umlauts too."""
    google.on(SESSION, DONE)
    positions: list[int] = []
    uri = f"gs://acme/{object_name(TALK.name, read_content(TALK))}"
    assert upload(google, positions) == (uri, "7", False)
    (begun,) = google.of(BEGIN)
    assert "ifGenerationMatch=0" in begun.path
    assert begun.json()["metadata"] == {"mavi-label-straße": "7"}
    checksum = b64encode(google_crc32c.value(b"media").to_bytes(4, "big")).decode()
    assert begun.json()["crc32c"] == checksum
    (sent,) = google.of(SESSION)
    assert (sent.body, sent.headers["content-range"]) == (b"media", "bytes 0-4/5")
    assert positions[-1] == 5


def test_upload_goes_on_where_the_session_is_after_a_failure(google: ScriptedServer) -> None:
    """It asks how much has arrived: no byte, a part of what was sent, all but the rest."""
    TALK.write_bytes(LARGE)
    google.on(
        SESSION,
        Reply(503),
        arrived(0),
        arrived(CHUNK_BYTES // 2),
        arrived(CHUNK_BYTES),
        Reply(503),
        arrived(CHUNK_BYTES),
        DONE,
    )
    positions: list[int] = []
    assert upload(google, positions).generation == "7"
    size, half = len(LARGE), CHUNK_BYTES // 2
    assert ranges(google) == [
        f"bytes 0-{CHUNK_BYTES - 1}/{size}",
        f"bytes */{size}",
        f"bytes 0-{CHUNK_BYTES - 1}/{size}",
        f"bytes {half}-{size - 1}/{size}",
        f"bytes {CHUNK_BYTES}-{size - 1}/{size}",
        f"bytes */{size}",
        f"bytes {CHUNK_BYTES}-{size - 1}/{size}",
    ]
    assert google.of(SESSION)[-1].body == b"the rest"
    assert positions[-1] == size


def test_upload_of_which_no_byte_arrives_ends(google: ScriptedServer) -> None:
    """A session that takes nothing is not asked for ever."""
    google.on(SESSION, arrived(0))
    with pytest.raises(Unreachable, match="no more bytes arrive"):
        upload(google)


def test_interrupted_upload_goes_on_in_the_next_run(google: ScriptedServer) -> None:
    """The session is kept, for this user only; the content decides, not the file's name."""
    TALK.write_bytes(LARGE)
    google.on(SESSION, arrived(CHUNK_BYTES), Reply(403))
    with pytest.raises(Unreachable):
        upload(google)
    (kept,) = Sessions().folder.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    google.on(SESSION, arrived(CHUNK_BYTES), DONE)
    google.requests.clear()
    assert upload(google).generation == "7"
    assert google.of(BEGIN) == []
    assert ranges(google) == [
        f"bytes */{len(LARGE)}",
        f"bytes {CHUNK_BYTES}-{len(LARGE) - 1}/{len(LARGE)}",
    ]
    assert list(Sessions().folder.iterdir()) == []


@pytest.mark.parametrize("is_old", [False, True])
def test_session_that_has_ended_starts_anew(google: ScriptedServer, *, is_old: bool) -> None:
    """Cloud Storage forgets sessions after a week; one that is nearly so old is not used."""
    TALK.write_bytes(LARGE)
    google.on(SESSION, Reply(403))
    with pytest.raises(Unreachable):
        upload(google)
    (kept,) = Sessions().folder.iterdir()
    if is_old:
        os.utime(kept, (0, time.time() - KEPT_S - 1))
    google.on(SESSION, *[] if is_old else [Reply(410)], arrived(CHUNK_BYTES), DONE)
    google.requests.clear()
    assert upload(google).generation == "7"
    assert len(google.of(BEGIN)) == 1


def test_upload_whose_sessions_all_end_fails(google: ScriptedServer) -> None:
    """It does not begin for ever."""
    google.on(SESSION, Reply(404))
    with pytest.raises(Unreachable, match="ends every upload"):
        upload(google)
    assert len(google.of(BEGIN)) == 3


@pytest.mark.parametrize("content", [b"MEDIA", b"media, and more", b"med"])
def test_upload_of_a_file_that_changed_after_it_was_hashed_makes_no_object(
    google: ScriptedServer, content: bytes
) -> None:
    """A recorder may still write it: the bucket does not get its last bytes."""
    hashed = read_content(TALK)
    TALK.write_bytes(content)
    with pytest.raises(FileChanged):
        Bucket("acme", google.url).upload(TALK, NAME, hashed, {}, lambda _: None)
    assert google.of(SESSION) == []


def test_upload_that_goes_on_reads_again_what_was_sent(google: ScriptedServer) -> None:
    """The part that the first run has sent may have changed."""
    TALK.write_bytes(LARGE)
    hashed = read_content(TALK)
    google.on(SESSION, arrived(CHUNK_BYTES), Reply(403))
    with pytest.raises(Unreachable):
        upload(google)
    TALK.write_bytes(b"x" + LARGE[1:])
    google.on(SESSION, arrived(CHUNK_BYTES))
    metadata = {"mavi-label-straße": "7"}
    with pytest.raises(FileChanged):
        Bucket("acme", google.url).upload(TALK, NAME, hashed, metadata, lambda _: None)
    assert ranges(google)[-1] == f"bytes */{len(LARGE)}"


def test_upload_of_an_existing_object_is_no_error(google: ScriptedServer) -> None:
    """The same content has the same name."""
    google.on(BEGIN, Reply(412, {"error": {"code": 412, "message": "conditionNotMet"}}))
    assert upload(google).existed
    google.on(BEGIN, Reply(200, {}, {"Location": f"{google.url}/session"}))
    google.on(SESSION, Reply(412))
    assert upload(google).existed


@pytest.mark.parametrize(
    ("status", "code", "step"),
    [
        (403, ExitCode.NOT_AUTHORIZED, "uploaders"),
        (404, ExitCode.FAILED, "doctor"),
        (400, ExitCode.FAILED, "Nothing was bought"),
    ],
)
def test_upload_that_is_refused_says_what_to_do(
    google: ScriptedServer, monkeypatch: pytest.MonkeyPatch, status: int, code: ExitCode, step: str
) -> None:
    """The exit code tells missing rights from other failures."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.url)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    google.on(BEGIN, Reply(status, {"error": {"code": status, "message": "no"}}))
    with pytest.raises(Failure, match=step) as caught:
        Bucket("acme").upload(TALK, NAME, read_content(TALK), {}, lambda _: None)
    assert caught.value.exit_status == code


def test_upload_without_a_login_says_how_to_log_in(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google's client asks for Application Default Credentials."""

    def no_login() -> None:
        raise DefaultCredentialsError("none")

    monkeypatch.setattr(storage, "Client", no_login)
    with pytest.raises(Failure, match="application-default login") as caught:
        Bucket("acme").upload(TALK, NAME, read_content(TALK), {}, lambda _: None)
    assert caught.value.exit_status == ExitCode.NOT_AUTHORIZED


# Progress ---------------------------------------------------------------------------------------


def test_progress_off_a_terminal_is_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the share and the rate."""
    now = 0.0
    monkeypatch.setattr("cli.client.progress.time.monotonic", lambda: now)
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
    """On stderr, so stdout is data only; at the end the cursor is shown again, in a new line."""
    monkeypatch.setattr("cli.output.sys.stderr.isatty", lambda: True)
    with Progress("talk.mp4", 1024) as progress:
        progress.at(512)
        progress.at(1024)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "100%" in captured.err
    assert "MiB/s" in captured.err
    assert captured.err.endswith("\033[?25h\n")
