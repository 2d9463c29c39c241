"""RTTM, read back by pyannote and by its ten fields."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given

from tests.unit.exports.samples import (
    FIXTURES,
    make_task,
    milliseconds,
    renamed,
    transcripts,
    write,
)
from transcripts.tasks.task import Segment

ROOT: Final = Path(__file__).resolve().parent.parent.parent.parent
PYTHON: Final = ROOT / ".tools" / "pyannote" / "bin" / "python"
READER: Final = Path(__file__).with_name("read_rttm.py")


def check_fields(segments: list[Segment]) -> None:
    """Ten fields with single blanks, as dscore and NeMo split them."""
    lines = write("rttm", segments).split("\n")
    assert lines.pop() == ""
    for line, segment in zip(lines, segments, strict=True):
        kind, file, channel, onset, duration, *rest = line.split(" ")
        assert (kind, file, channel) == ("SPEAKER", "0123456789abcdef", "1")
        speaker = segment.speaker if segment.speaker in {"s1", "s2", "s3"} else "s0"
        assert rest == ["<NA>", "<NA>", speaker, "<NA>", "<NA>"]
        assert abs(float(onset) * 1000 - milliseconds(segment.start_s)) <= 0.5001
        length = max(milliseconds(segment.end_s) - milliseconds(segment.start_s), 0.0)
        assert abs(float(duration) * 1000 - length) <= 1.0001


@pytest.mark.parametrize("name", FIXTURES)
def test_rttm_of_every_fixture_has_ten_fields(name: str) -> None:
    """The fields hold onset and duration, not the end."""
    check_fields(FIXTURES[name])


@given(transcripts())
def test_rttm_of_any_transcript_has_ten_fields(segments: list[Segment]) -> None:
    """This holds for any text at any time."""
    check_fields(segments)


def test_rttm_of_every_fixture_is_read_back_by_pyannote(tmp_path: Path) -> None:
    """One run reads all turns that have a length, since its start takes seconds."""
    if not PYTHON.exists():
        pytest.fail("run: make .tools/pyannote/.installed")
    paths: list[str] = []
    for number, segments in enumerate(FIXTURES.values()):
        path = tmp_path / f"{number}.rttm"
        path.write_text(write("rttm", segments))
        paths.append(str(path))
    done = subprocess.run(  # noqa: S603 - our own reader
        [PYTHON, READER, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for line, segments in zip(done.stdout.splitlines(), FIXTURES.values(), strict=True):
        read = json.loads(line)
        spoken = sorted(
            (min(segment.start_s, 1e9), segment.speaker if "s1" <= segment.speaker < "s4" else "s0")
            for segment in segments
            if segment.end_s - segment.start_s > 0.0005 and segment.start_s < 1e9
        )
        assert read["uris"] == (["0123456789abcdef"] if segments else [])
        assert [(pytest.approx(start, abs=0.00051), who) for start, who in spoken] == sorted(
            (start, who) for start, _, who in read["turns"]
        )


def test_rttm_speakers_are_ids_and_of_one_name_one_id() -> None:
    """Tools split names at blanks, so no name is written."""
    segments = [Segment(0.0, 1.0, "s1", "One."), Segment(1.0, 2.5, "s3", "Two.")]
    task = make_task(segments)
    task = make_task(segments, speaker_names=renamed(task, {"s1": "Ada B", "s3": "Ada B"}))
    assert write("rttm", segments, task=task) == (
        "SPEAKER 0123456789abcdef 1 0.000 1.000 <NA> <NA> s1 <NA> <NA>\n"
        "SPEAKER 0123456789abcdef 1 1.000 1.500 <NA> <NA> s1 <NA> <NA>\n"
    )
