"""Reads the values and the lists of a callback: each may be missing or have another type.

``Anomalies`` counts what had to be repaired. ``read_items`` reads the items of a list one by one: a
transcript of 32 MiB has hundreds of thousands. As Python objects they would take several times its
memory, and decoding them in one call would keep every other thread waiting for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from transcripts.callbacks.envelope import NULL, decode, is_object
from transcripts.errors import PoisonMessage
from transcripts.tasks.task import Anomaly
from transcripts.text import trim

MAX_TEXT_BYTES: Final = 2_000

MAX_TIME_S: Final = 1e9
"""Thirty years. A larger time is no time."""

_MAX_COUNT: Final = 2**53
"""Larger counts are nonsense, and are not exact everywhere."""

_CLOCK: Final = re.compile(
    r"\s*(?P<sign>[+-]?)(?:(?:(?P<hours>\d{1,6}):)?(?P<minutes>\d{1,6}):)?"
    r"(?P<seconds>\d{1,12}(?:[.,]\d{0,12})?)\s*",
    re.ASCII,
)


SLICE_BYTES: Final = 128 * 1024
"""How much of a list is decoded in one call; more if its longest item needs more."""

MAX_ITEMS: Final = 600_000
"""As many segments of four fields as fit 32 MiB. Each takes up to 400 bytes of memory, even as an
empty object of two bytes."""

Scalar = str | float | int | bool | None
T = TypeVar("T", bound=msgspec.Struct)


def scalar(raw: msgspec.Raw) -> Any:
    """Decode a string, a number, a boolean or null; of a structure, return the first bytes.

    A structure is not decoded: 32 MiB of JSON may take 13 times that as objects.
    """
    if is_structure(raw):
        return bytes(memoryview(raw)[:MAX_TEXT_BYTES]).decode(errors="ignore")
    return decode(raw)


def is_structure(raw: msgspec.Raw) -> bool:
    """Tell whether a raw part is an object or a list."""
    return bytes(memoryview(raw)[:1]) in (b"{", b"[")


def number(value: Any) -> float | None:
    """Read a finite number from a number or a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def seconds(value: Any) -> float | None:
    """Read a time: a number, a string with a decimal point or comma, or ``[hh:]mm:ss[.fff]``."""
    found = number(value)
    if found is None and isinstance(value, str):
        found = _clock(value)
    return found if found is not None and abs(found) <= MAX_TIME_S else None


def _clock(text: str) -> float | None:
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    rest_s = float(found["seconds"].replace(",", "."))
    minutes, hours = int(found["minutes"] or 0), int(found["hours"] or 0)
    if (found["minutes"] and rest_s >= 60) or (found["hours"] and minutes >= 60):
        return None
    total_s = hours * 3600 + minutes * 60 + rest_s
    return -total_s if found["sign"] == "-" else total_s


def count(value: Any) -> int:
    """Read a count; 0 for anything else."""
    found = number(value)
    return min(int(found), _MAX_COUNT) if found is not None and found > 0 else 0


def add_counts(first: int, second: int) -> int:
    """Add two counts, up to what every store can hold exactly."""
    return min(first + second, _MAX_COUNT)


def string(value: Any) -> str | None:
    """Read a string (or a number written as one), trimmed; None if no character is visible."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return trim(str(value)) or None


def bounded_text(value: Any) -> str | None:
    """Read a sentence of the provider's, bounded."""
    if value is None:
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return cut(text, MAX_TEXT_BYTES)


def provider_code(value: Any) -> str | int | float | bool | None:
    """Read the provider's code, as sent but for its length."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= _MAX_COUNT:
        return value
    return bounded_text(str(value) if isinstance(value, float) else value)


def cut(text: str, limit_bytes: int) -> str:
    """Shorten ``text`` to at most ``limit_bytes`` of UTF-8, between characters."""
    if len(text) * 4 <= limit_bytes:
        return text
    return text.encode()[:limit_bytes].decode(errors="ignore")


class Anomalies:
    """Counts each kind of repair and remembers the first item that needed it."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int]] = {}

    def add(self, code: str, index: int) -> None:
        """Count one repair of the provider's item ``index``."""
        count, first = self._found.get(code, (0, index))
        self._found[code] = (count + 1, min(first, index))

    def listed(self) -> list[Anomaly]:
        """Return all kinds, in the order of their codes."""
        return [Anomaly(code, count, first) for code, (count, first) in sorted(self._found.items())]


def read_items(raw: msgspec.Raw, kind: type[T]) -> Iterator[T | None]:
    """Yield the objects of a list as ``kind``, a struct of ``Scalar`` fields, and None for others.

    An object is read as a list of one, anything else as an empty list; a structure in a field reads
    as null. ``raw`` is correct JSON. Raises ``PoisonMessage`` for more than ``MAX_ITEMS``.
    """
    if is_object(raw):
        yield _item(raw, kind)
        return
    if not is_structure(raw):
        return
    count = 0
    try:
        for items in _slices(memoryview(raw)[1:-1], kind):
            count += len(items)
            if count > MAX_ITEMS:
                raise PoisonMessage(f"The callback has a list of more than {MAX_ITEMS} items.")
            yield from items
    except RecursionError as error:
        raise PoisonMessage("The callback is nested too deep.") from error


def _slices(inside: memoryview, kind: type[T]) -> Iterator[list[T | None]]:
    """Decode the content between the brackets of a list, slice by slice.

    A slice ends after an object, or at a comma if it holds no object. That may be inside a text or
    a structure, and then the slice is not correct JSON: it is made longer and decoded again.
    """
    at, size = 0, SLICE_BYTES
    while at + size < len(inside):
        window = bytes(inside[at : at + size])
        end = window.rfind(b"},") + 1 or max(window.rfind(b","), 0)
        try:
            items = _decode(window[:end], kind)
        except msgspec.DecodeError:
            items = []
        if not items:
            size *= 2
            continue
        yield items
        at, size = at + end + 1, SLICE_BYTES
    yield _decode(inside[at:], kind)


def _decode(inside: bytes | memoryview, kind: type[T]) -> list[T | None]:
    piece = b"".join((b"[", inside, b"]"))
    try:
        return list(_list_decoder(kind)(piece))
    except msgspec.ValidationError:
        raws = _list_decoder(msgspec.Raw)(piece)
        return [_item(raw, kind) if is_object(raw) else None for raw in raws]


def _item(raw: msgspec.Raw, kind: type[T]) -> T:
    """Read an object field by field: one may be a structure, or a number beyond every float."""
    fields = _raw_decoder(kind)(raw)
    values = [getattr(fields, name) for name in kind.__struct_fields__]
    return kind(*(None if is_structure(value) else scalar(value) for value in values))


@cache
def _list_decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(list[kind]).decode


@cache
def _raw_decoder(kind: type[msgspec.Struct]) -> Any:
    fields = [(name, msgspec.Raw, NULL) for name in kind.__struct_fields__]
    return msgspec.json.Decoder(msgspec.defstruct(f"Raw{kind.__name__}", fields)).decode
