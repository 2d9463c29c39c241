"""The body of an upload: one file, bare or as a multipart form, sent while it is read.

A thread reads the file ahead of the caller that sends it, so storage and receiver are busy at the
same time. The memory of one upload is bounded: ``READ_AHEAD_BYTES`` wait to be sent, one block is
being sent and one is held back.

requests builds a multipart body in memory, where two gibibytes do not fit. It streams an iterable
that has a length (https://requests.readthedocs.io/en/latest/user/advanced/#streaming-uploads), and
urllib3 sends each piece as it is. A body with ``read`` would be sent in pieces of 16 KiB.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from transcripts.errors import ObjectUnavailable
from transcripts.ports import ObjectReader

BLOCK_BYTES: Final = 512 * 1024
"""How many bytes are read and sent at a time. Smaller blocks cost more CPU."""

READ_AHEAD_BYTES: Final = 8 * 1024 * 1024
"""How many bytes of an upload wait to be sent, at most: 0.1 s of a line of 80 MB a second."""

MAX_FILENAME_BYTES: Final = 255
"""The longest name that common file systems allow, so that a server can store a file under it
(https://www.man7.org/linux/man-pages/man7/path_resolution.7.html, NAME_MAX)."""

MAX_EXTENSION_BYTES: Final = 16
"""Longer tails are part of the name, and are cut with it."""


class ReadAhead:
    """The blocks of an object, in order; iterate over them once, under ``with``.

    The iteration starts the thread. A block is given only after the read that follows it, so that
    the last one is held back until the object is complete: if the object is shorter or longer than
    its size, or its checksum is wrong, the caller gets the error and never the last block.

    An error of the reader is raised at the next block, before the blocks that wait. At the end of
    ``with`` the reader is closed and the thread has ended.
    """

    def __init__(
        self,
        reader: ObjectReader,
        size: int,
        *,
        block_bytes: int = BLOCK_BYTES,
        ahead_bytes: int = READ_AHEAD_BYTES,
    ) -> None:
        """The reader has to give ``size`` bytes; this object closes it."""
        self._reader = reader
        self._size = size
        self._block_bytes = block_bytes
        self._ahead_blocks = ahead_bytes // block_bytes
        self._received = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop reading at once, close the reader and wait until the thread has ended."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        # This also ends a read that is under way.
        self._reader.close()
        self._thread.shutdown()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks; raises the errors of the reader, and ``ObjectUnavailable``."""
        reads = deque(self._thread.submit(self._read) for _ in range(self._ahead_blocks))
        held_back = b""
        while True:
            failed = (read for read in reads if read.done() and read.exception() is not None)
            block = next(failed, reads[0]).result()
            reads.popleft()
            reads.append(self._thread.submit(self._read))
            if held_back:
                yield held_back
            if not block:
                return
            held_back = block

    def _read(self) -> bytes:
        """Read the next block, in the thread; nothing at the end."""
        block = self._reader.read(self._block_bytes)
        self._received += len(block)
        if self._received > self._size:
            raise ObjectUnavailable("The object is longer than its size.")
        if not block and self._received < self._size:
            raise ObjectUnavailable("The object ended before its size.")
        return block


class SizedFile:
    """The blocks of a file, with the length known beforehand."""

    content_type = "application/octet-stream"

    def __init__(self, blocks: Iterable[bytes], size: int) -> None:
        self._blocks = blocks
        self._size = size

    def __len__(self) -> int:
        """Return the whole length in bytes, for Content-Length."""
        return self._size

    def __bool__(self) -> bool:
        """Be true even when empty: there is a body."""
        return True

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks."""
        return iter(self._blocks)


class MultipartFile(SizedFile):
    """The part ``file`` of a form, with its framing (RFC 7578)."""

    def __init__(self, blocks: Iterable[bytes], size: int, filename: str, boundary: str) -> None:
        """The boundary must not occur in the file: long and random."""
        super().__init__(blocks, size)
        name = clean_filename(filename)
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head = head.encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={boundary}"

    def __len__(self) -> int:
        """Return the length of file and framing together."""
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the head, the blocks and the tail."""
        yield self._head
        yield from self._blocks
        yield self._tail


def clean_filename(filename: str) -> str:
    """Return a file name that every server can read, in a multipart header and in JSON.

    Control characters, line separators, lone surrogates, noncharacters and backslashes become
    ``_`` and quotation marks ``'``: RFC 7578 leaves their quoting to each server
    (https://www.rfc-editor.org/rfc/rfc7578#section-4.2), and servers answer 5xx to some of them.
    A name of more than ``MAX_FILENAME_BYTES`` in UTF-8 is cut before its extension.
    """
    cleaned = "".join(map(_clean_character, filename))
    encoded = cleaned.encode()
    if len(encoded) <= MAX_FILENAME_BYTES:
        return cleaned
    stem, point, extension = cleaned.rpartition(".")
    tail = (point + extension).encode()
    if not stem or len(tail) > MAX_EXTENSION_BYTES:
        stem, tail = cleaned, b""
    cut = stem.encode()[: MAX_FILENAME_BYTES - len(tail)]
    return cut.decode(errors="ignore") + tail.decode()


def _clean_character(character: str) -> str:
    if character == '"':
        return "'"
    unclean = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    # https://www.unicode.org/faq/private_use.html#noncharacters
    code_point = ord(character)
    noncharacter = code_point & 0xFFFE == 0xFFFE or 0xFDD0 <= code_point <= 0xFDEF
    return "_" if unclean or noncharacter or character == "\\" else character
