"""One file as a multipart body, read while it is sent.

requests builds such a body in memory; two gibibytes do not fit there. Only what its streaming needs
is here: a length, and reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from transcripts.errors import ObjectUnavailable
from transcripts.ports import ObjectReader

READ_BYTES: Final = 256 * 1024


class SizedFile:
    """A reader with a length known beforehand, as ``requests`` streams it.

    Raises ``ObjectUnavailable`` from ``read`` if the file ends before its length, which breaks the
    request off instead of leaving the server waiting.
    """

    def __init__(self, reader: ObjectReader, size: int) -> None:
        """Take the reader and how many bytes it will give."""
        self._reader = reader
        self._left = size
        self._size = size

    def __len__(self) -> int:
        """Return the whole length in bytes, for Content-Length."""
        return self._size

    def __bool__(self) -> bool:
        """Be true even when empty: there is a body."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        if not self._left:
            return b""
        wanted = self._left if size < 0 else min(size, self._left)
        content = self._reader.read(wanted)
        if not content:
            raise ObjectUnavailable("The object ended before its size.")
        self._left -= len(content)
        return content

    def __iter__(self) -> Iterator[bytes]:
        """Yield the rest in pieces."""
        while piece := self.read(READ_BYTES):
            yield piece


class MultipartFile(SizedFile):
    """The part ``file`` of a form, with its framing (RFC 7578)."""

    def __init__(self, reader: ObjectReader, size: int, filename: str, boundary: str) -> None:
        """Take the file and a boundary that does not occur in it: long and random."""
        super().__init__(reader, size)
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{_quoted(filename)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head = head.encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._length = len(self._head) + size + len(self._tail)
        self.content_type = f"multipart/form-data; boundary={boundary}"

    def __len__(self) -> int:
        """Return the length of file and framing together."""
        return self._length

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes: of the head, then of the file, then of the tail."""
        if self._head:
            cut = len(self._head) if size < 0 else size
            content, self._head = self._head[:cut], self._head[cut:]
            return content
        content = super().read(size)
        if content:
            return content
        cut = len(self._tail) if size < 0 else size
        content, self._tail = self._tail[:cut], self._tail[cut:]
        return content


def _quoted(filename: str) -> str:
    """Leave out what would have to be quoted, which every server undoes in its own way."""
    return "".join(
        "'" if character == '"' else "_" if character in "\\\r\n" else character
        for character in filename
    )
