"""The zip that is deployed: reproducible, complete, and started as Google's build starts it.

Google's build (https://github.com/GoogleCloudPlatform/buildpacks, ``cmd/python/
functions_framework``) runs ``compileall`` over the source, then ``functions-framework`` with
``FUNCTION_TARGET`` (the entry point) and ``FUNCTION_SOURCE`` (the build's
``GOOGLE_FUNCTION_SOURCE``) in its environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import httpx
import pytest

from cli.deploy.package import build_package, packaged_files
from cli.local.processes import free_port
from tests.polling import eventually
from transcripts.settings import FUNCTIONS
from transcripts.viewer.assets import MEDIA_TYPES

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "functions"
CLOUD = {
    "GOOGLE_CLOUD_PROJECT": "my-project-123",
    "FIRESTORE_DATABASE": "transcripts",
    "RETENTION_DAYS": "0",
    "MAVI_API_KEY": "made-up-key",
    "MAVI_BASE_URL": "https://mavi.invalid/serve/api/v2",
    "MAVI_REQUESTS_PER_SECOND": "1",
    "MAX_OBJECT_BYTES": "5368709120",
    "MAX_SUBMISSIONS_PER_DAY": "0",
    "OVERDUE_AFTER_MINUTES": "360",
    "RESUBMIT_OVERDUE": "0",
    "QUEUE_INVOKER": "transcripts-to-submit@my-project-123.iam.gserviceaccount.com",
    "SUBMIT_QUEUE": "projects/my-project-123/locations/us-central1/queues/transcripts-submissions",
    "SUBMIT_URL": "https://transcripts-submit-123456789012.us-central1.run.app",
    "CALLBACK_TOKENS": "made-up-token-made-up-token-made-up-token",
    "CALLBACK_TOPIC": "projects/my-project-123/topics/transcripts-callbacks",
    "PLAY_MEDIA": "false",
    "REDACT_FACES": "false",
    "REJECTED_TOPIC": "projects/my-project-123/topics/transcripts-callbacks-rejected",
    "UPLOAD_BUCKET": "my-project-123-transcripts-uploads",
    "RESULTS_TOPIC": "projects/my-project-123/topics/transcripts-results",
}
"""Made-up values of every environment variable that Terraform sets."""

UNKNOWN_PATH = "/no-such-path"
ANSWERS = {
    "callback": 404,
    "submit": 405,
    "ingest": 405,
    "subscriber": 405,
    "results": 404,
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


def test_package_holds_sources_pages_and_requirements_only(tmp_path: Path) -> None:
    """Entries are sorted, with fixed times and modes."""
    with zipfile.ZipFile(build_package(SOURCE, tmp_path)) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert names == sorted(names)
    assert {f"{function}.py" for function in FUNCTIONS} | {"requirements.txt"} < set(names)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {oct(entry.external_attr >> 16) for entry in entries} == {"0o100644"}
    assert len(names) == len(packaged_files(SOURCE))
    assert {f"transcripts/viewer/static/{name}" for name in MEDIA_TYPES} < set(names)
    others = {name for name in names if not name.endswith(".py")} - {"requirements.txt"}
    assert {name for name in others if not name.startswith("transcripts/viewer/")} == set()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The unpacked and compiled zip, and the ``bin`` of an environment of its requirements."""
    folder = tmp_path_factory.mktemp("deployed")
    root = folder / "workspace"
    with zipfile.ZipFile(build_package(SOURCE, folder)) as archive:
        archive.extractall(root)
    venv.create(folder / "venv", with_pip=True)
    bin_folder = folder / "venv" / "bin"
    install = ["-m", "pip", "-q", "--disable-pip-version-check", "install", "--require-hashes"]
    run([bin_folder / "python", *install, "-r", "requirements.txt"], root)
    run([bin_folder / "python", "-m", "pip", "check"], root)
    run([bin_folder / "python", "-m", "compileall", "-f", "-q", "."], root)
    yield root, bin_folder
    shutil.rmtree(folder, ignore_errors=True)


def run(command: list[str | Path], folder: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def started(function: str, root: Path, bin_folder: Path) -> Iterator[tuple[str, Popen[str]]]:
    """Start an entry point as the built image does; yield its URL."""
    port = free_port()
    known = {variable.name for variable in FUNCTIONS[function].variables()}
    with Popen(  # noqa: S603 - the framework of the environment
        [bin_folder / "functions-framework"],
        cwd=root,
        env={
            "PATH": os.environ["PATH"],
            "TRANSCRIPTS_BACKEND": "google",
            "FUNCTION_TARGET": function,
            "FUNCTION_SOURCE": f"{function}.py",
            "HOST": "127.0.0.1",
            "PORT": str(port),
            **{name: value for name, value in CLOUD.items() if name in known},
        },
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    ) as server:
        try:
            yield f"http://127.0.0.1:{port}", server
        finally:
            server.terminate()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("function", sorted(FUNCTIONS))
async def test_entry_point_in_cloud_environment_starts(
    function: str, deployed: tuple[Path, Path]
) -> None:
    """It has only its requirements and the settings that Terraform sets."""
    answers: list[int] = []
    with started(function, *deployed) as (address, server):
        async with httpx.AsyncClient(base_url=address) as client:

            async def answered() -> bool:
                assert server.poll() is None, server.stdout.read() if server.stdout else ""
                try:
                    answers.append((await client.get(UNKNOWN_PATH)).status_code)
                except httpx.TransportError:
                    return False
                return True

            await eventually(answered)
    assert answers == [ANSWERS[function]]
