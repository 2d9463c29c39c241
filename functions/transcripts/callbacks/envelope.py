"""The outer frame of every callback: ``{"code", "message", "task_id", "data"}``.

https://api-tools.memories.ai/api-reference/getting-started/webhooks documents these four and no
more. Only ``task_id`` is needed to accept a callback; all other parts are passed on unchanged.

The parts stay raw JSON: the callback function must check and label 32 MiB without building objects
from it, and a part that no code reads costs nothing.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8, getincrementaldecoder
from typing import Any, Final

import msgspec

from transcripts.errors import PoisonMessage, UnreadableCallback
from transcripts.ids import usable_id
from transcripts.mavi.answers import SUCCESS_CODES

_MANY_DIGITS: Final = 400
_PIECE_BYTES: Final = 64 * 1024
NULL: Final = msgspec.Raw(b"null")
"""A missing part reads as null."""


class _Frame(msgspec.Struct, frozen=True, gc=False):
    task_id: msgspec.Raw = NULL
    code: msgspec.Raw = NULL
    message: msgspec.Raw = NULL
    data: msgspec.Raw = NULL


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A readable callback. ``code``, ``message`` and ``data`` are raw JSON, ``null`` if absent."""

    task_id: str
    code: msgspec.Raw
    message: msgspec.Raw
    data: msgspec.Raw


_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
# An odd number of backslashes makes an escape. The possessive quantifier keeps no stack of them.
_SURROGATE_ESCAPE: Final = re.compile(
    rb"(?<!\\)(?:\\\\)*+"
    rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u(?P<alone>[dD][89a-fA-F][0-9a-fA-F]{2}))"
)

_decode_frame = msgspec.json.Decoder(_Frame).decode
_decode_string = msgspec.json.Decoder(str).decode


def repair_escapes(body: bytes) -> bytes:
    r"""Replace half an emoji by U+FFFD, as decoders of text do.

    A text that was cut inside an emoji ends in a lone escape like ``\ud83d``. Strict decoders
    reject it, and with it a whole transcript that is paid for. Correct JSON is returned unchanged;
    a repair takes twice the body's size in memory.
    """
    if not _SURROGATE.search(body):
        return body
    repaired = bytearray(body)
    for found in _SURROGATE_ESCAPE.finditer(body):
        start = found.start("alone")
        if start >= 0:
            repaired[start : start + 4] = b"fffd"
    return bytes(repaired)


def _check_utf8(body: bytes) -> None:
    """Raise ``UnicodeDecodeError`` unless it is UTF-8; decoding it whole may take 4 times it."""
    decode = getincrementaldecoder("utf-8")().decode
    for at in range(0, len(body), _PIECE_BYTES):
        decode(body[at : at + _PIECE_BYTES])
    decode(b"", final=True)


def read_envelope(body: bytes) -> Envelope:
    """Read the frame of ``body``, which may be any bytes at all.

    A byte-order mark is ignored; of duplicate keys the last one counts. Raises
    ``UnreadableCallback`` with the code ``invalid_json`` (``NaN``, bad UTF-8 and absurd nesting
    included), ``not_an_object`` or ``invalid_task_id``, and nothing else.
    """
    body = body.removeprefix(BOM_UTF8)
    try:
        if not body.isascii():
            # Raw parts are skipped, and skipping does not look at the bytes of a string.
            _check_utf8(body)
        try:
            frame = _decode_frame(body)
        except msgspec.DecodeError:
            frame = _decode_frame(repair_escapes(body))
    except msgspec.ValidationError as error:
        raise UnreadableCallback("not_an_object", "The body is JSON, but no object.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableCallback("invalid_json", "The body is not JSON.") from error
    try:
        task_id = _decode_string(frame.task_id)
    except msgspec.ValidationError as error:
        raise UnreadableCallback("invalid_task_id", "task_id is no string.") from error
    if not usable_id(task_id):
        raise UnreadableCallback(
            "invalid_task_id", "task_id is not 1 to 128 characters A-Z a-z 0-9 _ -, or is reserved."
        )
    return Envelope(task_id, frame.code, frame.message, frame.data)


def is_object(raw: msgspec.Raw) -> bool:
    """Tell whether a raw part is a JSON object."""
    return bytes(memoryview(raw)[:1]) == b"{"


def decode(raw: msgspec.Raw) -> Any:
    """Decode a raw part into plain Python objects.

    A number too large for a float makes msgspec refuse a part that is correct JSON; the standard
    library reads it as infinity, which the normalizer repairs like any other unusable number.
    Raises ``PoisonMessage`` if the part is nested too deep to be decoded at all.
    """
    try:
        try:
            return msgspec.json.decode(raw)
        except msgspec.ValidationError:
            return json.loads(bytes(raw), parse_int=_int)
    except RecursionError as error:
        raise PoisonMessage("The callback is nested too deep.") from error


def _int(digits: str) -> int | float:
    # int() refuses more than 4,300 digits: https://docs.python.org/3/library/stdtypes.html
    return int(digits) if len(digits) < _MANY_DIGITS else math.inf


def reports_failure(code: object, success: object) -> bool:
    """Tell whether a callback reports a failure; ``code`` and ``success`` are decoded scalars.

    No callback of a failed job is documented, and the outer code may say success while the inner
    flag says failure (https://api-tools.memories.ai/api-reference/getting-started/webhooks). So an
    unknown code is a failure, and either sign of a failure counts: a ``code`` other than ``0000``
    and ``200``, as number or text, or a ``success`` of false. A missing code or flag is none.
    """
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    if code is not None and str(code).strip() not in SUCCESS_CODES:
        return True
    return success is False or (isinstance(success, str) and success.strip().lower() == "false")
