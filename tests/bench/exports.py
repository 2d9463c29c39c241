"""The cost of an export: CPU time, and memory while it streams.

The conventional way is a library, or the standard one, that builds the whole file as one string.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from transcripts.exports.export import export
from transcripts.exports.registry import FORMATS
from transcripts.tasks.task import Segment, Speaker, Task

SEGMENTS: Final = 20_000
LONG_SEGMENTS: Final = 100_000
PAGES: Final = 20
_NAMES: Final = ("Ada Example", "Ben Sample", "Carla Specimen")
_LONG: Final = (
    "We should look at the budget first, before anything else is decided; then we can talk to "
    "the builders about the dates, and to the neighbours about the fence."
)
_WORDS: Final = (
    "The survey came back on Friday, and the north wall needs new drainage.",
    "Yes, I think so.",
    _LONG,
)
TASK: Final = Task(
    task_id="0123456789abcdef",
    speakers=[
        Speaker(f"s{number}", name, 1, 9, 1.0, 0.3, 0.0) for number, name in enumerate(_NAMES, 1)
    ],
)


def segments(count: int, first: int = 0) -> list[Segment]:
    """Make segments of two, one and four lines of subtitles."""
    return [
        Segment(index * 4.0, index * 4.0 + 3.5, f"s{index % 3 + 1}", f"{_WORDS[index % 3]} {index}")
        for index in range(first, first + count)
    ]


def pages(count: int) -> Iterator[Segment]:
    """Make segments a page at a time, as they are read."""
    size = count // PAGES
    for number in range(PAGES):
        yield from segments(size, number * size)


def _with_srt(parts: list[Segment]) -> object:
    import srt

    return srt.compose(
        srt.Subtitle(
            index, timedelta(seconds=part.start_s), timedelta(seconds=part.end_s), part.text
        )
        for index, part in enumerate(parts, 1)
    )


def _with_csv(parts: list[Segment]) -> object:
    file = io.StringIO()
    csv.writer(file).writerows(
        (part.start_s, part.end_s, part.speaker, part.speaker, part.text) for part in parts
    )
    return file.getvalue()


def _with_json(parts: list[Segment]) -> object:
    return json.dumps(
        {
            "segments": [
                {"start": p.start_s, "end": p.end_s, "speaker": p.speaker, "text": p.text}
                for p in parts
            ]
        }
    )


def _with_docx(parts: list[Segment]) -> object:
    import docx

    document = docx.Document()
    for part in parts:
        document.add_paragraph().add_run(part.speaker).bold = True
        document.add_paragraph(part.text)
    document.save(file := io.BytesIO())
    return file.getvalue()


CONVENTIONAL: Final[dict[str, tuple[str, int, Callable[[list[Segment]], object]]]] = {
    "srt": ("srt", SEGMENTS, _with_srt),
    "csv": ("csv", SEGMENTS, _with_csv),
    "json": ("json", SEGMENTS, _with_json),
    "whisperx.json": ("json", SEGMENTS, _with_json),
    "podcast.json": ("json", SEGMENTS, _with_json),
    # Its time grows with the square of the length.
    "docx": ("python-docx", 1000, _with_docx),
}
"""A library for a format, and how many segments it is given. ``srt`` splits and wraps nothing."""


def _cpu_s(run: Callable[[], object], rounds: int) -> float:
    times: list[float] = []
    for _ in range(rounds):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return median(times)


def _write(format_name: str, parts: Iterable[Segment]) -> int:
    return sum(len(chunk) for chunk in export(format_name, TASK, iter(parts)))


def _memory_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def grown_mib(format_name: str, way: str) -> float:
    """Return by how much this process grows above idle: ``streamed``, or with one ``string``."""
    _write(format_name, segments(10))
    idle = _memory_mib("VmRSS")
    if way == "streamed":
        _write(format_name, pages(LONG_SEGMENTS))
    else:
        b"".join(export(format_name, TASK, list(pages(LONG_SEGMENTS))))
    return _memory_mib("VmHWM") - idle


def _grown_in_process(format_name: str, way: str) -> float:
    command = [sys.executable, "-m", "tests.bench.exports", format_name, way]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    return float(done.stdout)


def report(rounds: int) -> dict[str, dict[str, float]]:
    """Print and return a row for each format; each memory is of a process of its own."""
    print(
        f"\nExports: CPU time of {SEGMENTS} segments, median of {rounds}; memory above idle at "
        f"{LONG_SEGMENTS} segments in {PAGES} pages, streamed and with one string; a library's time"
    )
    parts = segments(SEGMENTS)
    rows: dict[str, dict[str, float]] = {}
    for name in FORMATS:
        cpu_s = _cpu_s(partial(_write, name, parts), rounds)
        streamed, whole = (_grown_in_process(name, way) for way in ("streamed", "string"))
        library = ""
        if name in CONVENTIONAL:
            called, count, run = CONVENTIONAL[name]
            library_s = _cpu_s(partial(run, parts[:count]), rounds)
            library = f"{called}, {count} segments: {library_s:.3f} s"
        print(
            f"  {name:<14} {cpu_s:6.3f} s   {streamed:5.1f} MiB   {whole:6.1f} MiB   {library}",
            flush=True,
        )
        rows[name] = {"cpu_ms": cpu_s * 1e3, "streamed_mib": streamed, "string_mib": whole}
    return rows


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(grown_mib(*sys.argv[1:]))
    else:
        report(5)
