"""Fixtures of all layers: a clean environment, and the official emulators where they exist."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cli.emulators import MISSING, Emulator, emulators_installed, start_emulators, stop_emulators

pytest.register_assert_rewrite("tests.contracts", "tests.polling", "tests.builders")

# The same examples every time, on machines of any speed; HYPOTHESIS_PROFILE=explore looks further.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", settings.get_profile("same"), derandomize=False, max_examples=2000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

_OURS = ("TRANSCRIPTS_", "MAVI_", "CALLBACK_", "REJECTED_", "FIRESTORE_", "PUBSUB_", "STORAGE_")
_ALSO = ("GOOGLE_CLOUD_PROJECT", "RETENTION_DAYS", "MAX_SUBMISSIONS_PER_DAY", "FUNCTION_TARGET")

_needed: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs emulators where there are none, unless they are required."""
    if emulators_installed():
        return
    required = os.environ.get("REQUIRE_EMULATORS") == "1"
    for item in items:
        if item.get_closest_marker("emulators"):
            _needed.append(item.nodeid)
            if not required:
                item.add_marker(pytest.mark.skip(reason="needs the official emulators"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in the last lines what was not run."""
    if _needed:
        terminalreporter.section("NOT RUN on the official emulators")
        terminalreporter.line(f"{len(_needed)} tests need them. {MISSING}")


@pytest.fixture(autouse=True)
def _clean_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep settings, loaded entries and logging of one test from the next."""
    for name in list(os.environ):
        if name.startswith(_OURS) or name in _ALSO:
            monkeypatch.delenv(name)
    modules, path = set(sys.modules), list(sys.path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for name in set(sys.modules) - modules:
        if name in ("submit", "callback", "subscriber"):
            del sys.modules[name]
    sys.path[:] = path
    root.handlers, root.level = handlers, level


@pytest.fixture(scope="session")
async def emulators(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    """Start both official emulators once, and give the variables that lead to them."""
    folder: Path = tmp_path_factory.mktemp("emulators")
    started: list[Emulator] = await start_emulators(folder)
    yield {emulator.variable: emulator.host for emulator in started}
    await stop_emulators(started)
