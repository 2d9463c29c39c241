"""The one entry: from a task and its segments to the bytes of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Final

from transcripts.exports.options import DEFAULTS, Options
from transcripts.exports.registry import FORMATS, find_format
from transcripts.exports.transcript import Transcript
from transcripts.tasks.speakers import ShownSpeakers, shown_speakers
from transcripts.tasks.task import Segment, Task

CHUNK_CHARACTERS: Final = 64 * 1024
"""Text is yielded in chunks of about this size: a write for every line would take longer."""

_BYTE_ORDER_MARK: Final = "\ufeff"

Write = Callable[[Transcript], Iterator[str]] | Callable[[Transcript], Iterator[bytes]]

_WRITERS: Final[Mapping[str, Write]] = {
    name: import_module(f"transcripts.exports.formats.{row.module}").write
    for name, row in FORMATS.items()
}


def export(
    format_name: str,
    task: Task,
    segments: Iterable[Segment],
    options: Options = DEFAULTS,
    speakers: ShownSpeakers | None = None,
) -> Iterator[bytes]:
    """Write a transcript, UTF-8 where it is text, in chunks of about 64 KiB.

    ``segments`` are all segments of ``task``, in order; they are read once, as the chunks are
    consumed. ``task.segments`` is not read. ``speakers`` are needed if ``needs_segments`` of the
    task. Raises ``UnknownFormat`` before the first chunk.
    """
    chosen = find_format(format_name)
    transcript = Transcript(task, speakers or shown_speakers(task), segments, options)
    written = _WRITERS[format_name](transcript)
    return _encoded(written, byte_order_mark=options.bom and "bom" in chosen.options)


def _encoded(written: Iterator[str] | Iterator[bytes], *, byte_order_mark: bool) -> Iterator[bytes]:
    pieces: list[str] = [_BYTE_ORDER_MARK] if byte_order_mark else []
    size = 0
    for piece in written:
        if isinstance(piece, bytes):
            yield piece
            continue
        pieces.append(piece)
        size += len(piece)
        if size >= CHUNK_CHARACTERS:
            yield "".join(pieces).encode()
            pieces, size = [], 0
    if pieces:
        yield "".join(pieces).encode()
