"""Runs axe on a page: https://github.com/dequelabs/axe-core."""

from __future__ import annotations

from typing import Any, Final, get_args

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.browser.site import Scheme

_SCRIPT: Final = Axe().axe_script

_RUN: Final = "axe.run({resultTypes: ['violations'], rules: {'target-size': {enabled: true}}})"

_PLACES: Final = """() => {
  const end = document.documentElement.scrollHeight - innerHeight;
  return [...new Set([0, Math.floor(end / 2), end])];
}"""


async def violations(page: Page) -> list[tuple[str, str, str]]:
    """Return what axe finds in each color scheme: the scheme, the rule and the first element."""
    if await page.evaluate("typeof axe") == "undefined":
        await page.evaluate(_SCRIPT)
    found: list[tuple[str, str, str]] = []
    for scheme in get_args(Scheme):
        await page.emulate_media(color_scheme=scheme)
        result: Any = await page.evaluate(_RUN)
        found += [(scheme, each["id"], each["nodes"][0]["html"]) for each in result["violations"]]
    return found


async def violations_while_scrolling(page: Page) -> list[tuple[str, str, str]]:
    """Return what axe finds at the top, in the middle and at the end."""
    found: list[tuple[str, str, str]] = []
    for place in await page.evaluate(_PLACES):
        await page.evaluate("place => scrollTo(0, place)", place)
        found += await violations(page)
    return found
