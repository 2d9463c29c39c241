"""Reads single values of a callback: each may be missing or have another type.

``Anomalies`` counts what had to be repaired.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

from transcripts.callbacks.envelope import decode
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
