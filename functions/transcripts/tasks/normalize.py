"""Makes the stored result from the provider's body, in one pass, whatever types its fields have.

Three generations of the provider's documentation disagree about codes, numbers, lists and usage
(https://api-tools.memories.ai), and none shows a failure. So this module trusts no type: a number
may come as a string, a list as null, a list's item as anything. ``anomalies`` counts the repairs;
the body itself is kept beside the result, so nothing is lost.
"""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter
from typing import Final

import msgspec

from transcripts.callbacks.envelope import NULL, Envelope, is_object, reports_failure
from transcripts.callbacks.kinds import Kind, kind_of
from transcripts.tasks.speakers import UNKNOWN_SPEAKER, Row, sum_up
from transcripts.tasks.task import Face, ModelUsage, Provider, Status, Task, Usage
from transcripts.tasks.values import (
    MAX_TIME_S,
    Anomalies,
    Scalar,
    add_counts,
    bounded_text,
    count,
    cut,
    provider_code,
    read_items,
    scalar,
    seconds,
    string,
)
from transcripts.text import is_blank

MAX_FACES: Final = 200
MAX_MODELS: Final = 50
MAX_NAME_BYTES: Final = 200
MAX_URI_BYTES: Final = 500


def normalize(
    envelope: Envelope,
    *,
    revision: str,
    received_at: datetime,
    stored_at: datetime,
    expires_at: datetime | None,
) -> Task:
    """Make the result that is stored for a callback.

    Its status is ``failed`` if the callback reports a failure (``reports_failure``),
    ``succeeded`` if ``data.data.audio_transcription`` is there (null or empty is silence), and
    ``unrecognized`` for the other endpoints' shapes. Raises ``PoisonMessage`` for a body that is
    nested too deep, or has a list of over ``MAX_ITEMS``.
    """
    kind = kind_of(envelope.data)
    data = _Data()
    if is_object(envelope.data):
        data = msgspec.json.decode(envelope.data, type=_Data)
    code = scalar(envelope.code)
    provider = Provider(
        provider_code(code), bounded_text(scalar(envelope.message)), bounded_text(scalar(data.msg))
    )
    if reports_failure(code, scalar(data.success)):
        status = Status.FAILED
    else:
        status = Status.SUCCEEDED if kind is Kind.MULTI_SPEAKER else Status.UNRECOGNIZED
    task = Task(
        task_id=envelope.task_id,
        kind=kind,
        status=status,
        created_at=received_at,
        received_at=received_at,
        stored_at=stored_at,
        expires_at=expires_at,
        provider=provider,
        revision=revision,
    )
    if task.status is not Status.SUCCEEDED:
        return task
    return _with_transcript(task, msgspec.json.decode(data.data, type=_Result))


def without_faces(task: Task) -> Task:
    """Return a result without the faces that the provider saw."""
    speakers = [msgspec.structs.replace(speaker, face_ids=[]) for speaker in task.speakers]
    return msgspec.structs.replace(task, speakers=speakers, faces=[])


class _Data(msgspec.Struct, frozen=True):
    msg: msgspec.Raw = NULL
    success: msgspec.Raw = NULL
    data: msgspec.Raw = NULL


class _Result(msgspec.Struct, frozen=True):
    audio_transcription: msgspec.Raw = NULL
    faces: msgspec.Raw = NULL
    usage_metadata: msgspec.Raw = NULL
    usage: msgspec.Raw = NULL


class _Segment(msgspec.Struct, gc=False):
    start_time: Scalar = None
    end_time: Scalar = None
    speaker: Scalar = None
    text: Scalar = None


class _Face(msgspec.Struct, gc=False):
    face_id: Scalar = None
    name: Scalar = None
    face_file_protocol: Scalar = None
    face_file_bucket: Scalar = None
    face_file_blob: Scalar = None


class _Usage(msgspec.Struct, gc=False):
    model: Scalar = None
    prompt_tokens: Scalar = None
    output_tokens: Scalar = None
    duration: Scalar = None


def _with_transcript(task: Task, result: _Result) -> Task:
    anomalies = Anomalies()
    rows = _rows(result.audio_transcription, anomalies)
    faces = _faces(result.faces, anomalies)
    duration_s = max(map(itemgetter(1), rows), default=0.0)
    spoken = sum_up(rows, faces, anomalies)
    return msgspec.structs.replace(
        task,
        duration_s=duration_s,
        segment_count=len(spoken.segments),
        **spoken._asdict(),
        faces=faces,
        usage=_usage(result, anomalies),
        anomalies=anomalies.listed(),
    )


