"""The recording of the demo, and its last lines."""

from __future__ import annotations

import re
import wave
from pathlib import Path

from cli.local.demo import RECORDING_S, _guide, write_tone


def test_recording_of_the_demo_lasts_as_long_as_its_transcript(tmp_path: Path) -> None:
    """A real recording, so that the page can play it, and not silence."""
    path = tmp_path / "a.wav"
    write_tone(path)
    with wave.open(str(path), "rb") as file:
        assert file.getnframes() / file.getframerate() == RECORDING_S
        assert len(set(file.readframes(1000))) > 10


def test_demo_ends_with_two_commands_that_exist(tmp_path: Path) -> None:
    """The program is named by its path, which needs no activated environment."""
    programs = re.findall(r"^  (\S+) (up|open) ", _guide("t1", tmp_path), re.MULTILINE)
    assert [name for _, name in programs] == ["up", "open"]
    assert all(Path(program).is_file() for program, _ in programs)
    assert "open t1\n" in _guide("t1", tmp_path)
