"""The core of the pages in Firefox and in WebKit, which is Safari's engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser import engines
from tests.browser.engines import Engine
from tests.browser.site import PLAYER, Site
from tests.polling import eventually
from tests.viewer import a_transcript


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                not engines.installed(name), reason=f"needs {name}. {engines.MISSING}"
            ),
        )
        for name in ("firefox", "webkit")
    ],
)
def driver(request: pytest.FixtureRequest) -> Iterator[WebDriver]:
    engine: Engine = request.param
    with engines.start(engine) as driver:
        yield driver


class Reader:
    """A reader of one engine."""

    def __init__(self, driver: WebDriver, site: Site) -> None:
        self.driver = driver
        self.site = site

    async def open(self, path: str) -> None:
        await asyncio.to_thread(self.driver.get, self.site.url + path)

    async def run(self, script: str, *arguments: object) -> Any:
        return await asyncio.to_thread(self.driver.execute_script, script, *arguments)

    async def click(self, selector: str) -> None:
        element = self.driver.find_element(By.CSS_SELECTOR, selector)
        await asyncio.to_thread(element.click)

    async def send(self, selector: str, keys: str) -> None:
        element = self.driver.find_element(By.CSS_SELECTOR, selector)
        await asyncio.to_thread(element.send_keys, keys)

    async def until(self, expression: str) -> None:
        await eventually(lambda: self.run(f"return Boolean({expression})"), within_s=30)


@pytest.fixture
def reader(driver: WebDriver, site: Site) -> Reader:
    return Reader(driver, site)


def text_of(selector: str) -> str:
    return f"document.querySelector('{selector}')?.textContent"


async def test_recording_of_the_bucket_plays_and_can_be_controlled(reader: Reader) -> None:
    """In an audio element, which every engine gives its controls, with or without sound."""
    await reader.open("/view/played")
    await reader.until("document.body.classList.contains('playable')")
    await reader.click("#l5")
    await reader.until(f"!{PLAYER}.paused && {PLAYER}.currentTime > 19")
    assert await reader.run(f"return [{PLAYER}.tagName, {PLAYER}.controls]") == ["AUDIO", True]
    assert await reader.run(f"return {PLAYER}.getBoundingClientRect().height") >= 40
    # A device without sound is said to be one, after the browser has been watched.
    await reader.until(f"{PLAYER}.currentTime > 20.5")
    assert "can't play" not in await reader.run(
        "return document.getElementById('hint').textContent"
    )
    box = await reader.run(
        "const box = document.getElementById('place').getBoundingClientRect();"
        "return [box.width, box.height]"
    )
    assert box[0] == 2
    assert box[1] > 30


async def test_file_of_this_device_plays_through_a_rename(
    reader: Reader, task_id: str, recording: Path
) -> None:
    """What plays goes on, and the line in view stays."""
    await reader.open(f"/view/{task_id}")
    await reader.send("#file", str(recording))
    await reader.until(PLAYER)
    await reader.click("#l5")
    await reader.until(f"{PLAYER}.currentTime > 18")
    await reader.click(".talk li:first-child summary")
    await reader.run("document.getElementById('rename-s1').value = 'Ada'")
    await reader.click(".talk li:first-child .primary")
    await reader.until(f"{text_of('.talk .who')} === 'Ada'")
    await reader.until(f"!{PLAYER}.paused && {PLAYER}.currentTime > 19 && {PLAYER}.duration > 299")
    assert await reader.run(f"return {text_of('.said .who')}") == "Ada"
    await reader.until(f"{text_of('#said')} === 'The names are saved.'")


async def test_search_paints_counts_and_steps(reader: Reader) -> None:
    """The count of a link with a search, and the steps by keys."""
    await reader.open("/view/meeting?q=tuesday")
    await reader.until(f"{text_of('#match-count')} === '– of 6'")
    await reader.until("CSS.highlights.get('hits').size === 6")
    await reader.send("#q", "\ue007")
    await reader.until(f"{text_of('#match-count')} === '1 of 6'")
    await reader.send("#q", "\ue008\ue007")
    await reader.until(f"{text_of('#match-count')} === '6 of 6'")
    await reader.until(
        "document.getElementById('l23').getBoundingClientRect().bottom < innerHeight"
    )


async def test_link_and_reload_lead_to_the_line(reader: Reader, site: Site) -> None:
    """Though the heights of the blocks before it are estimates."""
    await site.put(a_transcript("linked-in-engines", count=2_000))
    seen = """(() => {
      const box = document.getElementById('l1800').getBoundingClientRect();
      return box.top >= 0 && box.bottom <= innerHeight;
    })()"""
    await reader.open("/view/linked-in-engines#l1800")
    await reader.until(seen)
    await reader.until("document.querySelector('.now')?.id === 'l1800'")
    await asyncio.to_thread(reader.driver.refresh)
    await reader.until(f"document.querySelector('.now')?.id === 'l1800' && {seen}")


async def test_way_back_shows_the_names_of_now(reader: Reader, task_id: str) -> None:
    """Whether the engine shows the page of before or asks for it again."""
    await reader.open(f"/view/{task_id}")
    await reader.until(f"{text_of('.talk .who')} === 'Speaker 1'")
    await reader.open("/")
    await reader.site.rename(task_id, "Speaker 1", "Eva")
    await asyncio.to_thread(reader.driver.back)
    await reader.until(f"{text_of('.talk .who')} === 'Eva'")
    await reader.until(f"{text_of('.said .who')} === 'Eva'")
