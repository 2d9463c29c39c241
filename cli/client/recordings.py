"""The recordings among the files that a user names: which are taken, and how long they are."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from transcripts.settings import ObjectLimits
from transcripts.uploads.rejections import RejectReason, classify
from transcripts.uploads.stored_object import StoredObject

LIMITS: Final = ObjectLimits()
"""Those of a deployment that sets none; each rejects what is over its own."""

REASONS: Final = {
    RejectReason.FOLDER: "It is a folder. To submit the media below it: --recursive",
    RejectReason.NOT_MEDIA: "It is no media file that Mavi takes.",
    RejectReason.APPLE_DOUBLE: "It is a ._ file of macOS, which holds attributes only.",
    RejectReason.UNFINISHED_DOWNLOAD: "Its name is that of a download that has not ended.",
    RejectReason.EMPTY: "It is empty.",
    RejectReason.TOO_LARGE: f"It is over {LIMITS.max_object_bytes // 1024**3} GiB.",
}
"""Why a file is not taken, in words."""

FAULTS: Final = frozenset({RejectReason.EMPTY, RejectReason.TOO_LARGE})
"""Of files that should be recordings; the other reasons are those of other files."""


def refusal(path: Path) -> RejectReason | None:
    """Return why a file is not taken, by the rule of the functions; None if it is.

    Its name and size decide. Raises ``OSError``.
    """
    if path.is_dir():
        return RejectReason.FOLDER
    name = os.fsencode(path.name).decode(errors="replace")
    stored = StoredObject(
        bucket="",
        name=name,
        generation="0",
        content_type=mimetypes.guess_type(name)[0],
        size=path.stat().st_size,
    )
    found = classify(stored, LIMITS)
    return found if isinstance(found, RejectReason) else None


def is_here(path: Path) -> bool:
    """Tell whether a file or folder is there; a name that no file can have is none."""
    try:
        return path.is_file() or path.is_dir()
    except OSError:
        return False


def walk(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield every file below a folder, but for hidden ones; goes on after an error."""
    for name, folders, files in os.walk(folder, onerror=on_error):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        paths = [Path(name, each) for each in sorted(files) if not each.startswith(".")]
        yield from (path for path in paths if path.is_file())


def duration_s(path: Path) -> float | None:
    """Return how long a recording is, None if that is not known: not every format is read."""
    from tinytag import TinyTag, TinyTagException

    try:
        return TinyTag.get(path, tags=False).duration or None
    except (TinyTagException, OSError):
        return None
