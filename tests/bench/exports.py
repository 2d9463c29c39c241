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
from typing import Final

from tests.bench.figures import Figures, medians
from tests.bench.servers import peak_mib
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


LIBRARIES: Final[dict[str, Callable[[list[Segment]], object]]] = {
    "srt": _with_srt,
    "csv": _with_csv,
    "json": _with_json,
    "whisperx.json": _with_json,
    "podcast.json": _with_json,
    # python-docx is left out: its time grows with the square of the length.
}
"""The library for a format; ``srt`` splits and wraps nothing."""


def _write(format_name: str, parts: Iterable[Segment]) -> int:
    return sum(len(chunk) for chunk in export(format_name, TASK, iter(parts)))


def _cpu_ms(work: Callable[[list[Segment]], object], parts: list[Segment]) -> float:
    begin = time.process_time()
    work(parts)
    return (time.process_time() - begin) * 1e3


def _cpu_of(format_name: str, parts: list[Segment]) -> Figures:
    figures = {"cpu_ms": _cpu_ms(partial(_write, format_name), parts)}
    library = LIBRARIES.get(format_name)
    return figures | ({"conventional_ms": _cpu_ms(library, parts)} if library else {})


def grown_mib(format_name: str, way: str) -> float:
    """Return by how much this process grows above idle: ``streamed``, or with one ``string``."""
    _write(format_name, segments(10))
    # Writing 5 resets the peak (https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html).
    Path("/proc/self/clear_refs").write_text("5")
    idle = peak_mib("self")
    if way == "streamed":
        _write(format_name, pages(LONG_SEGMENTS))
    else:
        b"".join(export(format_name, TASK, list(pages(LONG_SEGMENTS))))
    return peak_mib("self") - idle


def _grown_in_process(format_name: str, way: str) -> float:
    command = [sys.executable, "-m", "tests.bench.exports", format_name, way]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    return float(done.stdout)


def measure(rounds: int) -> dict[str, Figures]:
    """Return CPU time and memory of each format; each memory is of a process of its own."""
    parts = segments(SEGMENTS)
    cpu = medians(rounds, {name: partial(_cpu_of, name, parts) for name in FORMATS})
    return {
        name: {
            **figures,
            **{f"{w}_mib": _grown_in_process(name, w) for w in ("streamed", "string")},
        }
        for name, figures in cpu.items()
    }


if __name__ == "__main__":
    print(grown_mib(*sys.argv[1:]))
