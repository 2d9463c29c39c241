"""The system's Chromium, and the function ``results`` that it reads from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.site import (
    VIEWPORTS,
    Scheme,
    Site,
    serve_site,
    start_browser,
    write_recording,
)
from tests.viewer import a_transcript

# A machine that runs other tests at the same time needs more than the 5 s of the default.
expect.set_options(timeout=30_000)


@dataclass
class Tab:
    """A page of the browser, and everything that went wrong in it."""

    page: Page
    site: Site
    script: bool = True
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page, own = self.page, urlsplit(self.site.url).netloc
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))

        def on_failed(request: Any) -> None:
            # The next page, a download, or a media player that needs no more ends a request.
            # Without scripts, the browser blocks them as if a policy did.
            ended = request.failure == "net::ERR_ABORTED" or (
                request.failure == "csp" and not self.script
            )
            if not ended and not request.url.startswith("blob:"):
                self.faults.append(f"failed: {request.url} {request.failure}")

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
    async with serve_site(tmp_path_factory.mktemp("site")) as site:
        await site.put(a_transcript("council", count=60, labels={}))
        yield site


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with start_browser() as browser:
        yield browser


@pytest.fixture
async def open_tab(site: Site, browser: Browser) -> AsyncIterator[OpenTab]:
    """Open tabs; the test fails if anything goes wrong in one of them."""
    tabs: list[Tab] = []

    async def open_tab(
        path: str = "", *, size: str = "desktop", scheme: Scheme = "light", script: bool = True
    ) -> Tab:
        width, height = VIEWPORTS[size]
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            java_script_enabled=script,
            accept_downloads=True,
        )
        tab = Tab(await context.new_page(), site, script)
        tabs.append(tab)
        if path:
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
    return write_recording(tmp_path_factory.mktemp("media") / "silence.wav")
