"""Which endpoint a callback belongs to."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given

from tests.builders import callback, shape_body, shape_names
from tests.unit.test_envelope import JSON_VALUES
from transcripts.callbacks import kinds
from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.kinds import Kind, identify, kind_of


def classify(data: Any) -> Kind:
    body = json.dumps({"task_id": "a", "data": data}).encode()
    assert identify(body) == ("a", kind_of(read_envelope(body).data))
    return identify(body)[1]


@pytest.mark.parametrize("name", shape_names())
def test_classify_every_documented_shape_has_its_kind(name: str) -> None:
    """The file of a shape has the name of its kind."""
    assert kind_of(read_envelope(shape_body(name)).data) == name


def test_every_kind_has_a_documented_shape() -> None:
    """No kind is undocumented."""
    assert set(shape_names()) == {kind.value for kind in Kind} - {"unknown"}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (None, "unknown"),
        ([], "unknown"),
        ("text", "unknown"),
        ({}, "unknown"),
        ({"msg": "failed", "success": False, "data": None}, "unknown"),
        ({"data": {"audio_transcription": None}}, "multi_speaker"),
        ({"data": {"audio_transcription": []}}, "multi_speaker"),
        ({"data": {"audio_transcription": "?"}}, "multi_speaker"),
        ({"data": {"summary": None}}, "summary"),
        ({"data": {"data": []}}, "unknown"),
        ({"data": {"data": [], "error_rate": 0.0}}, "video"),
        ({"data": {"data": [], "exec_time": 1.0}}, "clip"),
        ({"data": {"data": [None, {"transcript": "x"}]}}, "video"),
        ({"data": {"data": [{"start": 0, "end": 1}]}}, "clip"),
        ({"data": {"data": [{"start": 0, "end": 1, "speaker": "S"}]}}, "speaker"),
        ({"data": {"data": [{"other": 1}], "exec_time": 1.0}}, "clip"),
        ({"asset_id": "re_1"}, "unknown"),
        ({"videoTranscript": None}, "mai_transcript"),
        ({"segment_index": 3, "transcript": "x"}, "stream"),
        ({"status": 0, "data": {"text": "x"}}, "stream"),
    ],
)
def test_classify_incomplete_shapes_finds_their_kind(data: Any, kind: str) -> None:
    """Empty lists, missing parts and unknown fields are classified as far as possible."""
    assert classify(data) == kind


@pytest.mark.parametrize("items", ["1,", '"ab",', "{},", "[],", '{"text": "x"},'])
def test_classify_list_of_millions_builds_no_objects(items: str) -> None:
    """A body of 32 MiB with such a list must not take a gigabyte of the public function."""
    listed = (items * (4 * 1024 * 1024 // len(items)))[:-1].encode()
    body = b'{"task_id": "a", "data": {"data": {"data": [' + listed + b"]}}}"
    tracemalloc.start()
    identify(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.5 * len(body)


@pytest.mark.parametrize("cut", ["[{", '[{"text": "x"}, ', "[1, [[[", '["'])
def test_classify_ignores_items_cut_off_at_the_bound(cut: str) -> None:
    """Only items that are complete within the bound are read."""
    whole = '[{"other": 1}, ' + " " * kinds._FIRST_BYTES + '{"text": "x"}]'
    assert kind_of(msgspec.Raw(b'{"data": {"data": ' + whole.encode() + b"}}")) is Kind.UNKNOWN
    assert list(kinds._items(msgspec.Raw(cut.encode()))) in ([], [{"text": "x"}], [1])


@given(JSON_VALUES)
def test_classify_any_data_has_one_kind(data: Any) -> None:
    """Classifying never raises, and the fast way agrees with the slow way."""
    assert classify(data) in Kind


@given(JSON_VALUES)
def test_fast_way_agrees_on_multi_speaker_callbacks(extra: Any) -> None:
    """Both ways agree whatever a multi-speaker callback holds."""
    content = callback(inner={"more": extra}, data={"more": extra}, more=extra)
    body = json.dumps(content).encode()
    envelope = read_envelope(body)
    assert identify(body) == (envelope.task_id, kind_of(envelope.data))
