"""Valid input to break one thing of."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

TASK_ID: Final = "0123456789abcdef0123456789abcdef"
EVENTS: Final = Path(__file__).parent / "events"
SHAPES: Final = Path(__file__).parent.parent / "cli" / "fake_mavi" / "shapes"
SPEAKERS: Final = ("Ada Example", "Ben Sample", "Carla Specimen")
WORDS: Final = "The survey came back on Friday, the north wall"


def segment(index: int = 0, **changes: Any) -> dict[str, Any]:
    """Return one of the provider's segments."""
    return {
        "start_time": index * 4.0,
        "end_time": index * 4.0 + 3.5,
        "speaker": SPEAKERS[index % len(SPEAKERS)],
        "text": f"{WORDS}, number {index}.",
    } | changes


def callback(
    segments: int | list[Any] = 2,
    *,
    task_id: str = TASK_ID,
    inner: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return a multi-speaker callback of the first generation."""
    lines = [segment(index) for index in range(segments)] if isinstance(segments, int) else segments
    result = {
        "audio_transcription": lines,
        "faces": [
            {
                "face_id": "00000000-0000-4000-8000-000000000000_person_001",
                "name": SPEAKERS[0],
                "face_file_protocol": "gs",
                "face_file_bucket": "memories-cache",
                "face_file_blob": "api-backend/faces/person_001.jpg",
            }
        ],
        "usage_metadata": [
            {
                "duration": 0.0,
                "model": "gemini-2.5-pro",
                "output_tokens": 6000,
                "prompt_tokens": 440000,
            }
        ],
    } | (inner or {})
    frame = {
        "msg": "Multimodal ASR completed successfully",
        "success": True,
        "data": result,
    } | (data or {})
    return {"code": "0000", "message": "SUCCESS", "task_id": task_id, "data": frame} | changes


def callback_body(segments: int | list[Any] = 2, **changes: Any) -> bytes:
    """Return a multi-speaker callback's body."""
    return msgspec.json.encode(callback(segments, **changes))


def push(data: bytes, attributes: dict[str, str], **message: Any) -> dict[str, Any]:
    """Return a Pub/Sub push request."""
    return {
        "message": {
            "data": data,
            "attributes": attributes,
            "messageId": "1",
            "publishTime": "2026-01-02T03:04:05.678Z",
        }
        | message,
        "subscription": "projects/local/subscriptions/callbacks-subscriber",
        "deliveryAttempt": 1,
    }


def push_body(data: bytes, attributes: dict[str, str], **message: Any) -> bytes:
    """Return a Pub/Sub push request's body."""
    return msgspec.json.encode(push(data, attributes, **message))


def shape_names() -> list[str]:
    """Return the documented callback shapes, one for each endpoint."""
    return sorted(path.stem for path in SHAPES.glob("*.json"))


def shape_body(name: str) -> bytes:
    """Return the documented callback of an endpoint."""
    return (SHAPES / f"{name}.json").read_bytes()
