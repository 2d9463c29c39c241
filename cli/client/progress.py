"""How far a file is read or sent, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Final, Self

import click

from cli.output import is_lively, note

REPORT_EVERY_S: Final = 10.0
MIN_READ_BYTES: Final = 64 * 1024 * 1024
"""A smaller file is read at once."""

_MIB: Final = 1024 * 1024


class Progress:
    """On a terminal a bar with a rate; elsewhere a line every 10 s, or with ``quiet`` nothing."""

    def __init__(self, label: str, size: int, *, quiet: bool = False) -> None:
        """``size`` is in bytes."""
        self._label = label
        self._size = size
        self._quiet = quiet
        self._reported = time.monotonic()
        self._position = 0
        self._begin: tuple[float, int] | None = None
        """When and where it began; an upload that goes on begins with what was sent before."""
        self._bar: Any = None

    def __enter__(self) -> Self:
        """Show the bar, if stderr is a terminal that can write over a line."""
        if is_lively() and self._size >= (MIN_READ_BYTES if self._quiet else 0):
            self._bar = click.progressbar(
                length=self._size,
                label=self._label,
                file=sys.stderr,
                item_show_func=lambda _: self._rate(),
            )
            self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def at(self, position: int) -> None:
        """Show that ``position`` bytes are done; it may go back when an upload is resumed."""
        now = time.monotonic()
        if self._begin is None:
            self._begin = (now, position)
        advanced, self._position = position - self._position, position
        if self._bar is not None:
            self._bar.update(advanced, current_item=position)
        elif now - self._reported >= REPORT_EVERY_S and not self._quiet:
            self._reported = now
            note(f"{self._label}: {position * 100 // max(self._size, 1)} %, {self._rate()}")

    def _rate(self) -> str:
        now = time.monotonic()
        since, begin = self._begin or (now, 0)
        return f"{(self._position - begin) / _MIB / max(now - since, 0.001):.1f} MiB/s"
