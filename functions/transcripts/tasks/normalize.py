"""From the provider's words to the stored result: one pass, tolerant of everything, never raising.

Three generations of the provider's documentation disagree about codes, numbers, lists and usage
(https://api-tools.memories.ai), and none tells what a failure looks like. So nothing here trusts a
type: a number may come as a string, a list as null, a list's item as anything. What had to be
mended is counted in ``anomalies``; the body itself is kept beside the result, so nothing is lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from transcripts.callbacks.envelope import ABSENT, Envelope, decode, is_object
from transcripts.callbacks.kinds import Kind, kind_of
from transcripts.tasks.task import (
    Anomaly,
    Face,
    ModelUsage,
    Provider,
    Segment,
    Speaker,
    Status,
    Task,
    Usage,
)

UNKNOWN_SPEAKER: Final = "Unknown"

SUCCESS_CODES: Final = frozenset({"0000", "200"})

MAX_SPEAKERS: Final = 500
MAX_FACES: Final = 200
MAX_MODELS: Final = 50
MAX_NAME_BYTES: Final = 200
MAX_URI_BYTES: Final = 500
MAX_WORDS_BYTES: Final = 2_000
MAX_TEXT_BYTES: Final = 200_000
"""Bounds that keep everything but the segments under 450 KB together, and a segment under a page:
20,000 speakers, or a text of 5 MB, would otherwise make a paid result impossible to store."""

MAX_TIME_S: Final = 1e9
"""Thirty years. A larger time is no time."""

_MAX_WHOLE: Final = 2**53
"""Larger counts are nonsense, and are not exact everywhere."""


class _Anomalies:
    """Counts each kind of mending and remembers where it was first needed."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int]] = {}

    def add(self, code: str, index: int, count: int = 1) -> None:
        before, first = self._found.get(code, (0, index))
        self._found[code] = (before + count, min(first, index))

    def listed(self) -> list[Anomaly]:
        return [Anomaly(code, count, first) for code, (count, first) in sorted(self._found.items())]


def normalize(
    envelope: Envelope,
    *,
    revision: str,
    received_at: datetime,
    stored_at: datetime,
    expires_at: datetime | None,
) -> Task:
    """Make the result that is stored for a callback.

    Its status is ``failed`` for a code other than ``0000`` and ``200`` or ``success: false``,
    ``succeeded`` if ``data.data.audio_transcription`` is there (null or empty is silence), and
    ``unrecognized`` for the other endpoints' shapes.
    """
    kind = kind_of(envelope.data)
    data = _Data()
    if is_object(envelope.data):
        data = msgspec.json.decode(envelope.data, type=_Data)
    code = decode(envelope.code)
    provider = Provider(
        _code(code), _bounded_text(decode(envelope.message)), _bounded_text(decode(data.msg))
    )
    task = Task(
        task_id=envelope.task_id,
        kind=kind,
        status=_status(kind, code, decode(data.success)),
        created_at=received_at,
        received_at=received_at,
        stored_at=stored_at,
        expires_at=expires_at,
        provider=provider,
        revision=revision,
    )
    if task.status is not Status.SUCCEEDED:
        return task
    return _with_transcript(task, decode(data.data))


class _Data(msgspec.Struct, frozen=True):
    msg: msgspec.Raw = ABSENT
    success: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT


def _status(kind: Kind, code: object, success: object) -> Status:
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    if code is not None and str(code).strip() not in SUCCESS_CODES:
        return Status.FAILED
    if success is False or (isinstance(success, str) and success.strip().lower() == "false"):
        return Status.FAILED
    return Status.SUCCEEDED if kind is Kind.MULTI_SPEAKER else Status.UNRECOGNIZED


def _with_transcript(task: Task, result: dict[str, Any]) -> Task:
    anomalies = _Anomalies()
    transcription = result["audio_transcription"]
    if not isinstance(transcription, list | None):
        anomalies.add("not_a_list", 0)
    rows = _rows(_items(transcription), anomalies)
    faces = _faces(result.get("faces"), anomalies)
    segments, speakers = _segments_and_speakers(rows, faces, anomalies)
    return msgspec.structs.replace(
        task,
        duration_s=max((row[1] for row in rows), default=0.0),
        segment_count=len(segments),
        word_count=sum([len(row[3].split()) for row in rows]),
        speakers=speakers,
        segments=segments,
        faces=faces,
        usage=_usage(result.get("usage_metadata") or result.get("usage")),
        anomalies=anomalies.listed(),
    )


