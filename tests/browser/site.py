"""The served pages, the browser that reads them, and a recording to play."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from msgspec.structs import replace
from playwright.async_api import Browser, async_playwright

from cli.local.processes import ChildProcess, free_port, function_process
from tests.browser.chromium import find_chromium
from tests.viewer import a_list, a_transcript
from transcripts.changes.speaker_names import SpeakerNames
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.embedded.objects import FolderObjects
from transcripts.ports import Write
from transcripts.retry import Retrier
from transcripts.submissions.submission import submission_path
from transcripts.tasks.task import Source, Task, task_path

BUCKET: Final = "uploads"
VIEWPORTS: Final = {
    "desktop": (1280, 800),
    "phone": (390, 664),
    "landscape": (667, 375),
    # A window of 1280 by 1024 at a zoom of 400 %.
    "zoomed": (320, 256),
}

PLAYER: Final = "document.querySelector('.player :is(audio, video):not([hidden])')"
"""The element that plays, in a script of a test."""

Scheme = Literal["light", "dark"]


@dataclass
class Site:
    """The served function, and its store."""

    process: ChildProcess
    documents: SqliteDocuments
    objects: FolderObjects

    @property
    def url(self) -> str:
        return self.process.url

    async def put(self, task: Task) -> None:
        await self.documents.commit(Write(task_path(task.task_id), task))

    async def rename(self, task_id: str, name: str, display_name: str) -> None:
        """Name a speaker as a program does."""
        await SpeakerNames(self.documents, Retrier()).rename(task_id, {name: display_name})

    async def put_recorded(self, task: Task, name: str) -> Path:
        """Store a task whose recording is in the bucket, and return the file."""
        path = self.objects.path(BUCKET, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recording(path)
        stored = self.objects.stat(BUCKET, name, None)
        await self.put(replace(task, source=Source(stored.uri, stored.generation, "audio/wav")))
        return path


@asynccontextmanager
async def serve_site(folder: Path) -> AsyncIterator[Site]:
    """Serve the list of ``tests.viewer``."""
    environ = {
        "TRANSCRIPTS_BACKEND": "embedded",
        "TRANSCRIPTS_DATA_DIR": str(folder),
    }
    process = function_process("results", free_port(), environ, folder / "results.log")
    await process.start()
    database = Database(folder)
    site = Site(process, SqliteDocuments(database), FolderObjects(folder))
    tasks, submissions = a_list()
    for task in tasks:
        await site.put(task)
    await site.put_recorded(a_transcript("played", count=60), "site meeting.wav")
    for entry in submissions:
        await site.documents.commit(Write(submission_path(entry.submission_id), entry))
    yield site
    database.close()
    await process.stop()


@asynccontextmanager
async def start_browser() -> AsyncIterator[Browser]:
    """Start the system's Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--autoplay-policy=no-user-gesture-required", "--mute-audio"],
        )
        yield browser
        await browser.close()


def write_recording(path: Path) -> Path:
    """Write five minutes of silence."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(b"\x80" * 8000 * 300)
    return path
