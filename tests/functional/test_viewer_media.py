"""The recording of a transcript: where its page sends the browser, and why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes import MemoryDocuments, MemoryObjects, MemorySigner
from tests.functional.framework import load
from tests.functional.viewer_pages import Page
from tests.results import Results
from tests.viewer import a_transcript
from transcripts.embedded.objects import MEDIA_PATH
from transcripts.errors import (
    ObjectForbidden,
    ObjectNotFound,
    ObjectUnavailable,
    ObjectUnreadable,
)
from transcripts.tasks.task import Face, Source

SECRET = "X-Goog-Signature"


class Player:
    """The function with recordings in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **environ: str) -> None:
        self.memory, self.objects, self.signer = MemoryDocuments(), MemoryObjects(), MemorySigner()
        settings = {"GOOGLE_CLOUD_PROJECT": "p", "PLAY_MEDIA": "true", "UPLOAD_BUCKET": "uploads"}
        self.loaded = load("results", settings | environ, monkeypatch)
        fakes = {"objects": self.objects, "signer": self.signer}
        self.results = Results(self.loaded, self.memory, remove, fakes)

    async def put(self, uri: str = "gs://uploads/a.mp4", **changes: Any) -> None:
        source = Source(uri, "1", "video/mp4", 5)
        task = a_transcript("t", count=2, **({"source": source} | changes))
        await self.results.put(task)

    async def get(self, path: str = "/view/t/media") -> httpx.Response:
        async with self.loaded.client() as client:
            return await client.get(path)

    async def reason(self) -> str:
        """Return why the recording is not played."""
        answer = await self.get()
        assert answer.status_code in (404, 503)
        assert SECRET not in str(answer.headers)
        message: str = answer.json()["error"]["message"]
        return message


async def remove(path: str) -> None:
    raise NotImplementedError(path)


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch) -> Player:
    return Player(monkeypatch)


async def test_recording_is_at_a_signed_address_of_its_generation(player: Player) -> None:
    """The page names only a path of its own; no cache and no referrer keeps the address."""
    stored = player.objects.put("a.mp4")
    await player.put()
    page = await player.get("/view/t")
    assert 'data-recording="/view/t/media"' in page.text
    assert SECRET not in page.text
    assert player.signer.signed == {}
    answer = await player.get()
    assert (answer.status_code, answer.content) == (307, b"")
    assert player.signer.open(answer.headers["Location"]) == (stored, "video/mp4")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert SECRET in answer.headers["Location"]


async def test_signed_address_is_in_no_log(
    player: Player, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither of a success nor of a failure."""
    player.objects.put("a.mp4")
    await player.put()
    await player.get()

    def fail() -> None:
        raise ObjectForbidden("IAM refuses to sign.")

    player.signer.before = fail
    await player.get()
    assert [each["message"] for each in player.results.log] == ["recording_forbidden"]
    logged = "".join([*capfd.readouterr(), caplog.text, str(player.results.log)])
    assert SECRET not in logged
    assert "a.mp4" not in logged


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ObjectNotFound("x"), "no longer in the bucket"),
        (ObjectForbidden("x"), "may not read"),
        (ObjectUnavailable("x"), "Try again"),
        (ObjectUnreadable("customer_key", "x"), "encrypted with a key"),
        (ObjectUnreadable("requester_pays", "x"), "pay for it"),
        (ObjectUnreadable("object_unreadable", "x"), "refuses"),
    ],
)
async def test_recording_that_can_not_be_read_is_explained(
    player: Player, error: Exception, words: str
) -> None:
    """In words for readers; the operator's words are in the log."""

    def fail(_: str) -> None:
        raise error

    player.objects.before = fail
    await player.put()
    assert words in await player.reason()
    assert player.signer.signed == {}


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("a.mp4", {"generation": "2"}, "no longer in the bucket"),
        ("a.mp4", {"customer_encrypted": True}, "encrypted with a key"),
        ("a.mp4", {"content_encoding": "gzip"}, "stored compressed"),
        ("a.mp4", {"content_type": "text/html"}, "no audio or video"),
        ("a.mp4", {"content_type": "image/svg+xml"}, "no audio or video"),
        ("a.html", {"content_type": "text/plain"}, "no audio or video"),
        ("a.html", {"content_type": "video/mp4"}, "no audio or video"),
        ("a", {"content_type": None}, "no audio or video"),
    ],
)
async def test_object_that_no_browser_plays_is_explained(
    player: Player, name: str, more: dict[str, Any], words: str
) -> None:
    """No address is signed for an object that a browser could show as a page."""
    player.objects.put(name, **more)
    await player.put(f"gs://uploads/{name}")
    assert words in await player.reason()
    assert player.signer.signed == {}


