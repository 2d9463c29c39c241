"""How a transcript is cut into documents: whole in its task, or in pages beside it.

Sizes follow Firestore's rules (https://cloud.google.com/firestore/docs/storage-size) closely enough
to stay well inside its 1 MiB, and are the same for every backend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from transcripts.tasks.task import Segment, Task

INLINE_LIMIT_BYTES: Final = 700 * 1024
"""Maximum of a task's document with its segments, and of each page; larger tasks are paged."""

RAW_CHUNK_BYTES: Final = 900 * 1024

_SEGMENT_BYTES: Final = 48
"""The size of a segment without its text: four field names, two numbers, a speaker's id."""


def _size(segment: Segment) -> int:
    text = segment.text
    return _SEGMENT_BYTES + (len(text) if text.isascii() else len(text.encode()))


def paginate(task: Task, limit_bytes: int = INLINE_LIMIT_BYTES) -> tuple[Task, list[list[Segment]]]:
    """Return the task as it is stored, and the pages of its segments (none if they fit inside)."""
    rest = 2 * len(msgspec.json.encode(replace(task, segments=[])))
    if rest + sum([_size(segment) for segment in task.segments]) <= limit_bytes:
        return task, []
    pages = list(_pages(task.segments, limit_bytes))
    return replace(task, segments=[], pages=len(pages)), pages


def _pages(segments: Sequence[Segment], limit_bytes: int) -> Iterator[list[Segment]]:
    page: list[Segment] = []
    used = 0
    for segment in segments:
        size = _size(segment)
        if page and used + size > limit_bytes:
            yield page
            page, used = [], 0
        page.append(segment)
        used += size
    if page:
        yield page


def chunks(raw: bytes, limit_bytes: int = RAW_CHUNK_BYTES) -> list[bytes]:
    """Cut a compressed body into blocks that each fit a document; at least one."""
    return [raw[at : at + limit_bytes] for at in range(0, max(len(raw), 1), limit_bytes)]
