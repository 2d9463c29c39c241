"""Page tokens: where the next page begins, bound to the query that they belong to.

A token is opaque and needs no secret: whoever can send one may read every page anyway. Its checksum
tells an altered token, and the token of another query, from a usable one
(https://google.aip.dev/158).
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from transcripts.errors import RequestError
from transcripts.ports import Query

Cursor = tuple[datetime, str]
"""The time and the id of the last document of a page."""

_CHECKSUM_BYTES: Final = 12
_MAX_CHARS: Final = 400


def encode_token(query: Query[Any], cursor: Cursor) -> str:
    """Return the token of the page after ``cursor``."""
    content = msgspec.msgpack.encode(cursor)
    return urlsafe_b64encode(_checksum(query, content) + content).rstrip(b"=").decode()


def decode_token(query: Query[Any], token: str) -> Cursor:
    """Return where the page of a token begins.

    Raises ``RequestError`` (``bad_page_token``) if it is altered, or belongs to another query.
    """
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4)) if token.isascii() else b""
        checksum, content = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
        canonical = urlsafe_b64encode(data).rstrip(b"=").decode() == token
        if len(token) <= _MAX_CHARS and canonical and checksum == _checksum(query, content):
            moment, document_id = msgspec.msgpack.decode(content, type=Cursor)
            return moment.astimezone(UTC), document_id
    except (ValueError, msgspec.MsgspecError):
        pass
    raise RequestError(
        "page_token is altered or belongs to another query. Repeat the parameters of the query that"
        " returned it, or begin without it.",
        code="bad_page_token",
    )


def _checksum(query: Query[Any], content: bytes) -> bytes:
    asked = (query.collection, query.where, query.contains, query.since, query.until)
    return hashlib.sha256(msgspec.msgpack.encode((asked, content))).digest()[:_CHECKSUM_BYTES]
