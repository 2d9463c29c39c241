"""The measured figures: one file of data, and the tables that are made from it.

``docs/performance.json`` has the last figures of each part of ``make bench``. A table of
``docs/performance.md`` stands between ``<!-- figures NAME -->`` and ``<!-- end -->``.
``tests/unit/test_figures.py`` fails when it differs from the data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

DOCS: Final = Path(__file__).resolve().parent.parent.parent / "docs"
DATA: Final = DOCS / "performance.json"
DOCUMENT: Final = DOCS / "performance.md"


class NotMeasured(Exception):
    """This machine lacks what a part needs; the message says what to install."""


Figures = Mapping[str, float]
Rows = Mapping[str, Figures]


def medians(rounds: int, cases: Mapping[str, Callable[[], Figures]]) -> dict[str, Figures]:
    """Measure all cases in turn, and return the median of each figure.

    A round before the first one warms caches up, and is not counted.
    """
    runs: dict[str, list[Figures]] = {name: [] for name in cases}
    for _ in range(rounds + 1):
        for name, measure in cases.items():
            runs[name].append(measure())
    return {
        name: {key: median(run[key] for run in measured[1:]) for key in measured[0]}
        for name, measured in runs.items()
    }


class Column(NamedTuple):
    """A column: its title, how its figures are formatted, and their key.

    With ``over`` the figure is divided by another one of its row, with ``against`` by the same one
    of another row.
    """

    title: str
    form: str
    key: str
    over: str = ""
    against: str = ""

    def text(self, row: Figures, rows: Rows) -> str:
        """Return the figure of a row; empty if it was not measured."""
        divisors = rows.get(self.against, {}) if self.against else row
        divisor = self.over or (self.key if self.against else "")
        if self.key not in row or (divisor and divisor not in divisors):
            return ""
        return self.form.format(row[self.key] / (divisors[divisor] if divisor else 1))


@dataclass(frozen=True)
class Table:
    """A table; ``path`` leads to its rows, by default its name."""

    name: str
    head: str
    columns: tuple[Column, ...]
    path: tuple[str, ...] = ()

    def rows(self, data: Mapping[str, Any]) -> Rows | None:
        """Return the rows, None if the part was never measured."""
        found: Any = data
        for key in self.path or (self.name,):
            found = found.get(key)
            if found is None:
                return None
        rows: Rows = found
        return rows

    def markdown(self, rows: Rows) -> str:
        """Return the table in Markdown."""
        titles = (self.head, *(column.title for column in self.columns))
        lines = [titles, ("---",) * len(titles)]
        for name, row in rows.items():
            lines.append((name, *(column.text(row, rows) for column in self.columns)))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


EMPTY: Final = "empty"
CONVENTIONAL: Final = "conventional"

TABLES: Final = (
    Table(
        "start",
        "from process start to the first usual answer",
        (
            Column("CPU time", "{:.0f} ms", "cpu_ms"),
            Column("against an empty function", "{:.2f}", "cpu_ms", against=EMPTY),
            Column("time", "{:.0f} ms", "wall_ms"),
            Column("against an empty function", "{:.2f}", "wall_ms", against=EMPTY),
            Column("memory", "{:.0f} MiB", "memory_mib"),
        ),
    ),
    Table(
        "callback",
        "callback of 7 kB, 32 connections, Pub/Sub emulator",
        (
            Column("CPU time of a request", "{:.0f} µs", "cpu_us"),
            Column("against an empty function", "{:.2f}", "cpu_us", against=EMPTY),
            Column("against the conventional way", "{:.2f}", "cpu_us", against=CONVENTIONAL),
            Column("requests per second", "{:,.0f}", "per_second"),
            Column("p50", "{:.0f} ms", "p50_ms"),
            Column("p99", "{:.0f} ms", "p99_ms"),
        ),
        ("callback", "servers"),
    ),
    Table(
        "callback-size",
        "body of a callback",
        (
            Column("CPU time of a request", "{:,.0f} µs", "cpu_us"),
            Column("requests per second", "{:,.0f}", "per_second"),
        ),
        ("callback", "sizes"),
    ),
    Table(
        "subscriber",
        "segments, from the push body to the encoded writes",
        (
            Column("conventional, CPU time", "{:.1f} ms", "conventional_ms"),
            Column("this project, CPU time", "{:.1f} ms", "cpu_ms"),
            Column("ratio", "{:.1f}", "conventional_ms", over="cpu_ms"),
        ),
    ),
    Table(
        "latency",
        "callbacks a second",
        (
            Column("answered to visible, p50", "{:,.0f} ms", "visible_p50_ms"),
            Column("p99", "{:,.0f} ms", "visible_p99_ms"),
            Column("sent to answered, p50", "{:,.0f} ms", "answer_p50_ms"),
            Column("stored a second", "{:.0f}", "stored_per_s"),
            Column("refused", "{:.0f}", "refused"),
            Column("not visible after a minute", "{:.0f}", "not_visible"),
        ),
    ),
    Table(
        "command",
        "the command, on the local stack",
        (
            Column("to the first byte", "{:.0f} ms", "wall_ms"),
            Column("against the conventional way", "{:.2f}", "wall_ms", against=CONVENTIONAL),
        ),
    ),
    Table(
        "upload",
        "objects, and the rate of bucket and receiver",
        (
            Column("part of the rate", "{:.2f}", "ratio"),
            Column("conventional", "{:.2f}", "conventional_ratio"),
            Column("CPU time of a GB", "{:.2f} s", "cpu_s"),
            Column("conventional", "{:.2f} s", "conventional_cpu_s"),
            Column("peak memory", "{:.0f} MiB", "peak_mib"),
            Column("conventional", "{:.0f} MiB", "conventional_peak_mib"),
        ),
    ),
    Table(
        "results",
        "a request, with HTTP",
        (
            Column("conventional, CPU time", "{:.0f} ms", "conventional_ms"),
            Column("this project, CPU time", "{:.0f} ms", "cpu_ms"),
            Column("ratio", "{:.1f}", "conventional_ms", over="cpu_ms"),
            Column("time", "{:.0f} ms", "wall_ms"),
        ),
    ),
    Table(
        "exports",
        "export of 20,000 segments",
        (
            Column("CPU time", "{:.0f} ms", "cpu_ms"),
            Column("with a library", "{:.0f} ms", "conventional_ms"),
            Column("ratio", "{:.1f}", "conventional_ms", over="cpu_ms"),
            Column("memory above idle at 100,000 segments", "{:.1f} MiB", "streamed_mib"),
            Column("as one string", "{:.0f} MiB", "string_mib"),
        ),
    ),
    Table(
        "viewer",
        "a transcript of",
        (
            Column("first byte", "{:,.0f} ms", "first_byte_ms"),
            Column("painted", "{:,.0f} ms", "painted_ms"),
            Column("last byte", "{:,.0f} ms", "last_byte_ms"),
            Column("ready for input", "{:,.0f} ms", "ready_ms"),
            Column("longest frame while scrolling to the end", "{:.0f} ms", "longest_frame_ms"),
        ),
    ),
    Table(
        "memory",
        "load",
        (
            Column("peak", "{:.0f} MiB", "peak_mib"),
            Column("of", "{:,.0f} MiB", "limit_mib"),
            Column("ratio", "{:.2f}", "peak_mib", over="limit_mib"),
        ),
    ),
)


def render(document: str, data: Mapping[str, Any]) -> str:
    """Return the document with every table as ``data`` has it."""
    for table in TABLES:
        rows = table.rows(data)
        if rows is not None:
            begin = f"<!-- figures {table.name} -->\n"
            before, _, rest = document.partition(begin)
            after = rest.partition("\n<!-- end -->")[2]
            document = f"{before}{begin}{table.markdown(rows)}\n<!-- end -->{after}"
    return document


def read() -> dict[str, Any]:
    """Return the data of the last runs."""
    data: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    return data


def write(part: str, measured: Mapping[str, Any]) -> None:
    """Store the figures of a part, print its tables, and renew those of the document."""
    data = read() | {part: measured}
    data = json.loads(json.dumps(data), parse_float=lambda text: round(float(text), 3))
    DATA.write_text(json.dumps(data, indent=1) + "\n")
    DOCUMENT.write_text(render(DOCUMENT.read_text(), data))
    for table in TABLES:
        rows = table.rows({part: data[part]})
        if rows is not None:
            print(f"\n{table.markdown(rows)}", flush=True)
