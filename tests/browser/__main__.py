"""Pictures of the pages: ``python -m tests.browser FOLDER``.

Every page is taken at each width, light and dark, and with the recording that plays. The two
pictures of the README are written to docs/images too.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from playwright.async_api import Page, ViewportSize

from tests.browser.site import VIEWPORTS, Site, serve_site, start_browser
from tests.docs import DOCS

PAGES: Final = {
    "list": "/",
    "rejected": "/?state=rejected",
    "lost": "/?state=submit_unknown",
    "failed": "/view/broken",
    "transcript": "/view/interview",
    "search": "/view/meeting?q=tuesday",
    "hostile": "/view/hostile",
    "pending": "/view/waits",
    "empty": "/?label=client:none",
    "error": "/view/missing",
}
README: Final = ("list-desktop-light", "player-desktop-light")


async def take(page: Page, folder: Path, name: str) -> None:
    """Write one picture, and print its path."""
    path = folder / f"{name}.png"
    await page.screenshot(path=path)
    if name in README:
        images = DOCS / "images"
        images.mkdir(exist_ok=True)
        (images / f"{name.partition('-')[0]}.png").write_bytes(path.read_bytes())
    print(path)


async def take_all(page: Page, site: Site, folder: Path, suffix: str) -> None:
    """Take every page at one width, in one color scheme."""
    for name, path in PAGES.items():
        await page.goto(site.url + path)
        await take(page, folder, f"{name}-{suffix}")
    await take_conflict(page, site, folder, suffix)
    await page.goto(f"{site.url}/view/played")
    await page.locator("body.playable").wait_for()
    await page.locator("#l6").click()
    await page.keyboard.press("k")
    await page.locator(".talk li").nth(1).get_by_text("Rename").click()
    await take(page, folder, f"player-{suffix}")
    await page.locator("h1").click()
    await page.keyboard.press("?")
    await take(page, folder, f"help-{suffix}")


async def take_conflict(page: Page, site: Site, folder: Path, suffix: str) -> None:
    """Name a speaker on a page that is older than the last change."""
    await page.goto(f"{site.url}/view/interview")
    await page.locator("[name=etag]").evaluate_all(
        "tags => tags.forEach(tag => { tag.value = '-' })"
    )
    await page.get_by_text("Rename").first.click()
    await page.get_by_label("Name of Ada").fill("Ada Lovelace")
    await page.get_by_role("button", name="Save").first.click()
    await page.get_by_role("heading", name="not saved").wait_for()
    await take(page, folder, f"conflict-{suffix}")


async def main(folder: Path) -> None:
    """Take all pictures."""
    with TemporaryDirectory() as data:
        async with serve_site(Path(data)) as site, start_browser() as browser:
            for size, (width, height) in VIEWPORTS.items():
                for scheme in ("light", "dark"):
                    context = await browser.new_context(
                        viewport=ViewportSize(width=width, height=height),
                        color_scheme="dark" if scheme == "dark" else "light",
                        timezone_id="UTC",
                        locale="en-US",
                    )
                    page = await context.new_page()
                    await take_all(page, site, folder, f"{size}-{scheme}")
                    await context.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.browser FOLDER")
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
