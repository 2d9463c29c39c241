"""Shows a stored result as text for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from transcripts.tasks.task import Task

WIDTH: Final = 96
MAX_LINES: Final = 40


def clock(seconds: float) -> str:
    """Write a time of the media: ``1:02:03`` or ``2:03``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def readable(task: Task, max_lines: int = MAX_LINES) -> Iterator[str]:
    """Yield the lines of a result: a summary, the speakers' shares, then the segments."""
    provider = task.provider
    if task.status != "succeeded":
        yield f"{task.status} ({task.kind})"
        if provider is not None:
            yield f"Mavi says: code {provider.code}, {provider.message}, {provider.detail}"
        return
    yield (
        f"{task.status}: {clock(task.duration_s)} of media, {len(task.speakers)} speakers, "
        f"{task.segment_count} segments, {task.word_count} words"
    )
    given = {each.name: each.display_name for each in task.speaker_names}
    names = {speaker.id: given.get(speaker.name, speaker.name) for speaker in task.speakers}
    width = min(max((len(name) for name in names.values()), default=0), 24)
    yield ""
    for speaker in task.speakers:
        bar = "█" * round(speaker.share * 30)
        name = names[speaker.id][:width]
        yield (f"  {name:<{width}}  {speaker.share:>4.0%}  {clock(speaker.talk_time_s):>6}  {bar}")
    yield ""
    for segment in task.segments[:max_lines]:
        head = f"  {clock(segment.start_s):>6}  {names[segment.speaker][:width]:<{width}}  "
        lines = textwrap.wrap(segment.text, WIDTH - len(head)) or ["(no words)"]
        yield head + lines[0]
        yield from (" " * len(head) + line for line in lines[1:])
    if len(task.segments) > max_lines:
        yield f"  … {len(task.segments) - max_lines} more"
    for anomaly in task.anomalies:
        yield f"  repaired: {anomaly.code}, {anomaly.count} times"
