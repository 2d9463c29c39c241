"""The project itself: what is imported, locked and documented."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.environments import embedded, environment
from tests.lock import LOCKS, TOOLS, locked
from transcripts.settings import FUNCTIONS

ROOT = Path(__file__).resolve().parent.parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT / "functions").with_suffix("").parts)
    for path in (ROOT / "functions" / "transcripts").rglob("*.py")
    if path.name != "__init__.py"
)
# functions-framework has the empty package google.cloud in every process, and a context class.
PRINT_GOOGLE = (
    "print([m for m in sys.modules if m.startswith(('grpc', 'google.'))"
    " and not m.startswith('google.cloud.functions') and m != 'google.cloud'])"
)
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run_python(code: str) -> str:
    result = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": "functions"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_of_every_module_needs_no_environment() -> None:
    """Importing needs no setting, credentials, network or file."""
    run_python("\n".join(f"import {module}" for module in MODULES))


@pytest.mark.parametrize("module", [name for name in MODULES if ".google." not in name])
def test_import_of_other_modules_loads_no_google_client(module: str) -> None:
    """Only ``google/`` loads Google's clients."""
    assert run_python(f"import {module}, sys\n{PRINT_GOOGLE}").strip() == "[]"


def test_command_runs_from_any_folder(tmp_path: Path) -> None:
    """No dependency installs a package of the same name."""
    result = subprocess.run(  # noqa: S603 - our own command
        [Path(sys.executable).with_name("transcripts"), "--help"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "fake-mavi" in result.stdout


def load(name: str, environ: dict[str, str]) -> str:
    """Return a program that loads an entry as the framework does."""
    return (
        f"import os, functions_framework\nos.environ.update({environ!r})\n"
        f"functions_framework.create_app({name!r}, 'functions/{name}.py')\n"
    )


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_embedded_entry_loads_no_google_client(name: str) -> None:
    """The entry is loaded as the framework loads it."""
    out = run_python("import sys\n" + load(name, embedded(name)) + PRINT_GOOGLE)
    assert out.strip() == "[]"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_google_entry_loads_only_the_client_of_its_first_request(name: str) -> None:
    """Google's client packages are half of a start: the first task and recording load theirs."""
    out = run_python(
        "import sys\n"
        + load(name, environment(name))
        + "packages = ('google.cloud.firestore_v1', 'google.cloud.storage', 'google.pubsub_v1',"
        " 'google.cloud.tasks_v2')\n"
        "print([name for name in packages if name in sys.modules])"
    )
    expected = "google.pubsub_v1" if name == "callback" else "google.cloud.firestore_v1"
    assert ast.literal_eval(out) == [expected]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_entry_collects_garbage_after_its_imports_only(name: str) -> None:
    """An entry that does not turn the collector on again would grow until it is ended."""
    out = run_python(
        "import gc, functions_framework.aio\n"
        "before = sum(each['collections'] for each in gc.get_stats())\n"
        + load(name, embedded(name))
        + "print(sum(each['collections'] for each in gc.get_stats()) - before, gc.isenabled())"
    )
    count, enabled = out.split()
    # One may come before the entry's own first import; with the collector on, there are 30.
    assert int(count) <= 1
    assert enabled == "True"


def test_starting_is_imported_by_entries_only() -> None:
    """It turns the collector off, and only an entry turns it on again."""
    importers = {
        path.relative_to(ROOT / "functions").as_posix()
        for path in (ROOT / "functions").rglob("*.py")
        if "import transcripts.starting" in path.read_text()
    }
    assert importers == {f"{name}.py" for name in FUNCTIONS}


def pins(path: str) -> dict[str, tuple[str, str]]:
    """Return version and marker of every package of a lock file."""
    found: dict[str, tuple[str, str]] = {}
    for line in (ROOT / path).read_text().splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\]+?))? \\$", line)
        if match:
            found[str(canonicalize_name(match[1]))] = (match[2], match[3] or "")
    return found


def map_of_strings() -> dict[str, str]:
    """Return what markers are evaluated with here."""
    return {key: str(value) for key, value in default_environment().items()}


def closure(extras: tuple[str, ...]) -> dict[str, list[Requirement]]:
    """Return every requirement of the project, by package, as installed here."""
    todo = [Requirement(text) for text in PROJECT["dependencies"]]
    for extra in extras:
        todo += [Requirement(text) for text in PROJECT["optional-dependencies"][extra]]
    found: dict[str, list[Requirement]] = {}
    seen: set[str] = set()
    while todo:
        requirement = todo.pop()
        if requirement.marker and not requirement.marker.evaluate():
            continue
        name = canonicalize_name(requirement.name)
        found.setdefault(name, []).append(requirement)
        for extra in ("", *requirement.extras):
            if f"{name}[{extra}]" in seen:
                continue
            seen.add(f"{name}[{extra}]")
            for text in metadata.requires(name) or []:
                needed = Requirement(text)
                environment = {**map_of_strings(), "extra": extra}
                if needed.marker is None or needed.marker.evaluate(environment):
                    needed.marker = None
                    todo.append(needed)
    return found


@pytest.mark.parametrize("path", sorted(LOCKS))
def test_lock_file_is_fresh(path: str) -> None:
    """The lock file pins the requirements of pyproject.toml."""
    locked, needed = pins(path), closure(LOCKS[path])
    assert set(needed) <= set(locked), "run: make lock"
    extra = {name for name in set(locked) - set(needed) if not locked[name][1]}
    assert extra == set(), "run: make lock"
    for name, requirements in needed.items():
        for requirement in requirements:
            version = locked[name][0]
            assert requirement.specifier.contains(version, prereleases=True), "run: make lock"


@pytest.mark.parametrize("path", sorted(LOCKS))
def test_installed_packages_are_the_locked_ones(path: str) -> None:
    """Tests are valid only for the pinned versions."""
    for name, (version, marker) in pins(path).items():
        if not marker or Requirement(f"{name} ; {marker}").marker.evaluate():  # type: ignore[union-attr] # it has one
            assert metadata.version(name) == version


@pytest.mark.parametrize("path", [*LOCKS, *map(locked, TOOLS)])
def test_lock_file_has_hashes_and_no_url(path: str) -> None:
    """The installer chooses the index."""
    text = (ROOT / path).read_text()
    names = re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)
    assert set(map(canonicalize_name, names)) == set(pins(path))
    assert all(
        re.search(
            rf"^{re.escape(name)}==.*\n    --hash=sha256:", text, re.MULTILINE | re.IGNORECASE
        )
        for name in names
    )
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("source", TOOLS)
def test_tool_environments_are_locked(source: str) -> None:
    """Every tool is pinned."""
    lines = (ROOT / source).read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    locked_pins = pins(locked(source))
    for requirement in wanted:
        version, _ = locked_pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), "run: make lock"


def test_larger_lock_files_agree_with_the_deployed_one() -> None:
    """The tested versions are the deployed ones; more packages may widen a marker."""
    deployed = {name: version for name, (version, _) in pins("functions/requirements.txt").items()}
    for path in LOCKS:
        pinned = {name: version for name, (version, _) in pins(path).items()}
        assert deployed.items() <= pinned.items()
