"""Shows a stored result as text for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from cli.output import clean, clock, padded, width
from transcripts.results.answers import WholeTask
from transcripts.tasks.speakers import ShownSpeakers
from transcripts.tasks.task import Task

WIDTH: Final = 96
MIN_TEXT: Final = 20
"""Columns that text has even on a terminal that is too narrow for it."""

MAX_NAME: Final = 24
MAX_LINES: Final = 40
"""So many segments are shown by the demo."""


def readable(
    task: Task | WholeTask,
    speakers: ShownSpeakers,
    max_lines: int | None = None,
    room: int = WIDTH,
) -> Iterator[str]:
    """Yield the lines of a result: a summary, the speakers' shares, then the segments.

    ``room`` is the width of the terminal in columns.
    """
    provider = task.provider
    if task.status != "succeeded":
        yield f"{task.status} ({task.kind})"
        if provider is not None:
            yield clean(f"Mavi says: code {provider.code}, {provider.message}, {provider.detail}")
        return
    yield (
        f"{task.status}: {clock(task.duration_s)} of media, {len(speakers.listed)} speakers, "
        f"{task.segment_count} segments, {task.word_count} words"
    )
    names = {each.id: _shown_name(each.name) for each in speakers.listed}
    columns = max(map(width, names.values()), default=0)
    yield ""
    for speaker in speakers.listed:
        bar = "█" * round(speaker.share * min(30, max(room - columns - 20, 0)))
        name = padded(names[speaker.id], columns)
        yield (f"  {name}  {speaker.share:>4.0%}  {clock(speaker.talk_time_s):>6}  {bar}")
    yield ""
    shown = task.segments if max_lines is None else task.segments[:max_lines]
    for segment in shown:
        name = _shown_name(speakers.of(segment.speaker).name)
        head = f"  {clock(segment.start_s):>6}  {padded(name, columns)}  "
        wrapped = max(min(room, WIDTH) - columns - 12, MIN_TEXT)
        lines = textwrap.wrap(clean(segment.text), wrapped) or ["(no words)"]
        yield head + lines[0]
        yield from (" " * (columns + 12) + line for line in lines[1:])
    if len(task.segments) > len(shown):
        yield f"  … {len(task.segments) - len(shown)} more"
    for anomaly in task.anomalies:
        yield f"  repaired: {anomaly.code}, {anomaly.count} times"


def _shown_name(name: str) -> str:
    name = clean(name)
    while width(name) > MAX_NAME:
        name = name[:-1]
    return name