def _rows(transcription: msgspec.Raw, anomalies: Anomalies) -> list[Row]:
    """Read the segments, in the order of their start."""
    if bytes(memoryview(transcription)[:1]) not in (b"[", b"n"):
        anomalies.add("not_a_list", 0)
    rows: list[Row] = []
    names: dict[str, str] = {}
    last_start = last_end = 0.0
    in_order = True
    for index, item in enumerate(read_items(transcription, _Segment)):
        if item is None:
            anomalies.add("not_an_object", index)
            continue
        start, end = item.start_time, item.end_time
        # One chained comparison accepts usual times; it is false for NaN and infinity too.
        if not (type(start) is float and type(end) is float and 0.0 <= start <= end <= MAX_TIME_S):
            start, end = _times(start, end, last_end, index, anomalies)
        if start < last_start:
            anomalies.add("unsorted", index)
            in_order = False
        last_start, last_end = start, end
        speaker = item.speaker
        name = names.get(speaker) if type(speaker) is str else None
        if name is None:
            name = _speaker_name(speaker, index, anomalies, names)
        text = item.text
        if type(text) is not str or not text or is_blank(text):
            text = _text(text, index, anomalies)
        rows.append((start, end, name, text, index))
    if not in_order:
        # The sort is stable: segments that begin together stay as they came.
        rows.sort(key=itemgetter(0))
    return rows


def _times(
    start: Scalar, end: Scalar, last_end: float, index: int, anomalies: Anomalies
) -> tuple[float, float]:
    """Repair the times of a segment; one without any time follows the previous segment."""
    first, last = seconds(start), seconds(end)
    if first is None or last is None:
        anomalies.add("missing_time", index)
        first = first if first is not None else last if last is not None else last_end
        last = last if last is not None else first
    if first < 0 or last < 0:
        anomalies.add("negative_time", index)
        first, last = max(first, 0.0), max(last, 0.0)
    if last < first:
        anomalies.add("reversed_times", index)
        first, last = last, first
    return first, last


def _speaker_name(value: Scalar, index: int, anomalies: Anomalies, names: dict[str, str]) -> str:
    """Name the speaker; ``names`` remembers names that needed no repair."""
    name = string(value)
    if name is None:
        anomalies.add("missing_speaker", index)
        return UNKNOWN_SPEAKER
    short = _name(name)
    if len(short) < len(name):
        anomalies.add("long_speaker_name", index)
    elif type(value) is str:
        names[value] = name
    return short


def _name(name: str) -> str:
    return cut(name, MAX_NAME_BYTES)


def _text(value: Scalar, index: int, anomalies: Anomalies) -> str:
    text = string(value)
    if text is None:
        anomalies.add("missing_text", index)
        return ""
    return text


def _faces(raw: msgspec.Raw, anomalies: Anomalies) -> list[Face]:
    faces: list[Face] = []
    for index, item in enumerate(read_items(raw, _Face)):
        if item is None:
            anomalies.add("face_not_an_object", index)
            continue
        if len(faces) >= MAX_FACES:
            anomalies.add("too_many_faces", index)
            continue
        face_id, name = string(item.face_id), string(item.name)
        protocol, bucket = string(item.face_file_protocol), string(item.face_file_bucket)
        blob = string(item.face_file_blob)
        uri = f"{protocol}://{bucket}/{blob}" if protocol and bucket and blob else None
        face = Face(
            _name(face_id) if face_id else None,
            _name(name) if name else None,
            uri if uri and len(uri.encode()) <= MAX_URI_BYTES else None,
        )
        if face != Face(face_id, name, uri):
            anomalies.add("long_face", index)
        faces.append(face)
    return faces


def _usage(result: _Result, anomalies: Anomalies) -> Usage | None:
    """Sum up usage, which comes as a list, as one object, or not at all, under two names."""
    return _usage_of(result.usage_metadata, anomalies) or _usage_of(result.usage, anomalies)


def _usage_of(raw: msgspec.Raw, anomalies: Anomalies) -> Usage | None:
    models: list[ModelUsage] = []
    prompt_tokens = output_tokens = 0
    duration_s = 0.0
    for index, item in enumerate(read_items(raw, _Usage)):
        if item is None:
            continue
        model = ModelUsage(
            _name(string(item.model) or "") or None,
            count(item.prompt_tokens),
            count(item.output_tokens),
            seconds(item.duration) or 0.0,
        )
        prompt_tokens = add_counts(prompt_tokens, model.prompt_tokens)
        output_tokens = add_counts(output_tokens, model.output_tokens)
        duration_s += model.duration_s
        if len(models) < MAX_MODELS:
            models.append(model)
        else:
            anomalies.add("too_many_models", index)
    return Usage(prompt_tokens, output_tokens, duration_s, models) if models else None