_Row = tuple[float, float, str, str]
"""Start and end in seconds, the speaker's name, the text."""


def _rows(items: Sequence[Any], anomalies: _Anomalies) -> list[_Row]:
    rows: list[_Row] = []
    names: dict[str, str] = {}
    for index, item in enumerate(items):
        if type(item) is not dict:
            anomalies.add("not_an_object", index)
            continue
        start, end = item.get("start_time"), item.get("end_time")
        # One chained comparison passes what is usual; it is false for NaN and infinity too.
        if not (type(start) is float and type(end) is float and 0.0 <= start <= end <= MAX_TIME_S):
            start, end = _times(start, end, index, anomalies)
        speaker = item.get("speaker")
        name = names.get(speaker) if type(speaker) is str else None
        if name is None:
            name = _speaker_name(speaker, index, anomalies, names)
        text = item.get("text")
        if type(text) is not str or not text or text.isspace():
            text = _text(text, index, anomalies)
        rows.append((start, end, name, text))
    _sort(rows, anomalies)
    return rows


def _sort(rows: list[_Row], anomalies: _Anomalies) -> None:
    """Sort by start, then end. What was in order before keeps its order (the sort is stable)."""
    times = [(row[0], row[1]) for row in rows]
    out_of_order = [i for i in range(1, len(times)) if times[i] < times[i - 1]]
    if out_of_order:
        anomalies.add("unsorted", out_of_order[0], len(out_of_order))
        rows.sort(key=lambda row: (row[0], row[1]))


def _times(start: Any, end: Any, index: int, anomalies: _Anomalies) -> tuple[float, float]:
    first, last = _seconds(start), _seconds(end)
    if first is None or last is None:
        anomalies.add("missing_time", index)
        first = first if first is not None else last if last is not None else 0.0
        last = last if last is not None else first
    if first < 0 or last < 0:
        anomalies.add("negative_time", index)
        first, last = max(first, 0.0), max(last, 0.0)
    if last < first:
        anomalies.add("reversed_times", index)
        first, last = last, first
    return first, last


def _speaker_name(value: Any, index: int, anomalies: _Anomalies, names: dict[str, str]) -> str:
    """Name the speaker; what needed no mending is remembered in ``names``."""
    name = _string(value)
    if name is None:
        anomalies.add("missing_speaker", index)
        return UNKNOWN_SPEAKER
    short = _cut(name, MAX_NAME_BYTES)
    if len(short) < len(name):
        anomalies.add("long_speaker_name", index)
    elif type(value) is str:
        names[value] = name
    return short


def _text(value: Any, index: int, anomalies: _Anomalies) -> str:
    text = _string(value)
    if text is None:
        anomalies.add("missing_text", index)
        return ""
    return text


def _segments_and_speakers(
    rows: list[_Row], faces: list[Face], anomalies: _Anomalies
) -> tuple[list[Segment], list[Speaker]]:
    """Number the speakers in the order of their first word, and sum up how much each talks."""
    parts: dict[str, _SpeakerTotals] = {}
    segments: list[Segment] = []
    for index, (start, end, name, text) in enumerate(rows):
        part = parts.get(name)
        if part is None:
            part = _take_part(parts, name, start, index, anomalies)
        part.segment_count += 1
        part.talk_time_s += end - start
        if len(text) * 4 <= MAX_TEXT_BYTES:
            segments.append(Segment(start, end, part.id, text))
            continue
        pieces = [Segment(start, end, part.id, piece) for piece in _pieces(text)]
        if len(pieces) > 1:
            anomalies.add("split_text", index)
        part.segment_count += len(pieces) - 1
        segments += pieces
    total = math.fsum(part.talk_time_s for part in parts.values())
    return segments, [
        Speaker(
            id=part.id,
            name=name,
            segment_count=part.segment_count,
            talk_time_s=round(part.talk_time_s, 6),
            share=min(part.talk_time_s / total, 1.0) if total else 0.0,
            first_start_s=part.first_start_s,
            face_ids=[face.id for face in faces if face.id is not None and face.name == name],
        )
        for name, part in parts.items()
    ]


