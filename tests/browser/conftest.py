"""The system's Chromium, and the function ``results`` that it reads from."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, async_playwright

from cli.processes import free_port, function_process
from tests.browser.chromium import find_chromium
from tests.viewer import a_list, a_transcript
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.ports import Write
from transcripts.submissions.submission import submission_path
from transcripts.tasks.task import Task, task_path

VIEWPORTS: Final = {"desktop": (1280, 800), "phone": (390, 844)}

Scheme = Literal["light", "dark"]


@dataclass
class Site:
    """The served function, and its store."""

    url: str
    documents: SqliteDocuments

    async def put(self, task: Task) -> None:
        await self.documents.commit(Write(task_path(task.task_id), task))


@dataclass
class Tab:
    """A page of the browser, and everything that went wrong in it."""

    page: Page
    site: Site
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page, own = self.page, urlsplit(self.site.url).netloc
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))

        def on_failed(request: Any) -> None:
            # The media player ends the requests for parts that it no longer needs.
            if not request.url.startswith("blob:"):
                self.faults.append(f"failed: {request.url}")

        def on_console(message: Any) -> None:
            if message.type in ("error", "warning"):
                self.faults.append(f"console: {message.text}")

        def on_request(request: Any) -> None:
            parts = urlsplit(request.url)
            if parts.scheme != "blob" and parts.netloc != own:
                self.faults.append(f"foreign: {request.url}")

        page.on("console", on_console)
        page.on("request", on_request)
        page.on("requestfailed", on_failed)

    async def open(self, path: str) -> None:
        await self.page.goto(self.site.url + path)


OpenTab = Callable[..., Awaitable[Tab]]


@pytest.fixture(scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Serve the list of ``tests.viewer``; a test that changes a transcript stores its own."""
    folder = tmp_path_factory.mktemp("site")
    environ = {"TRANSCRIPTS_BACKEND": "embedded", "TRANSCRIPTS_DATA_DIR": str(folder)}
    process = function_process("results", free_port(), environ, folder / "results.log")
    await process.start()
    database = Database(folder)
    site = Site(process.url, SqliteDocuments(database))
    tasks, submissions = a_list()
    for task in tasks:
        await site.put(task)
    for entry in submissions:
        await site.documents.commit(Write(submission_path(entry.submission_id), entry))
    yield site
    database.close()
    await process.stop()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--autoplay-policy=no-user-gesture-required", "--mute-audio"],
        )
        yield browser
        await browser.close()


@pytest.fixture
async def open_tab(site: Site, browser: Browser) -> AsyncIterator[OpenTab]:
    """Open tabs; the test fails if anything goes wrong in one of them."""
    tabs: list[Tab] = []

    async def open_tab(
        path: str, *, size: str = "desktop", scheme: Scheme = "light", script: bool = True
    ) -> Tab:
        width, height = VIEWPORTS[size]
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            java_script_enabled=script,
            accept_downloads=True,
        )
        tab = Tab(await context.new_page(), site)
        tabs.append(tab)
        await tab.open(path)
        return tab

    yield open_tab
    for tab in tabs:
        await tab.page.context.close()
    assert [fault for tab in tabs for fault in tab.faults] == []


@pytest.fixture
async def task_id(site: Site, request: pytest.FixtureRequest) -> str:
    """Store a transcript for this test, and return its id."""
    name = "".join(char if char.isalnum() else "-" for char in request.node.name)[:100]
    await site.put(a_transcript(name, count=60))
    return name


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five minutes of silence."""
    path = tmp_path_factory.mktemp("media") / "silence.wav"
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(b"\x80" * 8000 * 300)
    path.write_bytes(content.getvalue())
    return path
