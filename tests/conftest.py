"""Fixtures of all layers: a clean environment, and tools that only some machines have."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, is_hypothesis_test, settings

from cli.local.emulators import (
    MISSING,
    Emulator,
    emulators_installed,
    start_emulators,
    stop_emulators,
)
from tests.browser import chromium
from tests.infra import sandbox
from transcripts.settings import FUNCTIONS

pytest.register_assert_rewrite(
    "tests.contracts", "tests.polling", "tests.builders", "tests.pipeline", "tests.results"
)

# The same examples every time, on machines of any speed; HYPOTHESIS_PROFILE=explore looks further.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", settings.get_profile("same"), derandomize=False, max_examples=2000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

TESTS = Path(__file__).resolve().parent
UNTRACED = {"browser", "crash", "deploy", "e2e", "infra"}

_SETTINGS = {variable.name for kind in FUNCTIONS.values() for variable in kind.variables()}
_ALSO = {"FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE"}


class _Needed(NamedTuple):
    """The tool that tests with a marker need, whether this machine has it, and how to get it."""

    what: str
    is_here: Callable[[], bool]
    required: str
    how: str

    @property
    def reason(self) -> str:
        """The reason for skipping a test that needs it."""
        return f"needs {self.what}. {' '.join(self.how.split())}"


_NEEDED = {
    "emulators": _Needed(
        "the official emulators", emulators_installed, "REQUIRE_EMULATORS", MISSING
    ),
    "terraform": _Needed(
        "terraform", sandbox.terraform_works, "REQUIRE_TERRAFORM", sandbox.MISSING
    ),
    "browser": _Needed(
        "Chromium", chromium.chromium_installed, "REQUIRE_BROWSER", chromium.MISSING
    ),
    "checkov": _Needed(
        "checkov", sandbox.CHECKOV.exists, "REQUIRE_TERRAFORM", "make infra-check installs it."
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests whose tools this machine lacks, unless those are required; order them.

    Long tests come first, so that no worker ends alone with one: those that start processes.
    """
    items.sort(key=lambda item: item.path.relative_to(TESTS).parts[0] not in UNTRACED)
    for marker, needed in _NEEDED.items():
        concerned = [item for item in items if item.get_closest_marker(marker)]
        if not concerned or needed.is_here():
            continue
        if os.environ.get(needed.required) != "1":
            for item in concerned:
                item.add_marker(pytest.mark.skip(reason=needed.reason))


def pytest_collection_finish() -> None:
    """Hide the thousands of collected tests from the garbage collector."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _untraced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Do not measure the coverage of tests that run what others have run, only much more of it.

    They start many processes, or run the same lines hundreds of times, which takes several times as
    long when it is measured.
    """
    traced = Coverage.current()
    repeats = (
        request.path.relative_to(TESTS).parts[0] in UNTRACED
        or is_hypothesis_test(request.function)
        or request.node.get_closest_marker("untraced")
    )
    if traced is None or not repeats:
        yield
        return
    # https://coverage.readthedocs.io/en/latest/subprocess.html
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    traced.stop()
    yield
    traced.start()


@pytest.fixture(autouse=True)
def _clean_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Isolate each test's settings, loaded entries and logging from the next test."""
    for name in list(os.environ):
        ours = name in _SETTINGS | _ALSO or name.startswith("TRANSCRIPTS_")
        if ours or name.endswith("_EMULATOR_HOST"):
            monkeypatch.delenv(name)
    modules, path = set(sys.modules), list(sys.path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for name in set(sys.modules) - modules:
        if name in FUNCTIONS:
            del sys.modules[name]
    sys.path[:] = path
    root.handlers, root.level = handlers, level


@pytest.fixture(scope="session")
async def running_emulators(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[list[Emulator]]:
    """Start both official emulators once."""
    folder: Path = tmp_path_factory.mktemp("emulators")
    started: list[Emulator] = await start_emulators(folder)
    yield started
    await stop_emulators(started)


@pytest.fixture(scope="session")
def emulators(running_emulators: list[Emulator]) -> dict[str, str]:
    """Give the variables that lead to the emulators."""
    return {emulator.variable: emulator.host for emulator in running_emulators}
