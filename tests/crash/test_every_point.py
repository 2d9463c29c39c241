"""Every point at which submit, ingest and sweep can fail or die: nothing is bought twice.

Each scenario runs once without a fault, which numbers its effects: every read, commit, enqueue,
request and chunk. Then it runs again for every effect, in each ``Mode`` that makes a difference
there. Redelivery, retries and sweeps follow as in the cloud, until no work is left. In SQLite every
point is tested, none is sampled. On the emulators each effect strikes where it first happens: a
fault is outside the adapters, so an effect that happens again says no more of them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.crash.backend import Backend, serving
from tests.crash.fault_plan import (
    FaultPlan,
    Mode,
    modes_at,
)
from tests.crash.fault_run import run_once
from tests.crash.scenarios import SCENARIOS

CONCURRENCY = 6

ATTEMPTS = 3
"""How often a waiting caller reads an entry depends on time: the last point may not be reached."""

SLOW_OBJECTS = {
    "an object that Mavi loses once",
    "an object that Mavi takes in slowly",
    "an object that may not be read for some hours",
    "an object that may never be read",
}
"""They repeat the effects of "an object", which says no more of the store and the queue."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Provide a folder in memory if the system has one: thousands of databases are made."""
    in_memory = Path("/dev/shm")  # noqa: S108 - only looked for
    if not os.access(in_memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=in_memory) as folder:
        yield Path(folder)


@pytest.mark.timeout(600)
class CrashPoints:
    """Subclasses provide a fixture ``backend``."""

    repeated_effects = True
    """Whether a fault strikes at an effect that happened before, too."""

    async def test_every_point_dying_or_failing_buys_once_and_forgets_nothing(
        self, backend: Backend, name: str
    ) -> None:
        """Each asset is bought at most once, and each entry is in a state that can continue."""
        scenario = SCENARIOS[name]
        faultless = await run_once(backend, scenario, FaultPlan())
        assert set(scenario.needs) <= set(faultless.seen)
        if "mavi signed-url" in faultless.seen:
            # No asset is made before the first byte of its object is read.
            assert faultless.seen.index("chunk") < faultless.seen.index("mavi signed-url")
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one(point: int, mode: Mode) -> None:
            async with slots:
                for _ in range(ATTEMPTS):
                    fault_plan = await run_once(backend, scenario, FaultPlan(point, mode))
                    if len(fault_plan.seen) > point:
                        break
                assert len(fault_plan.seen) > point, "the point was not reached"
                died = mode in (Mode.KILLED_BEFORE, Mode.KILLED_AFTER)
                assert fault_plan.dead is died, (fault_plan.seen[point], mode)

        runs = [
            one(point, mode)
            for point, effect in enumerate(faultless.seen)
            if self.repeated_effects or faultless.seen.index(effect) == point
            for mode in modes_at(effect)
        ]
        results = await asyncio.gather(*runs, return_exceptions=True)
        assert [str(result) for result in results if result is not None] == []
        print(f"{name}: {len(faultless.seen)} points, {len(runs)} runs")


@pytest.mark.parametrize("name", SCENARIOS)
class TestEmbedded(CrashPoints):
    @pytest.fixture
    async def backend(self, folder: Path) -> AsyncIterator[Backend]:
        async with serving(Backend(folder, None)) as backend:
            yield backend


@pytest.mark.emulators
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in SLOW_OBJECTS])
class TestEmulators(CrashPoints):
    repeated_effects = False

    @pytest.fixture
    async def backend(self, folder: Path, emulators: dict[str, str]) -> AsyncIterator[Backend]:
        async with serving(Backend(folder, emulators)) as backend:
            yield backend
