"""The body of an upload: one file, bare or as a multipart form, sent while it is read.

requests builds a multipart body in memory, where two gibibytes do not fit. It streams an iterable
that has a length (https://requests.readthedocs.io/en/latest/user/advanced/#streaming-uploads), and
urllib3 sends each piece as it is. A body with ``read`` would be sent in pieces of 16 KiB.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

MAX_FILENAME_BYTES: Final = 255
"""The longest name that common file systems allow, so that a server can store a file under it
(https://www.man7.org/linux/man-pages/man7/path_resolution.7.html, NAME_MAX)."""

MAX_EXTENSION_BYTES: Final = 16
"""Longer tails are part of the name, and are cut with it."""


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
