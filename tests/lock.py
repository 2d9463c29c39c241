"""The three lock files, from `pyproject.toml`: what is deployed, run by operators, and tested with.

``python -m tests.lock --write`` resolves anew; each larger set is pinned to the smaller one's
versions, so what is tested is what is deployed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HEADER: Final = "# Pinned by `make lock` from pyproject.toml. Do not edit.\n"
LOCKS: Final = {
    "functions/requirements.txt": (),
    "cli/requirements.txt": ("cli",),
    "tests/requirements.txt": ("cli", "dev"),
}


def write() -> None:
    """Resolve all three, the smallest first."""
    constraint: str | None = None
    for path, extras in LOCKS.items():
        command = [
            str(Path(sys.executable).with_name("uv")),
            *("pip", "compile", "--quiet", "--upgrade", "--universal", "--python-version", "3.11"),
            *("--generate-hashes", "--no-header", "--no-annotate"),
            *(part for extra in extras for part in ("--extra", extra)),
            *(("--constraint", constraint) if constraint else ()),
            *("pyproject.toml", "--output-file", path),
        ]
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - our own fixed command
        file = ROOT / path
        file.write_text(HEADER + file.read_text())
        constraint = constraint or path
        print(f"wrote {path}")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.lock --write")
    write()
