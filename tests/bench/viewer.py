"""The pages in Chromium: when a transcript shows, when it can be used, and how it scrolls."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from playwright.async_api import Page, ViewportSize

from tests.bench.figures import NotMeasured
from tests.browser.chromium import MISSING, chromium_installed
from tests.browser.site import Site, serve_site, start_browser
from tests.builders import callback_body, segment
from tests.fakes import NOW
from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.message import compress
from transcripts.retry import Retrier
from transcripts.tasks.normalize import normalize
from transcripts.tasks.store import TaskStore

LENGTHS: Final = (200, 20_000)
SCREENS: Final = 300
"""So many steps lead from the top to the end."""

_TIMES: Final = """() => {
  const times = performance.getEntriesByType("navigation")[0];
  return {
    first_byte_ms: times.responseStart,
    last_byte_ms: times.responseEnd,
    painted_ms: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    ready_ms: times.domContentLoadedEventEnd,
  };
}"""
"""Milliseconds from the start of the navigation."""

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


async def _put(site: Site, lines: int) -> str:
    """Store a transcript as the subscriber does, and return its id."""
    body = callback_body([segment(index) for index in range(lines)], task_id=f"lines-{lines}")
    result = normalize(
        read_envelope(body), revision="r1", received_at=NOW, stored_at=NOW, expires_at=None
    )
    await TaskStore(site.documents, Retrier()).save_result(result, compress(body))
    return result.task_id


async def _times(page: Page, address: str, rounds: int) -> dict[str, float]:
    measured: list[dict[str, float]] = []
    for _ in range(rounds + 1):
        await page.goto(address)
        await page.wait_for_load_state("networkidle")
        measured.append(await page.evaluate(_TIMES))
    # The first round fills the caches of the browser and of the function.
    return {name: median(each[name] for each in measured[1:]) for name in measured[0]}


async def _measure(rounds: int, folder: Path) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    async with serve_site(folder) as site, start_browser() as browser:
        for lines in LENGTHS:
            task_id = await _put(site, lines)
            context = await browser.new_context(viewport=ViewportSize(width=1280, height=800))
            page = await context.new_page()
            rows[f"{lines:,} lines"] = {
                **await _times(page, f"{site.url}/view/{task_id}", rounds),
                "longest_frame_ms": max(await page.evaluate(_FRAMES, SCREENS)),
            }
            await context.close()
    return rows


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return the figures of each length; raises ``NotMeasured``."""
    if not chromium_installed():
        raise NotMeasured(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(rounds, Path(folder)))
