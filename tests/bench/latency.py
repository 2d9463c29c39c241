"""How long after the answer to a callback its transcript is visible, at a fixed rate.

Callback and subscriber run as processes on Google's emulators, which push. Callbacks are sent at
fixed times, whether or not earlier ones were answered. A sample of them is followed: at most
``FOLLOWED_PER_S`` a second, all with one read of one field every ``POLL_S``, so following costs the
same at every rate.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from cli.local.stack import EMULATORS, Stack, StackOptions
from tests.bench.figures import Figures
from tests.builders import callback_body
from transcripts.ports import Read
from transcripts.tasks.task import task_path

RATES: Final = (10, 100, 500)
SEGMENTS: Final = 50
SECONDS: Final = 10.0
WARM_UP: Final = (50, 15.0)
"""The rate and the seconds in which the emulators' compilers warm up."""
FOLLOWED_PER_S: Final = 20
POLL_S: Final = 0.01
VISIBLE_WITHIN_S: Final = 60.0
CONNECTIONS: Final = 200


class _Visible(msgspec.Struct):
    task_id: str


class _Run:
    """One rate, from the first callback until the last followed transcript is visible."""

    def __init__(self, stack: Stack, client: aiohttp.ClientSession, rate: int) -> None:
        self._stack = stack
        self._client = client
        self._rate = rate
        self._clock = asyncio.get_running_loop().time
        self._pending: dict[str, float] = {}
        self._answers_s: list[float] = []
        self._visible_s: list[float] = []
        self._refused = 0

    async def measure(self, seconds: float) -> Figures:
        """Send for ``seconds``; wait until all is visible, or ``VISIBLE_WITHIN_S``."""
        count = round(self._rate * seconds)
        every = max(1, self._rate // FOLLOWED_PER_S)
        watching = asyncio.create_task(self._watch())
        begin = self._clock()
        posts: list[asyncio.Task[None]] = []
        for number in range(count):
            due = begin + number / self._rate
            if (pause_s := due - self._clock()) > 0:
                await asyncio.sleep(pause_s)
            followed = number % every == 0
            posts.append(
                asyncio.create_task(self._post(f"r{self._rate}-{number}", due, followed=followed))
            )
        await asyncio.gather(*posts)
        with suppress(TimeoutError):
            async with asyncio.timeout(VISIBLE_WITHIN_S):
                while self._pending:
                    await asyncio.sleep(POLL_S)
        visible_s = self._clock() - begin
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        now = self._clock()
        # Those that are not visible yet count with the time they have waited.
        waits_s = self._visible_s + [now - answered for answered in self._pending.values()]
        return {
            "stored_per_s": count / visible_s,
            "answer_p50_ms": _percentile(self._answers_s, 0.5),
            "visible_p50_ms": _percentile(waits_s, 0.5),
            "visible_p99_ms": _percentile(waits_s, 0.99),
            "refused": float(self._refused),
            "not_visible": float(len(self._pending)),
        }

    async def _post(self, task_id: str, due: float, *, followed: bool) -> None:
        body = callback_body(segments=SEGMENTS, task_id=task_id)
        async with self._client.post(self._stack.callback_url, data=body) as answer:
            await answer.read()
        now = self._clock()
        if answer.status != 200:
            self._refused += 1
            return
        self._answers_s.append(now - due)
        if followed:
            self._pending[task_id] = now

    async def _watch(self) -> None:
        while True:
            pending = list(self._pending)
            if pending:
                reads = [Read(task_path(each), _Visible, fields=("task_id",)) for each in pending]
                found = await self._stack.documents.read(*reads)
                now = self._clock()
                for task_id, snapshot in zip(pending, found, strict=True):
                    if snapshot is not None:
                        self._visible_s.append(now - self._pending.pop(task_id))
            await asyncio.sleep(POLL_S)


def _percentile(seconds: Sequence[float], share: float) -> float:
    """Return a percentile in milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3


async def _measure() -> dict[str, Figures]:
    with tempfile.TemporaryDirectory(prefix="transcripts-bench-") as folder:
        options = StackOptions(
            backend=EMULATORS,
            data_dir=Path(folder),
            functions=("callback", "subscriber"),
            watch_bucket=False,
        )
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with Stack(options) as stack, aiohttp.ClientSession(connector=connector) as client:
            rate, warm_up_s = WARM_UP
            await _Run(stack, client, rate).measure(warm_up_s)
            return {str(rate): await _Run(stack, client, rate).measure(SECONDS) for rate in RATES}


def measure() -> dict[str, Figures]:
    """Return the figures of each rate, by callbacks a second; raises ``EmulatorsMissing``."""
    return asyncio.run(_measure())
