"""The bodies of the callbacks that the fake posts."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Final

import msgspec

SHAPES: Final = Path(__file__).parent / "shapes"
FOREIGN_KINDS: Final = tuple(
    sorted(path.stem for path in SHAPES.glob("*.json") if path.stem != "multi_speaker")
)
CODES: Final[dict[int, str | int]] = {1: "0000", 2: "200", 3: 200}
_TIMES: Final = ("start_time", "end_time")
MALFORMED: Final = b'{"code": 200, "message": "SUCCESS", "task_id": "cut off'


def shape(kind: str) -> dict[str, Any]:
    """Return the documented callback of an endpoint."""
    content: dict[str, Any] = msgspec.json.decode((SHAPES / f"{kind}.json").read_bytes())
    return content


def body_of(content: dict[str, Any], task_id: str, generation: int) -> bytes:
    """Encode a callback for ``task_id`` with the ``code`` of a generation."""
    return msgspec.json.encode(content | {"task_id": task_id, "code": CODES[generation]})


def failed() -> dict[str, Any]:
    """Return a failure. No failure is documented; this one follows the frame of a success."""
    return {
        "message": "SUCCESS",
        "data": {"msg": "Multimodal ASR failed", "success": False, "data": None},
    }


def giant(size_bytes: int) -> dict[str, Any]:
    """Return a result whose body has nearly, but not over, ``size_bytes``."""
    content = shape("multi_speaker")
    lines = content["data"]["data"]["audio_transcription"]
    length_s = lines[-1]["end_time"]
    left = size_bytes - len(msgspec.json.encode(content))
    more: list[dict[str, Any]] = []
    for repetition, line in ((n, line) for n in itertools.count(1) for line in tuple(lines)):
        times = {name: round(line[name] + repetition * length_s, 3) for name in _TIMES}
        left -= len(msgspec.json.encode(line | times)) + 1
        if left < 0:
            break
        more.append(line | times)
    lines.extend(more)
    return content
