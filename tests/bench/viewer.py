"""The pages in Chromium: when a transcript shows, when it can be used, and how it scrolls."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from playwright.async_api import Browser, Page, ViewportSize

from tests.browser.chromium import MISSING, chromium_installed
from tests.browser.site import Site, serve_site, start_browser
from tests.builders import callback_body, segment
from tests.fakes import NOW
from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.message import compress
from transcripts.retry import Retrier
from transcripts.tasks.normalize import normalize
from transcripts.tasks.store import TaskStore
from transcripts.viewer.rendering import MEDIA_TYPES, asset_path

LENGTHS: Final = (200, 20_000)
SCREENS: Final = 300
"""So many steps lead from the top to the end."""

_TIMES: Final = """() => {
  const {responseStart, responseEnd, domContentLoadedEventEnd}
    = performance.getEntriesByType("navigation")[0];
  const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
  return [responseStart, responseEnd, paint, domContentLoadedEventEnd];
}"""

_FRAMES: Final = """async steps => {
  const frames = [];
  let last = performance.now();
  for (let step = 1; step <= steps; step++) {
    scrollTo(0, document.documentElement.scrollHeight * step / steps);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  return frames;
}"""


class Times(NamedTuple):
    """Milliseconds from the start of a navigation."""

    first_byte: float
    last_byte: float
    painted: float
    ready: float


async def _put(site: Site, lines: int) -> str:
    """Store a transcript as the subscriber does, and return its id."""
    body = callback_body([segment(index) for index in range(lines)], task_id=f"lines-{lines}")
    result = normalize(
        read_envelope(body), revision="r1", received_at=NOW, stored_at=NOW, expires_at=None
    )
    await TaskStore(site.documents, Retrier()).save_result(result, compress(body))
    return result.task_id


async def _times(page: Page, address: str, rounds: int) -> Times:
    measured: list[list[float]] = []
    for _ in range(rounds + 1):
        await page.goto(address)
        await page.wait_for_load_state("networkidle")
        measured.append(await page.evaluate(_TIMES))
    # The first round fills the caches of the browser and of the function.
    return Times(*(median(each) for each in zip(*measured[1:], strict=True)))


async def _page(browser: Browser) -> Page:
    context = await browser.new_context(viewport=ViewportSize(width=1280, height=800))
    return await context.new_page()


async def _measure(rounds: int, folder: Path) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    async with serve_site(folder) as site, start_browser() as browser:
        for lines in LENGTHS:
            task_id = await _put(site, lines)
            page = await _page(browser)
            found = await _times(page, f"{site.url}/view/{task_id}", rounds)
            print(
                f"  {lines:6,} lines   first byte {found.first_byte:5.0f} ms   last"
                f" {found.last_byte:5.0f}   painted {found.painted:5.0f}   ready {found.ready:5.0f}"
            )
            frames: list[float] = await page.evaluate(_FRAMES, SCREENS)
            longest = sorted(frames)[-3:]
            print(
                f"           scrolling   median frame {median(frames):4.0f} ms   longest "
                + ", ".join(f"{frame:.0f}" for frame in longest)
            )
            rows[f"{lines:,} lines"] = {
                **{f"{name}_ms": value for name, value in found._asdict().items()},
                "longest_frame_ms": longest[-1],
            }
            await page.context.close()
        page = await _page(browser)
        sizes: list[Any] = [
            len(await (await page.request.get(site.url + asset_path(name))).body())
            for name in MEDIA_TYPES
        ]
        print(f"  stylesheet, script and icon together {sum(sizes) / 1000:.1f} kB")
    return rows


def report(rounds: int) -> dict[str, dict[str, float]] | None:
    """Print and return the figures, or print why they are missing."""
    print(f"\nPages: a transcript in Chromium, median of {rounds}")
    if not chromium_installed():
        print(f"  not measured without Chromium. {MISSING}")
        return None
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(rounds, Path(folder)))
