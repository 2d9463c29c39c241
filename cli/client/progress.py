"""How far a file is read or sent, on stderr."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Any, Final, Self

import click

from cli.output import is_lively, note, shortened

REPORT_EVERY_S: Final = 10.0
MIN_READ_BYTES: Final = 64 * 1024 * 1024
"""A smaller file is read at once."""

BAR_COLUMNS: Final = 40
MIN_LABEL_COLUMNS: Final = 10
MAX_STEPS: Final = 500

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
        """Show nothing yet: an object that is there is not uploaded."""
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
            self._show_bar()
        advanced, self._position = position - self._position, position
        if self._bar is not None:
            self._bar.update(advanced, current_item=position)
        elif now - self._reported >= REPORT_EVERY_S and not self._quiet:
            self._reported = now
            note(f"{self._label}: {position * 100 // max(self._size, 1)} %, {self._rate()}")

    def _show_bar(self) -> None:
        """Show the bar, if stderr is a terminal that can write over a line."""
        if not is_lively() or (self._quiet and self._size < MIN_READ_BYTES):
            return
        room = shutil.get_terminal_size().columns - BAR_COLUMNS
        self._bar = click.progressbar(
            length=self._size,
            label=shortened(self._label, max(room, MIN_LABEL_COLUMNS), at_end=True),
            width=0,
            file=sys.stderr,
            item_show_func=lambda _: self._rate(),
            update_min_steps=self._size // MAX_STEPS,
        )
        self._bar.__enter__()

    def _rate(self) -> str:
        now = time.monotonic()
        since, begin = self._begin or (now, 0)
        return f"{(self._position - begin) / _MIB / max(now - since, 0.001):.1f} MiB/s"
