"""The stack on both backends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from cli.fake_mavi.faults import Faults
from cli.local.emulators import Emulator
from cli.local.stack import EMULATORS, Stack, StackOptions
from cli.local.topics import PROJECT
from tests.pubsub import delete_topics
from transcripts.settings import EMBEDDED

Start = Callable[..., Awaitable[Stack]]

BUYING = ("submit", "callback", "subscriber")
"""The functions between an asset and its transcript: a stack starts these by default."""

FILES = ("ingest", *BUYING)

on_embedded = pytest.mark.parametrize("backend", [EMBEDDED])
"""For what Google's services make no difference to, or what other tests prove on the emulators."""


@pytest.fixture(
    params=[EMBEDDED, pytest.param(EMULATORS, marks=pytest.mark.emulators)],
)
def backend(request: pytest.FixtureRequest) -> str:
    """A test runs on both, unless it is ``on_embedded``."""
    return str(request.param)


@pytest.fixture
def running(backend: str, request: pytest.FixtureRequest) -> Iterator[list[Emulator]]:
    """The emulators, which all tests share; they are emptied after each test."""
    if backend == EMBEDDED:
        yield []
        return
    emulators: list[Emulator] = request.getfixturevalue("running_emulators")
    yield emulators
    hosts = {emulator.variable: emulator.host for emulator in emulators}
    delete_topics(hosts["PUBSUB_EMULATOR_HOST"])
    # https://firebase.google.com/docs/emulator-suite/connect_firestore#clear_your_database_between_tests
    documents = f"projects/{PROJECT}/databases/(default)/documents"
    url = f"http://{hosts['FIRESTORE_EMULATOR_HOST']}/emulator/v1/{documents}"
    requests.delete(url, timeout=30).raise_for_status()


@pytest.fixture
async def start(backend: str, tmp_path: Path, running: list[Emulator]) -> AsyncIterator[Start]:
    """Start a stack with the given faults and options; it stops with the test."""
    async with AsyncExitStack() as exits:

        async def start(faults: dict[str, Any] | None = None, **options: Any) -> Stack:
            fault_settings = Faults(**{"callback_delay_s": 0.05, **(faults or {})})
            stack = Stack(
                StackOptions(
                    backend=backend,
                    data_dir=tmp_path / "data",
                    faults=fault_settings,
                    emulators=running,
                    **{
                        "functions": BUYING,
                        "mavi_per_second": 0.0,
                        "queue_backoff_s": 0.2,
                        **options,
                    },
                )
            )
            return await exits.enter_async_context(stack)

        yield start