@pytest.mark.parametrize(
    ("name", "content_type", "played"),
    [
        ("a.wav", "audio/x-wav", "audio/wav"),
        ("a.mp3", "application/octet-stream", "audio/mpeg"),
        ("talk", "audio/mp4; codecs=mp4a", "audio/mp4"),
        ("a.mkv", None, "video/matroska"),
    ],
)
async def test_recording_is_played_with_the_type_of_its_format(
    player: Player, name: str, content_type: str | None, played: str
) -> None:
    """The type that the uploader has set does not matter."""
    stored = player.objects.put(name, content_type=content_type)
    await player.put(f"gs://uploads/{name}")
    answer = await player.get()
    assert player.signer.open(answer.headers["Location"]) == (stored, played)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": None}, "requested by an asset id"),
        ({"source": Source("gs://elsewhere/a.mp4", "1")}, "bucket elsewhere."),
        ({"source": Source("https://uploads/a.mp4", "1")}, "requested by an asset id"),
        (
            {"source": None, "faces": [Face("f", "n", "gs://uploads/a.mp4")]},
            "requested by an asset id",
        ),
    ],
)
async def test_only_the_object_of_the_submission_is_played(
    player: Player, changes: dict[str, Any], words: str
) -> None:
    """Of the bucket of uploads; the page says so without asking the storage."""
    asked: list[str] = []
    player.objects.before = asked.append
    player.objects.put("a.mp4")
    await player.put(**changes)
    assert words in await player.reason()
    page = await player.get("/view/t?uri=gs://uploads/a.mp4&generation=1")
    assert "data-recording" not in page.text
    assert words in Page(page).text
    assert words in (await player.get("/view/t/media?uri=gs://uploads/a.mp4")).text
    assert asked == []


@pytest.mark.parametrize(
    "environ", [{"PLAY_MEDIA": "false"}, {"PLAY_MEDIA": ""}, {"UPLOAD_BUCKET": ""}]
)
async def test_recordings_are_not_played_unless_that_is_switched_on(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    """The page keeps the button for a file of the reader's own."""
    player = Player(monkeypatch, **environ)
    player.objects.put("a.mp4")
    await player.put()
    assert "does not play recordings" in await player.reason()
    page = Page(await player.get("/view/t"))
    assert "does not play recordings" in page.text
    assert "Play a recording from this device" in page.text


async def test_recording_of_a_missing_task_is_not_found(player: Player) -> None:
    """As the task itself."""
    assert (await player.get()).json()["error"]["code"] == "task_not_found"


LOCAL = {"TRANSCRIPTS_BACKEND": "embedded"}
EMULATED = {"TRANSCRIPTS_BACKEND": "google", "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"}


@pytest.mark.parametrize(("environ", "served"), [(LOCAL, True), (EMULATED, True), ({}, False)])
async def test_function_serves_files_on_the_local_stack_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environ: dict[str, str], *, served: bool
) -> None:
    """In the cloud there is no such route."""
    settings = {"GOOGLE_CLOUD_PROJECT": "p", "TRANSCRIPTS_DATA_DIR": str(tmp_path)}
    results = Results(load("results", settings | environ, monkeypatch), MemoryDocuments(), remove)
    error = await results.error(MEDIA_PATH, 404)
    assert ("no longer valid" in error["message"]) is served
