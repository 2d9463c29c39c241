"""One file as a multipart body, read while it is sent.

requests builds such a body in memory, where two gibibytes do not fit. This module has only what
requests needs to stream a body: a length, and reading.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

from transcripts.errors import ObjectUnavailable
from transcripts.ports import ObjectReader

READ_BYTES: Final = 256 * 1024

MAX_FILENAME_BYTES: Final = 255
"""The longest name that common file systems allow, so that a server can store a file under it
(https://www.man7.org/linux/man-pages/man7/path_resolution.7.html, NAME_MAX)."""

MAX_EXTENSION_BYTES: Final = 16
"""Longer tails are part of the name, and are cut with it."""


class SizedFile:
    """A reader with a length known beforehand, as ``requests`` streams it.

    ``read`` raises ``ObjectUnavailable`` if the file ends before its length. That ends the request,
    so that the server does not wait for the missing bytes.
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
        name = clean_filename(filename)
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
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
