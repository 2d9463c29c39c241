"""The measured figures: one file of data, and the tables and plots that are made from it.

``docs/performance.json`` has the last figures of each part of ``make bench``. A table of
``docs/performance.md`` stands between ``<!-- figures NAME -->`` and ``<!-- end -->``, and its plot
is ``docs/images/performance-NAME.svg``. ``tests/unit/test_figures.py`` fails when they differ from
the data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.bench.plots import Bar, bar_chart

DOCS: Final = Path(__file__).resolve().parent.parent.parent / "docs"
DATA: Final = DOCS / "performance.json"
DOCUMENT: Final = DOCS / "performance.md"
IMAGES: Final = DOCS / "images"

Rows = Mapping[str, Mapping[str, float]]


class Column(NamedTuple):
    """A column: its title, the key of its figures, and how they are formatted."""

    title: str
    key: str
    form: str

    def text(self, figures: Mapping[str, float]) -> str:
        """Return the figure of this column; empty if it was not measured."""
        return self.form.format(figures[self.key]) if self.key in figures else ""


@dataclass(frozen=True)
class Table:
    """A table of one part; ``path`` leads to its rows. The plot shows the column ``plotted``."""

    name: str
    path: tuple[str, ...]
    head: str
    columns: tuple[Column, ...]
    plotted: str
    plot_title: str

    def rows(self, data: Mapping[str, Any]) -> Rows | None:
        """Return the rows, None if the part was never measured."""
        found: Any = data
        for key in self.path:
            found = found.get(key)
            if found is None:
                return None
        rows: Rows = found
        return rows

    def markdown(self, rows: Rows) -> str:
        """Return the table in Markdown, with its plot below."""
        titles = (self.head, *(column.title for column in self.columns))
        lines = [titles, ("---",) * len(titles)]
        for name, figures in rows.items():
            lines.append((name, *(column.text(figures) for column in self.columns)))
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{table}\n\n![{self.plot_title}](images/performance-{self.name}.svg)"

    def plot(self, rows: Rows) -> str:
        """Return the plot as SVG."""
        column = next(column for column in self.columns if column.key == self.plotted)
        bars = [
            Bar(name, figures[self.plotted], column.text(figures))
            for name, figures in rows.items()
            if self.plotted in figures
        ]
        return bar_chart(self.plot_title, bars)


TABLES: Final = (
    Table(
        "start",
        ("start",),
        "from process start to the first usual answer",
        (
            Column("CPU time", "cpu_ms", "{:.0f} ms"),
            Column("against an empty function", "ratio", "{:.2f}"),
            Column("time", "wall_ms", "{:.0f} ms"),
            Column("against an empty function", "wall_ratio", "{:.2f}"),
            Column("memory", "memory_mib", "{:.0f} MiB"),
        ),
        "cpu_ms",
        "CPU time from process start to the first answer",
    ),
    Table(
        "callback",
        ("callback", "servers"),
        "callback of 7 kB, 32 connections, Pub/Sub emulator",
        (
            Column("CPU time of a request", "cpu_us", "{:.0f} µs"),
            Column("requests per second", "per_second", "{:,.0f}"),
            Column("p50", "p50_ms", "{:.0f} ms"),
            Column("p99", "p99_ms", "{:.0f} ms"),
        ),
        "cpu_us",
        "CPU time of a callback",
    ),
    Table(
        "callback-size",
        ("callback", "sizes"),
        "body of a callback",
        (
            Column("CPU time of a request", "cpu_us", "{:,.0f} µs"),
            Column("requests per second", "per_second", "{:,.0f}"),
        ),
        "cpu_us",
        "CPU time of a callback by the size of its body",
    ),
    Table(
        "subscriber",
        ("subscriber",),
        "segments, from the push body to the encoded writes",
        (
            Column("conventional, CPU time", "conventional_ms", "{:.1f} ms"),
            Column("this project, CPU time", "cpu_ms", "{:.1f} ms"),
            Column("ratio", "ratio", "{:.1f}"),
        ),
        "cpu_ms",
        "CPU time of the subscriber by segments",
    ),
    Table(
        "latency",
        ("latency",),
        "callbacks a second",
        (
            Column("answered to visible, p50", "visible_p50_ms", "{:,.0f} ms"),
            Column("p99", "visible_p99_ms", "{:,.0f} ms"),
            Column("sent to answered, p50", "answer_p50_ms", "{:,.0f} ms"),
            Column("stored a second", "stored_per_s", "{:.0f}"),
            Column("not visible after a minute", "not_visible", "{:.0f}"),
        ),
        "visible_p50_ms",
        "From the answer to the visible transcript, p50, by callbacks a second",
    ),
    Table(
        "command",
        ("command",),
        "the command, on the local stack",
        (Column("to the first byte", "wall_ms", "{:.0f} ms"),),
        "wall_ms",
        "Time to the first byte of the command",
    ),
    Table(
        "upload",
        ("upload",),
        "objects, and the rate of bucket and receiver",
        (
            Column("part of the rate", "ratio", "{:.2f}"),
            Column("conventional", "conventional_ratio", "{:.2f}"),
            Column("sockets", "sockets_ratio", "{:.2f}"),
            Column("CPU time of a GB", "cpu_s", "{:.2f} s"),
            Column("conventional", "conventional_cpu_s", "{:.2f} s"),
            Column("sockets", "sockets_cpu_s", "{:.2f} s"),
            Column("peak memory", "peak_mib", "{:.0f} MiB"),
            Column("conventional", "conventional_peak_mib", "{:.0f} MiB"),
        ),
        "ratio",
        "Part of the slower side's rate that an upload reaches",
    ),
    Table(
        "results",
        ("results",),
        "a request, with HTTP",
        (
            Column("conventional, CPU time", "conventional_ms", "{:.0f} ms"),
            Column("this project, CPU time", "cpu_ms", "{:.0f} ms"),
            Column("time", "wall_ms", "{:.0f} ms"),
        ),
        "cpu_ms",
        "CPU time of reading",
    ),
    Table(
        "exports",
        ("exports",),
        "export of 20,000 segments",
        (
            Column("CPU time", "cpu_ms", "{:.0f} ms"),
            Column("memory above idle at 100,000 segments", "streamed_mib", "{:.1f} MiB"),
            Column("as one string", "string_mib", "{:.0f} MiB"),
        ),
        "cpu_ms",
        "CPU time of an export of 20,000 segments",
    ),
    Table(
        "viewer",
        ("viewer",),
        "a transcript of",
        (
            Column("first byte", "first_byte_ms", "{:,.0f} ms"),
            Column("painted", "painted_ms", "{:,.0f} ms"),
            Column("last byte", "last_byte_ms", "{:,.0f} ms"),
            Column("ready for input", "ready_ms", "{:,.0f} ms"),
            Column("longest frame while scrolling to the end", "longest_frame_ms", "{:.0f} ms"),
        ),
        "painted_ms",
        "From the start of a navigation to the first contentful paint",
    ),
    Table(
        "memory",
        ("memory",),
        "load",
        (
            Column("peak", "peak_mib", "{:.0f} MiB"),
            Column("of", "limit_mib", "{:,.0f} MiB"),
        ),
        "peak_mib",
        "Peak memory",
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


def plots(data: Mapping[str, Any]) -> dict[Path, str]:
    """Return the file and the content of every plot."""
    return {
        IMAGES / f"performance-{table.name}.svg": table.plot(rows)
        for table in TABLES
        if (rows := table.rows(data)) is not None
    }


def read() -> dict[str, Any]:
    """Return the data of the last runs."""
    data: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    return data


def write(measured: Mapping[str, Any]) -> None:
    """Store the figures of a run, by part, and make tables and plots of them."""
    data = read() | dict(measured)
    rounded = json.loads(json.dumps(data), parse_float=lambda text: round(float(text), 3))
    DATA.write_text(json.dumps(rounded, indent=1, sort_keys=False) + "\n")
    DOCUMENT.write_text(render(DOCUMENT.read_text(), rounded))
    IMAGES.mkdir(exist_ok=True)
    for path, content in plots(rounded).items():
        path.write_text(content)
