"""The message that carries a callback over the topic, and back out of it.

Its format is a contract between versions of the two functions, so it is versioned by the attribute
``schema``. ``data`` is the body as received, gzip above 8 KiB. Real transcripts shrink 3.5 times at
level 1 (median of 1,048; 2.2 to 9.0), so from about 22 MB on a body may not fit the 10 MB of a
Pub/Sub message. Such a body is tried at a higher level, and may not fit then either.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from transcripts.errors import MessageTooLarge, PoisonMessage
from transcripts.logs import rfc3339
from transcripts.ports import Message

SCHEMA: Final = "1"
COMPRESS_OVER_BYTES: Final = 8 * 1024
INLINE_WORK_BYTES: Final = 64 * 1024
"""Work on a larger body runs in a thread, so that it does not delay other requests."""

MAX_CALLBACK_BYTES: Final = 32 * 1024 * 1024
MAX_DATA_BYTES: Final = 9_900_000
"""Room for attributes and framing within the 10 MB of one publish request
(https://cloud.google.com/pubsub/quotas#resource_limits)."""

FAST_LEVEL: Final = 1
SMALL_LEVEL: Final = 6
"""For bodies that do not fit at level 1: 13 to 18 % smaller in about three times the time, measured
on synthetic transcripts of 30 MB. Level 9 saves about 1 % more."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_SIZE: Final = re.compile(r"[0-9]{1,9}")


class ReceivedCallback(msgspec.Struct, frozen=True, gc=False):
    """A callback as taken from the topic. ``received_at`` is in UTC; ``sha256`` in hex."""

    body: bytes
    compressed: bytes
    received_at: datetime
    sha256: str


def compress(body: bytes, level: int = FAST_LEVEL) -> bytes:
    """Compress ``body`` to gzip, the same bytes every time (no time in the header)."""
    compressor = zlib.compressobj(level=level, wbits=_GZIP)
    return compressor.compress(body) + compressor.flush()


def decompress(data: bytes, limit_bytes: int = MAX_CALLBACK_BYTES) -> bytes:
    """Undo ``compress``; raises ``PoisonMessage`` if the data is bad, cut off, or too large."""
    decompressor = zlib.decompressobj(wbits=_GZIP)
    try:
        body = decompressor.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise PoisonMessage("The data is marked gzip, but is not.") from error
    if len(body) > limit_bytes:
        raise PoisonMessage(f"The data unpacks to more than {limit_bytes} bytes.")
    if not decompressor.eof:
        raise PoisonMessage("The gzip data is cut off.")
    return body


def pack(body: bytes, received_at: datetime, labels: Mapping[str, str]) -> Message:
    """Make the message of ``body``; ``labels`` say what it is, or why it was rejected.

    Raises ``MessageTooLarge`` if even the compressed body is over what a topic takes.
    """
    data, encoding = body, "identity"
    if len(body) > COMPRESS_OVER_BYTES:
        data, encoding = compress(body), "gzip"
    if len(data) > MAX_DATA_BYTES:
        data = compress(body, SMALL_LEVEL)
    if len(data) > MAX_DATA_BYTES:
        raise MessageTooLarge(f"The body has {len(data)} bytes even compressed.")
    attributes = {
        **labels,
        "received_at": rfc3339(received_at),
        "sha256": hashlib.sha256(body).hexdigest(),
        "size": str(len(body)),
        "encoding": encoding,
        "schema": SCHEMA,
    }
    return Message(data, attributes)


def unpacked_bytes(data: bytes, attributes: Mapping[str, str]) -> int:
    """Return the most bytes that ``unpack`` makes of a message: the body's size if it is known.

    A gzip message without a usable ``size`` counts as the largest. ``unpack`` rejects data that
    exceeds its ``size``, so a forged message takes no more memory than it announces.
    """
    if attributes.get("encoding") != "gzip":
        return len(data)
    size = attributes.get("size", "")
    return min(int(size), MAX_CALLBACK_BYTES) if _SIZE.fullmatch(size) else MAX_CALLBACK_BYTES


def unpack(data: bytes, attributes: Mapping[str, str], published_at: datetime) -> ReceivedCallback:
    """Undo ``pack``; attributes that a hand-made message lacks are computed from the others.

    Raises ``PoisonMessage`` for a schema, encoding, size, time or checksum that can't be right.
    """
    schema = attributes.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise PoisonMessage(f"The message has a schema this version does not know; {SCHEMA} is.")
    encoding = attributes.get("encoding", "identity")
    if encoding == "gzip":
        body, compressed = decompress(data, unpacked_bytes(data, attributes)), data
    elif encoding == "identity":
        body, compressed = data, compress(data)
    else:
        raise PoisonMessage("The message has an encoding other than identity and gzip.")
    if attributes.get("size", str(len(body))) != str(len(body)):
        raise PoisonMessage("The data does not have its size.")
    sha256 = hashlib.sha256(body).hexdigest()
    if attributes.get("sha256", sha256) != sha256:
        raise PoisonMessage("The data does not match its sha256.")
    return ReceivedCallback(body, compressed, _moment(attributes, published_at), sha256)


def _moment(attributes: Mapping[str, str], default: datetime) -> datetime:
    text = attributes.get("received_at")
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise PoisonMessage("received_at has no time zone.")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PoisonMessage("received_at is no RFC 3339 time.") from error