class _SpeakerTotals:
    """A speaker's part, while it is summed up."""

    __slots__ = ("first_start_s", "id", "segment_count", "talk_time_s")

    def __init__(self, number: int, first_start_s: float) -> None:
        self.id = f"s{number}"
        self.first_start_s = first_start_s
        self.segment_count = 0
        self.talk_time_s = 0.0


def _take_part(
    parts: dict[str, _SpeakerTotals], name: str, start: float, index: int, anomalies: _Anomalies
) -> _SpeakerTotals:
    if len(parts) >= MAX_SPEAKERS:
        anomalies.add("too_many_speakers", index)
        name = UNKNOWN_SPEAKER
    return parts.setdefault(name, _SpeakerTotals(len(parts) + 1, start))


def _pieces(text: str) -> Iterator[str]:
    while text:
        piece = _cut(text, MAX_TEXT_BYTES)
        yield piece
        text = text[len(piece) :]


def _faces(value: Any, anomalies: _Anomalies) -> list[Face]:
    faces: list[Face] = []
    for index, item in enumerate(_items(value)):
        if type(item) is not dict:
            anomalies.add("face_not_an_object", index)
            continue
        if len(faces) >= MAX_FACES:
            anomalies.add("too_many_faces", index)
            continue
        face_id, name = _string(item.get("face_id")), _string(item.get("name"))
        faces.append(
            Face(
                _cut(face_id, MAX_NAME_BYTES) if face_id else None,
                _cut(name, MAX_NAME_BYTES) if name else None,
                _face_uri(item),
            )
        )
    return faces


def _face_uri(item: dict[str, Any]) -> str | None:
    protocol = _string(item.get("face_file_protocol"))
    bucket = _string(item.get("face_file_bucket"))
    blob = _string(item.get("face_file_blob"))
    if not (protocol and bucket and blob):
        return None
    uri = f"{protocol}://{bucket}/{blob}"
    return uri if len(uri.encode()) <= MAX_URI_BYTES else None


def _usage(value: Any) -> Usage | None:
    """Sum up usage, which comes as a list, as one object, or not at all."""
    entries = [item for item in _items(value) if type(item) is dict]
    if not entries:
        return None
    models = [
        ModelUsage(
            _cut(_string(item.get("model")) or "", MAX_NAME_BYTES) or None,
            _count(item.get("prompt_tokens")),
            _count(item.get("output_tokens")),
            _seconds(item.get("duration")) or 0.0,
        )
        for item in entries
    ]
    return Usage(
        prompt_tokens=min(sum(model.prompt_tokens for model in models), _MAX_WHOLE),
        output_tokens=min(sum(model.output_tokens for model in models), _MAX_WHOLE),
        duration_s=math.fsum(model.duration_s for model in models),
        models=models[:MAX_MODELS],
    )


def _items(value: Any) -> Sequence[Any]:
    """Take a list as it is, an object as a list of one, anything else as nothing."""
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, dict) else []


def _number(value: Any) -> float | None:
    """Read a finite number from a number or a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _seconds(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and abs(number) <= MAX_TIME_S else None


def _count(value: Any) -> int:
    number = _number(value)
    return min(int(number), _MAX_WHOLE) if number is not None and number > 0 else 0


def _string(value: Any) -> str | None:
    """Read a string (or a number written as one) without the blanks around it; None if blank."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None


def _bounded_text(value: Any) -> str | None:
    """Read a sentence of the provider's, bounded; a structure is shown as JSON."""
    if value is None:
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return _cut(text, MAX_WORDS_BYTES)


def _cut(text: str, limit_bytes: int) -> str:
    """Shorten ``text`` to at most ``limit_bytes`` of UTF-8, between characters."""
    if len(text) * 4 <= limit_bytes:
        return text
    return text.encode()[:limit_bytes].decode(errors="ignore")


def _code(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= _MAX_WHOLE:
        return value
    return _bounded_text(str(value) if isinstance(value, float) else value)
