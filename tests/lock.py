"""The lock files: for the deployed functions, for operators, and for tests.

``python -m tests.lock --write`` resolves them again. Three are made from `pyproject.toml`; each
larger set is pinned to the smaller one's versions, so the tests use the deployed versions. Each
``tests/tools/<name>.in`` has its own lock file: the requirements of these tools contradict those of
the project, so each tool has an environment of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HEADER: Final = "# Pinned by `make lock` from {source}. Do not edit.\n"
LOCKS: Final = {
    "functions/requirements.txt": (),
    "cli/requirements.txt": ("cli",),
    "tests/requirements.txt": ("cli", "dev"),
}
TOOLS: Final = tuple(
    str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests" / "tools").glob("*.in"))
)


def locked(source: str) -> str:
    """Return the lock file of a ``.in`` file."""
    return source.removesuffix(".in") + ".txt"


def resolve(source: str, path: str, *options: str) -> None:
    """Resolve one set of requirements into a lock file."""
    command = [
        str(Path(sys.executable).with_name("uv")),
        *("pip", "compile", "--quiet", "--upgrade", "--universal", "--python-version", "3.11"),
        *("--generate-hashes", "--no-header", "--no-annotate", *options),
        *(source, "--output-file", path),
    ]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - our own fixed command
    file = ROOT / path
    file.write_text(HEADER.format(source=source) + file.read_text())
    print(f"wrote {path}")


def write() -> None:
    """Resolve all of them, the project's smallest set first."""
    constraint: str | None = None
    for path, extras in LOCKS.items():
        options = [part for extra in extras for part in ("--extra", extra)]
        resolve("pyproject.toml", path, *options, *(("-c", constraint) if constraint else ()))
        constraint = constraint or path
    for source in TOOLS:
        resolve(source, locked(source))


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.lock --write")
    write()
