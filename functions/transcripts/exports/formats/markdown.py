"""Markdown with YAML front matter, for notes and wikis (https://spec.commonmark.org/0.31.2/)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from transcripts.exports.paragraphs import paragraphs
from transcripts.exports.transcript import Transcript, clock_seconds, milliseconds, title
from transcripts.text import one_line

_MARKUP: Final = re.compile(r"[\\`*_\[\]<>|~]|&(?=[#\w]+;)")

# At the end of a heading, number signs after a blank are not shown.
_CLOSING: Final = re.compile(r"(?<=\s)#+\Z")

# The beginning of an ordered list.
_NUMBER: Final = re.compile(r"\d{1,9}(?=[.)])")


def write(transcript: Transcript) -> Iterator[str]:
    """Write front matter, a heading, and a paragraph at a time under name and time."""
    yield _front_matter(transcript)
    heading = _CLOSING.sub(r"\\\g<0>", _escaped(title(transcript.task)))
    yield f"\n# {heading}\n"
    for paragraph in paragraphs(transcript):
        name = f"**{_escaped(paragraph.label)}** · " if paragraph.label else ""
        yield f"\n{name}{clock_seconds(paragraph.start_ms)}\n\n{_escaped(paragraph.text)}\n"


def _front_matter(transcript: Transcript) -> str:
    task = transcript.task
    facts = {
        "title": title(task),
        "task_id": task.task_id,
        "asset_id": task.asset_id,
        "source": one_line(task.source.uri) if task.source else None,
        "received_at": task.received_at.isoformat() if task.received_at else None,
        "duration": clock_seconds(milliseconds(task.duration_s)),
    }
    lines = ["---", *(f"{key}: {_scalar(value)}" for key, value in facts.items() if value)]
    lines.append("speakers:" if transcript.speakers.listed else "speakers: []")
    for speaker in transcript.speakers.listed:
        lines.append(f"  - name: {_scalar(speaker.name)}")
        lines.append(f"    talk_time_s: {speaker.talk_time_s:.3f}")
    return "\n".join([*lines, "---", ""])


def _scalar(text: str) -> str:
    """Return a YAML string: JSON's strings without control characters are among them."""
    return msgspec.json.encode(text).decode()


def _escaped(text: str) -> str:
    """Escape characters that are markup anywhere or at the beginning of a line."""
    text = _MARKUP.sub(r"\\\g<0>", text)
    if text[:1] in {"#", "+", "=", "-"}:
        return "\\" + text
    number = _NUMBER.match(text)
    return f"{number[0]}\\{text[number.end() :]}" if number else text
