"""Printing: data goes to stdout, progress and questions go to stderr."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import compress
from typing import Any, Final

import click
import msgspec

from cli.failures import ExitCode, Failure
from transcripts.log_events import COMMON_FIELDS
from transcripts.results.answers import SubmissionView
from transcripts.tasks.task import ListedFields

MIN_LAST: Final = 16
"""Columns that the last one of a table has at least."""

_COLORS: Final = {
    "succeeded": "green",
    "ok": "green",
    "failed": "red",
    "rejected": "red",
    "problem": "red",
    "submit_unknown": "red",
    "overdue": "yellow",
    "unrecognized": "yellow",
    "unknown": "yellow",
    "WARNING": "yellow",
    "ERROR": "red",
}


def clean(text: str) -> str:
    """Replace control characters, which steer a terminal, and surrogates, which no text has."""
    if text.isprintable():
        return text
    return "".join(
        "\ufffd" if unicodedata.category(char) in ("Cc", "Cs") else char for char in text
    )


def colored(word: str, width: int = 0) -> str:
    """Return a state or status in its color, padded to ``width``.

    NO_COLOR and a dumb terminal leave it plain; click itself leaves the color out where
    stdout is no terminal.
    """
    padded = word.ljust(width)
    color = _COLORS.get(word)
    if color is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return padded
    return click.style(padded, fg=color)


def print_json(content: object, *, lines: bool = False) -> None:
    """Print one JSON document; with ``lines`` on one line, and at once."""
    encoded = msgspec.json.encode(content)
    if not lines:
        encoded = msgspec.json.format(encoded, indent=2)
    click.echo(encoded.decode())


def is_lively() -> bool:
    """Tell whether stderr is a terminal that can write over a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def columns() -> int | None:
    """Return the width of the terminal at stdout, None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def note(text: str) -> None:
    """Tell the user something that is no data, on stderr."""
    click.echo(text, err=True)


def width(text: str) -> int:
    """Return the columns that a text takes on a terminal: wide characters take two."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def padded(text: str, columns: int) -> str:
    """Return a text with spaces up to a width."""
    return text + " " * (columns - width(text))


def shortened(text: str, size: int, *, at_end: bool = False) -> str:
    """Return a text of at most ``size`` columns, cut at its beginning or at its end."""
    if width(text) <= size:
        return text
    while width(text) >= size:
        text = text[:-1] if at_end else text[1:]
    return f"{text}…" if at_end else f"…{text}"


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], room: int | None = None
) -> Iterator[str]:
    """Yield the lines of a table without its empty columns.

    Columns are as wide as their widest cell. Of the last one only the end is shown where it does
    not fit into ``room``, the width of the terminal.
    """
    used = [any(column) for column in zip(*rows, strict=True)]
    cells = [list(map(clean, compress(row, used))) for row in (header, *rows)]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    if room is not None:
        widths[-1] = min(widths[-1], max(room - sum(widths[:-1]) - 2 * (len(widths) - 1), MIN_LAST))
        cells = [[*row[:-1], shortened(row[-1], widths[-1])] for row in cells]
    for number, row in enumerate(cells):
        shown = [padded(cell, size) for cell, size in zip(row, widths, strict=True)]
        if number:
            shown = [
                text.replace(cell, colored(cell), 1) for cell, text in zip(row, shown, strict=True)
            ]
        yield "  ".join(shown).rstrip()


def clock(seconds: float) -> str:
    """Write a time of the media: ``1:02:03`` or ``2:03``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


_QUIET: Final = frozenset({*COMMON_FIELDS, "stack"})


def event_lines(event: Mapping[str, Any], severity: str = "") -> Iterator[str]:
    """Yield the lines that show a log line of a function to people: time (UTC), event, fields."""
    fields = " ".join(
        f"{name}={msgspec.json.encode(value).decode()}"
        for name, value in event.items()
        if name not in _QUIET and "/" not in name and value not in (None, {})
    )
    moment = str(event.get("time", "")).replace("T", " ")[:23]
    text = f"{event.get('function', ''):<10} {event.get('message', '')}  {fields}".rstrip()
    yield " ".join(part for part in (moment, severity, clean(text)) if part)
    yield from (f"    {clean(str(line))}" for line in event.get("stack", []))


def local_time(time: datetime | None) -> str:
    """Write a time in this machine's time zone, to the minute."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M") if time else ""


def labels_text(labels: Mapping[str, str]) -> str:
    """Write labels as people give them: ``case=7, court=x``."""
    return ", ".join(f"{key}={value}" for key, value in labels.items())


def source_of(item: ListedFields | SubmissionView) -> str:
    """Name what a task or a submission is made from: the object, or else the asset."""
    return item.source.uri if item.source else item.asset_id or ""


def confirm(question: str, *, yes: bool) -> None:
    """Ask; raises ``Failure`` if the user declines, or if no terminal is there to ask at."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure("There is no terminal to confirm at. Add --yes.", ExitCode.USAGE)
    if not click.confirm(question, err=True):
        raise Failure("Not confirmed; nothing was changed.", ExitCode.CANCELED)
