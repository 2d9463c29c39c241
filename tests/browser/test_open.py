"""The pages through `transcripts open`, in Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, expect

from cli.client.door import COOKIE, Door
from tests.browser.site import Site

pytestmark = pytest.mark.browser


@pytest.fixture
async def door(site: Site) -> AsyncIterator[Door]:
    door = Door(site.url, lambda: None)
    await door.start()
    yield door
    await door.stop()


async def test_speaker_is_renamed_through_the_door(
    browser: Browser, door: Door, task_id: str
) -> None:
    """The browser's own headers pass both checks: of the door, and of the form."""
    async with await browser.new_context() as context:
        page = await context.new_page()
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text))
        await page.goto(door.address(f"/view/{task_id}"))
        await page.wait_for_url(f"**/view/{task_id}")
        await page.get_by_text("Rename").first.click()
        await page.get_by_label("Name of Speaker 1").fill("Ada")
        await page.get_by_role("button", name="Save").first.click()
        await expect(page.locator(".said .who").first).to_have_text("Ada")
        await page.get_by_role("button", name="Undo").click()
        await expect(page.locator(".said .who").first).to_have_text("Speaker 1")
        assert faults == []


async def test_file_that_leads_to_the_door_opens_it(
    browser: Browser, door: Door, task_id: str, tmp_path: Path
) -> None:
    """A strict cookie counts although another site, the file, led here; so does a link later."""
    async with await browser.new_context() as context:
        page = await context.new_page()
        file = tmp_path / "open.html"
        base = door.address("").partition("?")[0] + door._root
        for address in (door.address(f"/view/{task_id}"), f"{base}/view/{task_id}?t=3"):
            file.write_text(f'<meta http-equiv="refresh" content="0; url={address}">')
            await page.goto(file.as_uri())
            await page.wait_for_url(f"{base}/view/{task_id}*")
            await expect(page.locator("main")).to_be_visible()


async def test_other_browser_is_kept_out(browser: Browser, door: Door) -> None:
    """The address without its key is of no use."""
    async with await browser.new_context() as context:
        page = await context.new_page()
        answer = await page.goto(door.address("/").partition("?")[0])
        assert answer is not None
        assert answer.status == 403
        await expect(page.locator("body")).to_contain_text("transcripts open")


async def test_other_server_on_this_machine_learns_nothing(
    browser: Browser, door: Door, task_id: str
) -> None:
    """Browsers give cookies to every port of a host, but for their path; no page tells that."""
    heard: list[str] = []

    async def listen(request: web.Request) -> web.Response:
        heard.append(str(request.headers))
        return web.Response(text="<title>other</title>", content_type="text/html")

    application = web.Application()
    application.router.add_get("/{path:.*}", listen)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with await browser.new_context() as context:
        page = await context.new_page()
        for path in ("/", f"/view/{task_id}", f"/view/{task_id}/names"):
            await page.goto(door.address(f"/view/{task_id}"))
            await page.wait_for_url(f"**{door._root}/view/{task_id}")
            other = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
            await page.evaluate("address => { location = address }", other)
            await page.wait_for_url(other)
        secrets = {each["name"]: each["value"] for each in await context.cookies()}
    await runner.cleanup()
    assert secrets.keys() == {COOKIE, "csrf"}
    assert len(heard) >= 3
    assert not [each for each in (*secrets.values(), door._root) if each in "".join(heard)]


async def test_page_of_another_origin_can_change_nothing(
    browser: Browser, door: Door, site: Site, task_id: str
) -> None:
    """Another port of this machine is another origin, though it shares the cookies."""
    async with await browser.new_context() as context:
        page = await context.new_page()
        await page.goto(door.address(f"/view/{task_id}"))
        form = page.locator(".edit form").first
        fields = {
            name: await form.locator(f"[name={name}]").first.get_attribute("value") or ""
            for name in ("token", "etag", "speaker")
        }
        target = f"{page.url}/names"
        # A page without a policy of its own, at the origin of the served function.
        await context.route(
            f"{site.url}/other",
            lambda route: route.fulfill(
                content_type="text/html",
                body=f'<form method="post" action="{target}">'
                + "".join(f'<input name="{name}" value="{fields[name]}">' for name in fields)
                + '<input name="name" value="Eve"><button>Send</button></form>',
            ),
        )
        await page.goto(f"{site.url}/other")
        async with page.expect_response(target) as response:
            await page.get_by_role("button").click()
        assert (await response.value).status == 403
        await page.goto(door.address(f"/view/{task_id}"))
        await expect(page.locator(".said .who").first).to_have_text("Speaker 1")
