"""Which endpoint a callback belongs to.

All nine asynchronous endpoints and three other families post to one URL, and no field names the
endpoint. So this module decides by the shape (https://api-tools.memories.ai/visual-intelligence
lists the endpoints; ``cli/fake_mavi/shapes`` holds the shapes). It decodes only the parts that
decide; the others stay raw.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import Any, Final

import msgspec

from transcripts.callbacks.envelope import is_object, read_envelope
from transcripts.ids import usable_id

_MISSING: Final = msgspec.Raw(b"")
_FIRST: Final = 8
"""How many items of a list are read: the first may be null."""

_FIRST_BYTES: Final = 256 * 1024
"""How much of a list is read: a list of 32 MiB may have millions of items."""


class Kind(StrEnum):
    """The family of a callback, as the ``kind`` attribute of its message."""

    MULTI_SPEAKER = "multi_speaker"
    AUDIO = "audio"
    VIDEO = "video"
    SPEAKER = "speaker"
    SUMMARY = "summary"
    CLIP = "clip"
    SPLIT = "split"
    EDIT = "edit"
    EXTRACT_FRAMES = "extract_frames"
    MAI_TRANSCRIPT = "mai_transcript"
    STREAM = "stream"
    UNKNOWN = "unknown"


class _Data(msgspec.Struct, frozen=True, gc=False):
    data: msgspec.Raw = _MISSING
    splits: msgspec.Raw = _MISSING
    asset_ch_ids: msgspec.Raw = _MISSING
    asset_id: msgspec.Raw = _MISSING
    upload_status: msgspec.Raw = _MISSING
    file_size: msgspec.Raw = _MISSING
    videoTranscript: msgspec.Raw = _MISSING  # noqa: N815 - the provider's spelling
    audioTranscript: msgspec.Raw = _MISSING  # noqa: N815 - the provider's spelling
    status: msgspec.Raw = _MISSING
    segment_index: msgspec.Raw = _MISSING


class _Inner(msgspec.Struct, frozen=True, gc=False):
    audio_transcription: msgspec.Raw = _MISSING
    summary: msgspec.Raw = _MISSING
    data: msgspec.Raw = _MISSING
    error_rate: msgspec.Raw = _MISSING
    exec_time: msgspec.Raw = _MISSING


_decode_data = msgspec.json.Decoder(_Data).decode
_decode_inner = msgspec.json.Decoder(_Inner).decode
_decode_next = json.JSONDecoder().raw_decode


def _has(raw: msgspec.Raw) -> bool:
    return memoryview(raw).nbytes > 0


class _UsualInner(msgspec.Struct, frozen=True, gc=False):
    audio_transcription: msgspec.Raw


class _UsualData(msgspec.Struct, frozen=True, gc=False):
    data: _UsualInner


class _Usual(msgspec.Struct, frozen=True, gc=False):
    """The shape of the multi-speaker endpoint's result, the only one that this pipeline buys."""

    task_id: str
    data: _UsualData


_decode_usual = msgspec.json.Decoder(_Usual).decode


def identify(body: bytes) -> tuple[str, Kind]:
    """Return the ``task_id`` and the kind of a callback's body.

    The usual shape is recognized in one pass, the others by reading the frame and classifying its
    data, with the same result. Raises ``UnreadableCallback`` as ``read_envelope`` does.
    """
    if body.isascii():
        try:
            usual = _decode_usual(body)
        except (msgspec.MsgspecError, RecursionError):
            pass
        else:
            if usable_id(usual.task_id):
                return usual.task_id, Kind.MULTI_SPEAKER
    envelope = read_envelope(body)
    return envelope.task_id, kind_of(envelope.data)


def kind_of(data: msgspec.Raw) -> Kind:
    """Classify a callback by its raw ``data`` part: correct JSON, as ``read_envelope`` gives it."""
    if not is_object(data):
        return Kind.UNKNOWN
    outer = _decode_data(data)
    if is_object(outer.data):
        kind = _kind_of_inner(_decode_inner(outer.data))
        if kind is not Kind.UNKNOWN:
            return kind
    if _has(outer.splits):
        return Kind.SPLIT
    if _has(outer.asset_ch_ids):
        return Kind.EXTRACT_FRAMES
    if _has(outer.videoTranscript) or _has(outer.audioTranscript):
        return Kind.MAI_TRANSCRIPT
    if _has(outer.asset_id) and (_has(outer.upload_status) or _has(outer.file_size)):
        return Kind.EDIT
    if _has(outer.status) or _has(outer.segment_index):
        return Kind.STREAM
    return Kind.UNKNOWN


def _kind_of_inner(inner: _Inner) -> Kind:
    if _has(inner.audio_transcription):
        return Kind.MULTI_SPEAKER
    if _has(inner.summary):
        return Kind.SUMMARY
    for item in islice(_items(inner.data), _FIRST):
        kind = _kind_of_item(item, inner) if isinstance(item, dict) else Kind.UNKNOWN
        if kind is not Kind.UNKNOWN:
            return kind
    if _has(inner.error_rate):
        return Kind.VIDEO
    if _has(inner.exec_time):
        return Kind.CLIP
    return Kind.UNKNOWN


def _items(raw: msgspec.Raw) -> Iterator[Any]:
    """Yield the first items of a list, as far as they are whole in its first bytes."""
    text = bytes(memoryview(raw)[:_FIRST_BYTES]).decode(errors="ignore")
    if not text.startswith("["):
        return
    try:
        at = _skip_blanks(text, 1)
        while text[at] != "]":
            item, at = _decode_next(text, at)
            yield item
            at = _skip_blanks(text, at)
            if text[at] == ",":
                at = _skip_blanks(text, at + 1)
    except (ValueError, IndexError, RecursionError):
        # The list is cut off here, or nested too deep to decode.
        return


def _skip_blanks(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _kind_of_item(item: dict[str, Any], inner: _Inner) -> Kind:
    if "transcript" in item:
        return Kind.VIDEO
    if "text" in item:
        return Kind.AUDIO
    if "start" in item and "end" in item:
        return Kind.SPEAKER if "speaker" in item and not _has(inner.exec_time) else Kind.CLIP
    return Kind.UNKNOWN
