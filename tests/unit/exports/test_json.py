"""The three JSON formats, validated by schemas and compared with the source."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given

from tests.unit.exports.samples import (
    FIXTURES,
    NAMES,
    make_task,
    milliseconds,
    renamed,
    squeezed,
    transcripts,
    write,
)
from transcripts.tasks.task import Segment


def _object(required: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required,
        "required": list(required),
        "additionalProperties": False,
    }


TEXT: Final = {"type": "string"}
SECONDS: Final = {"type": "number", "minimum": 0}
COUNT: Final = {"type": "integer", "minimum": 0}

# https://github.com/m-bain/whisperX/blob/main/whisperx/schema.py: what its readers ask for.
WHISPERX: Final = _object(
    {
        "segments": {
            "type": "array",
            "items": _object({"start": SECONDS, "end": SECONDS, "text": TEXT, "speaker": TEXT}),
        }
    }
)
# https://github.com/Podcastindex-org/podcast-namespace: transcripts.
PODCAST: Final = _object(
    {
        "version": {"const": "1.0.0"},
        "segments": {
            "type": "array",
            "items": _object(
                {
                    "speaker": {"type": "string", "minLength": 1},
                    "startTime": SECONDS,
                    "endTime": SECONDS,
                    "body": {"type": "string", "minLength": 1},
                }
            ),
        },
    }
)
TRANSCRIPT: Final = {
    "type": "object",
    "properties": {
        "task_id": TEXT,
        "duration_s": {"type": "number"},
        "segment_count": COUNT,
        "word_count": COUNT,
        "labels": {"type": "object"},
        "speakers": {
            "type": "array",
            "items": _object(
                {
                    "id": {"type": "string", "pattern": r"^s\d+$"},
                    "name": {"type": "string", "minLength": 1},
                    "given_name": {"type": "string"},
                    "other_given_names": {"type": "array", "items": TEXT},
                    "segment_count": COUNT,
                    "word_count": COUNT,
                    "talk_time_s": SECONDS,
                    "share": {"type": "number", "minimum": 0, "maximum": 1},
                    "first_start_s": SECONDS,
                    "face_ids": {"type": "array", "items": TEXT},
                }
            ),
        },
        "segments": {
            "type": "array",
            "items": _object(
                {
                    "start_s": {"type": "number"},
                    "end_s": {"type": "number"},
                    "speaker": TEXT,
                    "speaker_name": TEXT,
                    "text": TEXT,
                }
            ),
        },
    },
    "required": ["task_id", "duration_s", "segment_count", "speakers", "segments"],
}


def read(format_name: str, schema: dict[str, Any], segments: list[Segment]) -> Any:
    found = json.loads(write(format_name, segments))
    jsonschema.Draft202012Validator(schema).validate(found)
    return found["segments"]


def whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def name_of(segment: Segment) -> str:
    return {f"s{n}": name for n, name in enumerate(NAMES, 1)}.get(segment.speaker, "Unknown")


def same_time(written_s: float, seconds: float) -> bool:
    return abs(written_s * 1000 - milliseconds(seconds)) <= 0.5001


def check(segments: list[Segment]) -> None:
    for row, segment in zip(read("json", TRANSCRIPT, segments), segments, strict=True):
        assert (row["start_s"], row["end_s"]) == (segment.start_s, segment.end_s)
        assert (row["speaker_name"], row["text"]) == (name_of(segment), whole(segment.text))
    for row, segment in zip(read("whisperx.json", WHISPERX, segments), segments, strict=True):
        assert same_time(row["start"], segment.start_s)
        assert same_time(row["end"], max(segment.start_s, segment.end_s))
        assert (row["speaker"], row["text"]) == (name_of(segment), whole(segment.text))
    said = [segment for segment in segments if squeezed(segment.text)]
    for row, segment in zip(read("podcast.json", PODCAST, segments), said, strict=True):
        assert same_time(row["startTime"], segment.start_s)
        assert same_time(row["endTime"], max(segment.start_s, segment.end_s))
        assert row["speaker"] == name_of(segment)
        assert squeezed(row["body"]) == squeezed(segment.text)


@pytest.mark.parametrize("name", FIXTURES)
def test_json_of_every_fixture_is_valid_and_holds_the_source(name: str) -> None:
    """Text is exact, except for lone surrogates, which UTF-8 cannot have."""
    check(FIXTURES[name])


@given(transcripts())
def test_json_of_any_transcript_is_valid_and_holds_the_source(segments: list[Segment]) -> None:
    """The project's own format keeps the provider's times; the others have milliseconds."""
    check(segments)


def test_json_head_says_what_it_is_a_transcript_of() -> None:
    """Speakers have people's names; speakers with one name are one, with added sums."""
    segments = [Segment(0.0, 1.0, "s1", "One."), Segment(1.0, 2.5, "s3", "Two.")]
    task = make_task(
        segments,
        asset_id="re_1",
        labels={"team": "a"},
        received_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    names = {"s1": "Ada", "s3": "Ada"}
    task = make_task(
        segments,
        asset_id="re_1",
        labels={"team": "a"},
        received_at=datetime(2026, 1, 2, tzinfo=UTC),
        speaker_names=renamed(task, names),
    )
    found = json.loads(write("json", segments, task=task))
    assert found["received_at"] == "2026-01-02T00:00:00Z"
    assert (found["asset_id"], found["labels"]) == ("re_1", {"team": "a"})
    assert found["source"]["uri"] == "gs://uploads/2026/Planning meeting.mp4"
    assert found["speakers"][0] == {
        "id": "s1",
        "name": "Ada",
        "given_name": "Ada Example",
        "other_given_names": ["李雷"],
        "segment_count": 2,
        "word_count": 28,
        "talk_time_s": 3.0,
        "share": 2 / 3,
        "first_start_s": 1.0,
        "face_ids": ["face1", "face3"],
    }
    assert [speaker["id"] for speaker in found["speakers"]] == ["s1", "s2"]
    assert [row["speaker"] for row in found["segments"]] == ["s1", "s1"]
