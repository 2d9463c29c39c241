"""A readable, safe name for the file of an export."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import normalize
from urllib.parse import quote

from transcripts.exports.registry import find_format
from transcripts.exports.transcript import title
from transcripts.tasks.task import Task
from transcripts.text import one_line

MAX_NAME_UNITS: Final = 255
"""Windows and macOS take so many UTF-16 units. Linux takes so many bytes, to which browsers and the
command cut a name that is longer there."""

# Windows forbids these (https://learn.microsoft.com/windows/win32/fileio/naming-a-file), and marks
# of writing direction can show a name in another order than it has ("gnp.exe" for "exe.png").
_FORBIDDEN: Final = re.compile(
    '[<>:"/\\\\|?*\ufeff\u200b\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2060\u2066-\u2069]+'
)
_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\.|\Z)")
_NOT_A_TOKEN: Final = re.compile(r"[^A-Za-z0-9._ -]+")
_NO_STEM: Final = re.compile(r"\A[^A-Za-z0-9]*(?=\.)")


def file_name(task: Task, format_name: str) -> str:
    """Return the name of the export's file, made from the source's name or else from an id.

    Raises ``UnknownFormat``.
    """
    suffix = find_format(format_name).suffix
    room = MAX_NAME_UNITS - len(suffix)
    name = _safe(title(task), room) or _safe(task.asset_id or "", room) or task.task_id
    return name + suffix


def content_disposition(name: str) -> str:
    """Return a header that makes browsers save a file under that name.

    https://www.rfc-editor.org/rfc/rfc6266#section-4.3: ``filename*`` has the name in any script,
    ``filename`` what is ASCII of it, for old ones.
    """
    letters = normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = _NO_STEM.sub("transcript", _NOT_A_TOKEN.sub("_", letters))
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _safe(text: str, room: int) -> str:
    name = _FORBIDDEN.sub("_", one_line(text)).strip(". ")
    if _DEVICES.match(name):
        name = f"_{name}"
    units = name.encode("utf-16-le")[: 2 * room]
    return units.decode("utf-16-le", "ignore").rstrip(". ")
