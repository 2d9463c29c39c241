"""The stack on both backends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from cli.fake_mavi.faults import Faults
from cli.stack import EMULATORS, Stack, StackOptions
from transcripts.settings import EMBEDDED

Start = Callable[..., Awaitable[Stack]]


@pytest.fixture(
    params=[EMBEDDED, pytest.param(EMULATORS, marks=pytest.mark.emulators)],
)
def backend(request: pytest.FixtureRequest) -> str:
    """Every test runs on both."""
    return str(request.param)


@pytest.fixture
async def start(backend: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Start a stack with the given faults and options; it stops with the test."""
    async with AsyncExitStack() as exits:

        async def start(faults: dict[str, Any] | None = None, **options: Any) -> Stack:
            fault_settings = Faults(**{"callback_delay_s": 0.05, **(faults or {})})
            stack = Stack(
                StackOptions(
                    backend=backend,
                    data_dir=tmp_path / "data",
                    faults=fault_settings,
                    **{"mavi_per_second": 0.0, "queue_backoff_s": 0.2, **options},
                )
            )
            return await exits.enter_async_context(stack)

        yield start
