"""The zip that is deployed: reproducible, complete, and started as Google's build starts it.

Google's build (https://github.com/GoogleCloudPlatform/buildpacks, ``cmd/python/
functions_framework``) runs ``compileall`` over the source, then ``functions-framework`` with
``FUNCTION_TARGET`` (the entry point) and ``FUNCTION_SOURCE`` (the build's
``GOOGLE_FUNCTION_SOURCE``) in its environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Final

import httpx
import pytest

from cli.deploy.package import build_package
from cli.local.processes import free_port
from tests.environments import embedded, environment
from tests.polling import eventually
from transcripts.settings import FUNCTIONS

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "functions"
HTML = "text/html; charset=utf-8"
UNKNOWN_PATH = "/no-such-path"
ANSWERS = {
    "callback": 404,
    "submit": 405,
    "ingest": 405,
    "subscriber": 405,
    "results": 404,
    "reader": 404,
    "sweep": 405,
}
"""The answer of each function to GET on that path, which needs no Google service."""


def copy_of_source(folder: Path) -> Path:
    source = folder / "functions"
    shutil.copytree(SOURCE, source)
    return source


def test_package_of_same_code_has_same_bytes(tmp_path: Path) -> None:
    """Times, modes and other files in the checkout make no difference."""
    first = build_package(SOURCE, tmp_path / "a")
    other = copy_of_source(tmp_path)
    for path in other.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o700)
    (other / "__pycache__").mkdir(exist_ok=True)
    (other / "__pycache__" / "submit.py").write_text("junk")
    (other / ".env").write_text("MAVI_API_KEY=secret")
    (other / ".hidden.py").write_text("junk")
    (other / "notes.txt").write_text("junk")
    (other / "tests").mkdir()
    (other / "tests" / "test_submit.py").write_text("junk")
    second = build_package(other, tmp_path / "b")
    assert (second.name, second.read_bytes()) == (first.name, first.read_bytes())


def test_package_of_other_code_has_other_name(tmp_path: Path) -> None:
    """Terraform deploys new code only under another name."""
    other = copy_of_source(tmp_path)
    with (other / "submit.py").open("a") as file:
        file.write("# changed\n")
    assert build_package(other, tmp_path / "b").name != build_package(SOURCE, tmp_path / "a").name


NOT_SHIPPED: Final = frozenset[str]()
"""Files below ``functions/`` that no function needs."""


def test_package_holds_every_file_below_functions(tmp_path: Path) -> None:
    """A template or a style sheet that is missing shows only in the cloud."""
    with zipfile.ZipFile(build_package(SOURCE, tmp_path)) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert names == sorted(names)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {oct(entry.external_attr >> 16) for entry in entries} == {"0o100644"}
    there = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert set(names) == there - NOT_SHIPPED
    assert {f"{function}.py" for function in FUNCTIONS} < set(names)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The unpacked and compiled zip, and the ``bin`` of an environment of its requirements."""
    folder = tmp_path_factory.mktemp("deployed")
    root = folder / "workspace"
    with zipfile.ZipFile(build_package(SOURCE, folder)) as archive:
        archive.extractall(root)
    venv.create(folder / "venv")
    bin_folder = folder / "venv" / "bin"
    uv: list[str | Path] = [Path(sys.executable).with_name("uv"), "--quiet", "pip"]
    into: list[str | Path] = ["--python", bin_folder / "python"]
    # With bytecode, as the build does.
    install = ["install", "--compile-bytecode", "--require-hashes", "-r", "requirements.txt"]
    run([*uv, *install, *into], root)
    run([*uv, "check", *into], root)
    run([bin_folder / "python", "-m", "compileall", "-f", "-q", "."], root)
    yield root, bin_folder
    shutil.rmtree(folder, ignore_errors=True)


def run(command: list[str | Path], folder: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def started(
    function: str, deployed: tuple[Path, Path], environ: dict[str, str]
) -> Iterator[tuple[str, Popen[str]]]:
    """Start an entry point as the built image does; yield its URL."""
    root, bin_folder = deployed
    port = free_port()
    with Popen(  # noqa: S603 - the framework of the environment
        [bin_folder / "functions-framework"],
        cwd=root,
        env={
            "PATH": os.environ["PATH"],
            "FUNCTION_TARGET": function,
            "FUNCTION_SOURCE": f"{function}.py",
            "HOST": "127.0.0.1",
            "PORT": str(port),
            **environ,
        },
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    ) as server:
        try:
            yield f"http://127.0.0.1:{port}", server
        finally:
            server.terminate()


async def answer(address: str, server: Popen[str], path: str) -> httpx.Response:
    """Get a path as soon as the server listens."""
    answers: list[httpx.Response] = []
    async with httpx.AsyncClient(base_url=address) as client:

        async def answered() -> bool:
            assert server.poll() is None, server.stdout.read() if server.stdout else ""
            try:
                answers.append(await client.get(path))
            except httpx.TransportError:
                return False
            return True

        # Seven processes start at once.
        await eventually(answered, within_s=120)
    return answers[-1]


@pytest.mark.timeout(300)
async def test_entry_points_in_cloud_environment_start(deployed: tuple[Path, Path]) -> None:
    """They have only their requirements and the settings that Terraform sets; results has pages."""
    with ExitStack() as stack:
        servers = {}
        for function in FUNCTIONS:
            process = started(function, deployed, environment(function))
            servers[function] = stack.enter_context(process)
        for function, (address, server) in servers.items():
            found = await answer(address, server, UNKNOWN_PATH)
            assert found.status_code == ANSWERS[function], function
        with started("results", deployed, embedded("results")) as (address, server):
            page = await answer(address, server, "/")
            assert (page.status_code, page.headers["content-type"]) == (200, HTML)
            for linked in re.findall(r'(?:href|src)="(/viewer/[^"]+)"', page.text):
                assert (await answer(address, server, linked)).status_code == 200
