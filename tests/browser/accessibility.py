"""Runs axe on a page: https://github.com/dequelabs/axe-core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.browser.site import Scheme

_SCRIPT: Final = Axe().axe_script

_EVERY_RULE: Final[Mapping[str, Any]] = {"rules": {"target-size": {"enabled": True}}}
_OF_COLORS: Final[Mapping[str, Any]] = {"runOnly": ["color-contrast"]}
_OF_PLACE: Final[Mapping[str, Any]] = {"runOnly": ["color-contrast", "target-size"]}
"""What may change with the color scheme, and with what lies over what. All rules take seconds."""

_PLACES: Final = """() => {
  const end = document.documentElement.scrollHeight - innerHeight;
  return [...new Set([0, Math.floor(end / 2), end])];
}"""


async def violations(page: Page) -> list[tuple[str, str, str]]:
    """Return what axe finds in each color scheme: the scheme, the rule and the first element."""
    return await _found(page, "light", _EVERY_RULE) + await _found(page, "dark", _OF_COLORS)


async def violations_while_scrolling(page: Page) -> list[tuple[str, str, str]]:
    """Return what axe finds at the top, in the middle and at the end."""
    found = await violations(page)
    for place in (await page.evaluate(_PLACES))[1:]:
        await page.evaluate("place => scrollTo(0, place)", place)
        found += await _found(page, "light", _OF_PLACE)
    return found


async def _found(
    page: Page, scheme: Scheme, options: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    if await page.evaluate("typeof axe") == "undefined":
        await page.evaluate(_SCRIPT)
    await page.emulate_media(color_scheme=scheme)
    result: Any = await page.evaluate(
        "options => axe.run({resultTypes: ['violations'], ...options})", dict(options)
    )
    return [(scheme, each["id"], each["nodes"][0]["html"]) for each in result["violations"]]
