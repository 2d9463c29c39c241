"""The zip to deploy: the same code gives the same bytes on every machine.

Files are stored without compression, because compressors differ between machines; it has 300 kB.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Final

FIXED_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold."""

FILE_MODE: Final = 0o100644
DEPLOYED: Final = frozenset({".py", ".html", ".css", ".js", ".svg"})
UNIX: Final = 3
HASH_CHARS: Final = 16


def packaged_files(source: Path) -> list[Path]:
    """Return the files to deploy, in order, with ``requirements.txt``."""
    files = [
        path
        for path in source.rglob("*")
        if path.suffix in DEPLOYED and not _is_left_out(path.relative_to(source))
    ]
    return sorted([*files, source / "requirements.txt"], key=lambda path: path.as_posix())


def _is_left_out(path: Path) -> bool:
    return any(part.startswith((".", "__pycache__")) or part == "tests" for part in path.parts)


def package_bytes(source: Path) -> bytes:
    """Return the zip of the folder ``source``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in packaged_files(source):
            entry = zipfile.ZipInfo(path.relative_to(source).as_posix(), FIXED_TIME)
            entry.create_system = UNIX
            entry.external_attr = FILE_MODE << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def build_package(source: Path, folder: Path) -> Path:
    """Write the zip of ``source`` into ``folder``, named by the hash of its content."""
    content = package_bytes(source)
    name = hashlib.sha256(content).hexdigest()[:HASH_CHARS]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"functions-{name}.zip"
    path.write_bytes(content)
    return path
