"""A label track of Audacity: start and end in seconds, and the label, separated by tabs.

A line that begins with a backslash would be a frequency range of the label before
(https://manual.audacityteam.org/man/importing_and_exporting_labels.html).
"""

from __future__ import annotations

from collections.abc import Iterator

from transcripts.exports.transcript import Transcript, decimal_seconds
from transcripts.text import one_line


def write(transcript: Transcript) -> Iterator[str]:
    """Write a label for each segment, with the speaker's name."""
    for line in transcript.lines():
        label = f"{line.speaker.name}: {one_line(line.text)}".lstrip("\\")
        yield f"{decimal_seconds(line.start_ms)}\t{decimal_seconds(line.end_ms)}\t{label}\n"
