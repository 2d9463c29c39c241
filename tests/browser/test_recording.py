"""The recording from the bucket: it plays, seeks, goes on after its address, or says why not."""

from __future__ import annotations

import wave
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect

from cli.client.door import Door
from tests.browser.conftest import OpenTab, Tab
from tests.browser.site import BUCKET, PLAYER, Site, serve_site
from tests.polling import eventually
from tests.viewer import a_transcript
from transcripts.tasks.task import Source

pytestmark = pytest.mark.browser

TIME = f"{PLAYER}.currentTime"
PAUSED = f"{PLAYER}.paused"
READY = f"{PLAYER}.readyState"


async def put_long(site: Site) -> None:
    """Store a transcript with 18 minutes of silence, 190 MB, which no browser reads at once."""
    path = await site.put_recorded(a_transcript("long", count=4), "long.wav")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        for _ in range(18):
            file.writeframes(bytes(4 * 44_100 * 60))
    await put_again(site, "long", path.name)


async def put_again(site: Site, task_id: str, name: str) -> None:
    """Store the transcript of what the file holds now."""
    stored = site.objects.stat(BUCKET, name, None)
    source = Source(stored.uri, stored.generation)
    await site.put(a_transcript(task_id, count=4, source=source))


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_recording_of_the_bucket_plays_from_a_click(open_tab: OpenTab, size: str) -> None:
    """Without a file from the reader's device."""
    page = (await open_tab("/view/played", size=size)).page
    await expect(page.locator("#audio")).to_be_visible()
    await page.locator("#l5").click()
    await expect(page.locator("#l5")).to_have_class("line now")
    await eventually(lambda: page.evaluate(f"!{PAUSED} && {TIME} > 18.2"))
    assert await page.locator("#hint").inner_text() == ""


async def test_seek_far_ahead_asks_for_a_range(open_tab: OpenTab, site: Site) -> None:
    """Of 190 MB, the browser reads the parts that it plays."""
    await put_long(site)
    tab = await open_tab()
    answers: list[tuple[int, str]] = []
    tab.page.on(
        "response",
        lambda answer: (
            answers.append((answer.status, answer.headers.get("content-range", "")))
            if "/media/" in answer.url
            else None
        ),
    )
    await tab.open("/view/long")
    await expect(tab.page.locator("#audio")).to_be_visible()
    await tab.page.evaluate(f"{TIME} = 1000")
    await eventually(lambda: tab.page.evaluate(f"{READY} >= 2 && {TIME} === 1000"))
    starts = [int(where.split()[1].partition("-")[0]) for status, where in answers if status == 206]
    assert any(start > 1000 * 44_100 * 4 - 2_000_000 for start in starts)


async def test_address_that_is_no_longer_valid_is_renewed(browser: Browser, tmp_path: Path) -> None:
    """A restarted function knows none of its addresses: the player goes on where it was."""
    async with serve_site(tmp_path) as site:
        await put_long(site)
        async with await browser.new_context() as context:
            page = await context.new_page()
            await page.goto(f"{site.url}/view/long")
            await expect(page.locator("#audio")).to_be_visible()
            await site.process.stop()
            await site.process.start()
            await page.evaluate(f"{TIME} = 1000; void {PLAYER}.play()")
            await eventually(
                lambda: page.evaluate(f"{READY} >= 2 && !{PAUSED} && {TIME} > 1000"), within_s=60
            )
            assert await page.locator("#hint").inner_text() == ""


def failed_loads(tab: Tab) -> list[str]:
    """Take the messages of the browser about answers without a recording."""
    found = [fault for fault in tab.faults if "Failed to load resource" in fault]
    tab.faults = [fault for fault in tab.faults if fault not in found]
    return found


@pytest.mark.parametrize(
    ("task_id", "words"), [("gone", "no longer in the bucket"), ("text", "can't play")]
)
async def test_recording_that_does_not_play_is_explained(
    open_tab: OpenTab, site: Site, recording: Path, task_id: str, words: str
) -> None:
    """A file from the reader's device plays in its place."""
    (await site.put_recorded(a_transcript("gone", count=4), "gone.wav")).unlink()
    path = await site.put_recorded(a_transcript("text", count=4), "text.wav")
    path.write_text("no sound")
    await put_again(site, "text", path.name)
    tab = await open_tab(f"/view/{task_id}")
    await expect(tab.page.locator("#hint")).to_contain_text(words)
    await expect(tab.page.locator("#audio")).to_be_hidden()
    await tab.page.locator("#file").set_input_files(recording)
    await expect(tab.page.locator("#audio")).to_be_visible()
    await expect(tab.page.locator("#hint")).to_have_text("")
    failed_loads(tab)


async def test_address_of_a_recording_is_in_no_log(open_tab: OpenTab, site: Site) -> None:
    """The function's own log, the framework's and the server's."""
    tab = await open_tab()
    addresses: list[str] = []

    def heard(request: Any) -> None:
        if "/media/" in request.url:
            addresses.append(request.url)

    tab.page.on("request", heard)
    await tab.open("/view/played")
    await expect(tab.page.locator("#audio")).to_be_visible()
    assert addresses
    log = (site.objects.buckets.parent / "results.log").read_text()
    assert [each for each in addresses if each.rpartition("/")[2] in log] == []


async def test_recording_plays_through_the_door(browser: Browser, site: Site) -> None:
    """`transcripts open` passes the redirect and the ranges on."""
    door = Door(site.url, lambda: None)
    await door.start()
    async with await browser.new_context() as context:
        page = await context.new_page()
        await page.goto(door.address("/view/played"))
        await expect(page.locator("#audio")).to_be_visible()
        await page.locator("#l7").click()
        await eventually(lambda: page.evaluate(f"!{PAUSED} && {TIME} > 27.2"))
    await door.stop()


async def redirect(host: str, route: Route) -> None:
    """Answer as the function does in the cloud."""
    address = f"https://{host}/uploads/a.wav?X-Goog-Signature=00"
    await route.fulfill(status=307, headers={"Location": address, "Cache-Control": "no-store"})


async def test_redirect_to_cloud_storage_passes_the_policy(browser: Browser, site: Site) -> None:
    """The browser asks that host itself, without a referrer, and refuses every other host."""
    async with await browser.new_context() as context:
        page = await context.new_page()
        asked: dict[str, dict[str, str]] = {}
        blocked: list[str] = []

        def heard(event: Any) -> None:
            asked[event["request"]["url"].split("/")[2]] = event["request"]["headers"]

        tools = await context.new_cdp_session(page)
        await tools.send("Network.enable")
        tools.on("Network.requestWillBeSent", heard)
        page.on("console", lambda message: blocked.append(message.text))
        for host in ("storage.googleapis.com", "storage.example.com"):
            await page.route("**/view/played/media", partial(redirect, host))
            await page.goto(f"{site.url}/view/played")
            await expect(page.locator("#hint")).not_to_have_text("")
            await page.unroute_all()
        assert "storage.googleapis.com" in asked
        assert not asked["storage.googleapis.com"].get("Referer")
        policy = [text for text in blocked if "Content Security Policy" in text]
        assert policy
        assert all("storage.example.com" in text for text in policy)
