"""Making the stored result from the provider's body."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import SPEAKERS, callback, callback_body, segment, shape_body, shape_names
from tests.fakes import NOW
from tests.unit.test_envelope import FLOATS, JSON_VALUES
from transcripts.callbacks.envelope import read_envelope
from transcripts.errors import UnreadableCallback
from transcripts.tasks.normalize import (
    MAX_FACES,
    MAX_MODELS,
    normalize,
)
from transcripts.tasks.paging import paginate
from transcripts.tasks.speakers import MAX_SPEAKERS
from transcripts.tasks.task import Anomaly, Face, ModelUsage, Provider, Segment, Status, Task, Usage


def result(body: bytes) -> Task:
    return normalize(
        read_envelope(body),
        revision="0123456789abcdef",
        received_at=NOW,
        stored_at=NOW + timedelta(seconds=1),
        expires_at=None,
    )


def of(segments: list[Any], **changes: Any) -> Task:
    return result(callback_body(segments, **changes))


def anomalies(task: Task) -> dict[str, tuple[int, int]]:
    return {item.code: (item.count, item.first_index) for item in task.anomalies}


def test_normalize_documented_callback_fills_every_field() -> None:
    """The provider's own sample sets every field of the schema."""
    task = result(shape_body("multi_speaker"))
    assert (task.status, task.kind, task.submission_id, task.pages) == (
        "succeeded",
        "multi_speaker",
        None,
        0,
    )
    assert task.provider == Provider("0000", "SUCCESS", "Multimodal ASR completed successfully")
    assert (task.duration_s, task.segment_count, task.word_count) == (36.2, 10, 130)
    assert task.segments[0] == Segment(
        0.0,
        3.4,
        "s1",
        "Good morning, and welcome to the planning meeting. Shall we begin with the harbour?",
    )
    assert [(speaker.id, speaker.name) for speaker in task.speakers] == [
        ("s1", "Ada Example"),
        ("s2", "Ben Sample"),
        ("s3", "Carla Specimen"),
    ]
    assert [speaker.talk_time_s for speaker in task.speakers] == [10.5, 8.0, 14.5]
    assert task.speakers[1].share == pytest.approx(8.0 / 33.0)
    assert task.speakers[2].first_start_s == 10.4
    assert task.speakers[0].segment_count == 4
    assert task.faces[0] == Face(
        "5f0f7a52-0000-4000-8000-000000000001_person_001",
        "Ada Example",
        "gs://memories-cache/api-backend/faces/0123abcd_batch_1_video_9_person_001.jpg",
    )
    assert task.speakers[0].face_ids == [task.faces[0].id]
    assert task.usage == Usage(440000, 6000, 0.0, [ModelUsage("gemini-2.5-pro", 440000, 6000, 0.0)])
    assert task.anomalies == []
    assert (task.revision, task.received_at) == ("0123456789abcdef", NOW)


@pytest.mark.parametrize("code", ["0000", "200", 200, 200.0, None, " 200 "])
def test_normalize_success_code_of_every_generation_succeeds(code: Any) -> None:
    """A missing code does not decide."""
    assert result(callback_body(code=code)).status == "succeeded"


@pytest.mark.parametrize("code", ["0429", 500, "500", 0, "", True, [], {"a": 1}, 9.5])
def test_normalize_other_code_is_a_failure(code: Any) -> None:
    """A transcript beside the code does not change that; the provider's message is kept."""
    task = result(callback_body(code=code))
    assert (task.status, task.segments, task.kind) == ("failed", [], "multi_speaker")
    assert task.provider is not None


@pytest.mark.parametrize("success", [False, "false", "False"])
def test_normalize_success_false_is_a_failure(success: Any) -> None:
    """A code of success in the outer frame does not change that."""
    task = result(callback_body(data={"success": success, "msg": "no audio", "data": None}))
    assert (task.status, task.kind) == ("failed", "unknown")
    assert task.provider == Provider("0000", "SUCCESS", "no audio")


@pytest.mark.parametrize("data", [None, "text", [], 7, {}])
def test_normalize_bad_code_fails_whatever_the_data(data: Any) -> None:
    """The code of a failure decides before the shape."""
    assert result(json.dumps(callback(code=500) | {"data": data}).encode()).status == "failed"


@pytest.mark.parametrize("name", [name for name in shape_names() if name != "multi_speaker"])
def test_normalize_other_endpoints_are_unrecognized(name: str) -> None:
    """Their code and message are kept, and no result is made of their data."""
    task = result(shape_body(name))
    assert (task.status, task.kind, task.segments) == ("unrecognized", name, [])
    assert task.provider is not None
    assert task.provider.message == "SUCCESS"


@pytest.mark.parametrize("silence", [None, []])
def test_normalize_silence_succeeds(silence: Any) -> None:
    """A result without segments, speakers and length has succeeded."""
    task = result(callback_body(inner={"audio_transcription": silence, "faces": None}))
    assert (task.status, task.duration_s, task.speakers, task.faces) == ("succeeded", 0.0, [], [])
    assert task.anomalies == []


def test_normalize_unsorted_segments_sorts_by_start_alone() -> None:
    """Overlapping segments are no error; segments that begin together keep their order."""
    task = of(
        [
            segment(start_time=5.0, end_time=6.0, text="c"),
            segment(start_time=1.0, end_time=9.0, text="a"),
            segment(start_time=1.0, end_time=2.0, text="b"),
            segment(start_time=5.0, end_time=6.0, text="d"),
        ]
    )
    assert [part.text for part in task.segments] == ["a", "b", "c", "d"]
    assert anomalies(task) == {"unsorted": (1, 1)}
    assert task.duration_s == 9.0


def test_normalize_same_start_is_in_order_whatever_the_ends() -> None:
    """A shorter segment after a longer one with the same start is in order."""
    task = of([segment(start_time=1.0, end_time=9.0), segment(start_time=1.0, end_time=2.0)])
    assert [part.end_s for part in task.segments] == [9.0, 2.0]
    assert task.anomalies == []


def test_normalize_segment_without_times_keeps_its_place() -> None:
    """It starts and ends where the previous segment ends; speakers keep their numbers."""
    untimed = {"speaker": "Ben", "text": "yes"}
    task = of(
        [
            segment(start_time=0.0, end_time=2.5, speaker="Ada"),
            untimed,
            untimed | {"start_time": None, "end_time": "soon"},
            segment(start_time=3.0, end_time=4.0, speaker="Ada"),
        ]
    )
    assert [(part.speaker, part.start_s, part.end_s) for part in task.segments] == [
        ("s1", 0.0, 2.5),
        ("s2", 2.5, 2.5),
        ("s2", 2.5, 2.5),
        ("s1", 3.0, 4.0),
    ]
    assert [speaker.name for speaker in task.speakers] == ["Ada", "Ben"]
    assert anomalies(task) == {"missing_time": (2, 1)}


def test_normalize_reversed_and_negative_times_are_repaired() -> None:
    """Times are swapped or raised to zero, and counted with the provider's index."""
    task = of(
        [
            segment(0),
            segment(start_time=7.0, end_time=5.0),
            segment(start_time=-3.0, end_time=8.0),
            segment(start_time=-2.0, end_time=-1.0),
        ]
    )
    assert [(part.start_s, part.end_s) for part in task.segments] == [
        (0.0, 3.5),
        (0.0, 8.0),
        (0.0, 0.0),
        (5.0, 7.0),
    ]
    assert anomalies(task) == {
        "negative_time": (2, 2),
        "reversed_times": (1, 1),
        "unsorted": (1, 2),
    }


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("1.5", "2.5", (1.5, 2.5)),
        (1, 2, (1.0, 2.0)),
        (None, 2, (2.0, 2.0)),
        (1, None, (1.0, 1.0)),
        (None, None, (0.0, 0.0)),
        ("one", "two", (0.0, 0.0)),
        (True, [1], (0.0, 0.0)),
        (1e300, 2, (2.0, 2.0)),
        ("inf", "nan", (0.0, 0.0)),
        ("0:05", "0:07", (5.0, 7.0)),
        ("00:01:02.5", "00:01:03,250", (62.5, 63.25)),
        (" 1:02:03 ", "75:30", (3723.0, 4530.0)),
        ("62,5", "63", (62.5, 63.0)),
        ("-0:05", "0:05", (0.0, 5.0)),
        ("1:60", "3:61:00", (0.0, 0.0)),
        ("1:2:3:4", "1:", (0.0, 0.0)),
        ("1,234.5", "0:05:", (0.0, 0.0)),
        ("9" * 13 + ":00", [2], (0.0, 0.0)),
    ],
)
def test_normalize_times_of_any_type_are_read(
    start: Any, end: Any, expected: tuple[float, float]
) -> None:
    """A string may be a number, with a point or a comma, or a clock time of two or three parts."""
    task = of([segment(start_time=start, end_time=end)])
    assert (task.segments[0].start_s, task.segments[0].end_s) == expected


def test_normalize_segment_without_speaker_and_text_is_kept() -> None:
    """The segment has the speaker Unknown and an empty text."""
    task = of(
        [
            segment(0, speaker=None),
            segment(1, speaker="  "),
            segment(2, speaker=7, text=8),
            segment(3, text=None),
            segment(4, text=" \n"),
            {},
        ]
    )
    assert anomalies(task) == {
        "missing_speaker": (3, 0),
        "missing_text": (3, 3),
        "missing_time": (1, 5),
    }
    assert {speaker.name for speaker in task.speakers} == {"Unknown", "7", *SPEAKERS[:2]}
    assert [part.text for part in task.segments if part.text == "8"] == ["8"]


def test_normalize_items_that_are_no_segments_are_counted() -> None:
    """Null and strings in the list do not lose the other segments."""
    task = of([None, "text", segment(0), 7])
    assert (task.segment_count, anomalies(task)) == (1, {"not_an_object": (3, 0)})


def test_normalize_transcription_that_is_no_list_is_counted() -> None:
    """An object counts as one segment, a string as silence."""
    one = result(callback_body(inner={"audio_transcription": segment(0)}))
    none = result(callback_body(inner={"audio_transcription": "text"}))
    assert (one.segment_count, none.segment_count) == (1, 0)
    assert anomalies(one) == anomalies(none) == {"not_a_list": (1, 0)}


@pytest.mark.parametrize("text", ["\ufeff", "\u200b \u200e\n", "\u2060\u00a0"])
def test_normalize_text_of_unseen_characters_is_empty(text: str) -> None:
    """The text is stored as empty, and counted as missing."""
    task = of([segment(0, text=text)])
    assert [part.text for part in task.segments] == [""]
    assert anomalies(task) == {"missing_text": (1, 0)}
    assert (task.word_count, task.character_count) == (0, 0)


def test_normalize_text_with_unseen_characters_is_kept() -> None:
    """A text is stored as the provider sent it."""
    task = of([segment(0, text="\ufeff क\u094d\u200dष ")])
    assert [part.text for part in task.segments] == ["\ufeff क\u094d\u200dष "]


def test_normalize_repairs_are_counted_by_the_providers_index() -> None:
    """Left-out items and sorting do not shift ``first_index``."""
    late, early = segment(9, text="x" * 450_000), segment(1, text="y" * 250_000)
    task = of([None, late, early])
    assert anomalies(task) == {"not_an_object": (1, 0), "split_text": (2, 1), "unsorted": (1, 2)}
    names = [segment(n, speaker=f"{n}") for n in range(MAX_SPEAKERS)]
    task = of([None, *names, segment(900, speaker="b"), segment(901, speaker="b")])
    assert anomalies(task)["too_many_speakers"] == (2, MAX_SPEAKERS + 1)


def test_normalize_shortened_faces_and_models_are_counted() -> None:
    """Anomalies count the values that were cut or left out."""
    faces = [{"name": "A"}, {"name": "ä" * 300}, {"face_id": "x" * 201}, LONG_URI]
    usage = [{"prompt_tokens": 1}] * (MAX_MODELS + 2)
    task = of([], inner={"faces": faces, "usage_metadata": usage})
    assert anomalies(task) == {"long_face": (3, 1), "too_many_models": (2, MAX_MODELS)}
    assert task.usage is not None
    assert (task.usage.prompt_tokens, len(task.usage.models)) == (MAX_MODELS + 2, MAX_MODELS)


LONG_URI = {"face_file_protocol": "gs", "face_file_bucket": "b", "face_file_blob": "x" * 600}


@pytest.mark.parametrize(
    ("face", "expected"),
    [
        ({}, Face(None, None, None)),
        ({"face_id": 7, "name": " A "}, Face("7", "A", None)),
        (
            {"face_file_protocol": "gs", "face_file_bucket": "b", "face_file_blob": None},
            Face(None, None, None),
        ),
        (LONG_URI, Face(None, None, None)),
    ],
)
def test_normalize_incomplete_faces_are_kept(face: dict[str, Any], expected: Face) -> None:
    """A face without an address is kept."""
    assert result(callback_body(inner={"faces": [face, None]})).faces == [expected]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ([], None),
        ("?", None),
        ({"model": "m", "prompt_tokens": "3", "output_tokens": None}, (3, 0, 0.0)),
        (
            [
                {"prompt_tokens": 1, "output_tokens": 2, "duration": "1.5"},
                {"prompt_tokens": 10, "output_tokens": -5, "duration": 2},
                None,
            ],
            (11, 2, 3.5),
        ),
        ({"prompt_tokens": 10**400}, (0, 0, 0.0)),
    ],
)
def test_normalize_usage_as_list_or_object_is_summed(usage: Any, expected: Any) -> None:
    """Usage is summed over the models; bad numbers count as 0."""
    found = result(callback_body(inner={"usage_metadata": usage})).usage
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.prompt_tokens, found.output_tokens, found.duration_s) == expected


def test_normalize_usage_under_its_other_name_is_read() -> None:
    """One page of the documentation calls it ``usage``."""
    task = result(callback_body(inner={"usage_metadata": None, "usage": {"prompt_tokens": 4}}))
    assert task.usage is not None
    assert task.usage.prompt_tokens == 4


def test_normalize_unknown_fields_are_ignored() -> None:
    """New fields of the provider change nothing."""
    body = callback_body(inner={"new": 1}, data={"new": [1]}, new={"a": 1})
    assert result(body) == result(callback_body())


def test_normalize_number_beyond_a_float_keeps_the_result() -> None:
    """1e999 is correct JSON."""
    body = callback_body().replace(b'"end_time":3.5', b'"end_time":1e999')
    task = result(body)
    assert task.status == "succeeded"
    assert anomalies(task) == {"missing_time": (1, 0)}


@pytest.mark.parametrize("code", [b"1e999", b"-1e999", b"1e300"])
def test_normalize_code_beyond_a_float_is_stored_as_text(code: bytes) -> None:
    """Not every store has infinity."""
    task = result(b'{"task_id": "a", "code": %s, "data": null}' % code)
    assert task.status is Status.FAILED
    assert task.provider is not None
    assert isinstance(task.provider.code, str)


def test_normalize_bounds_everything_but_the_segments() -> None:
    """The largest values of all fields together leave room in the document."""
    long = "ä" * 10_000
    face = {
        "face_id": long,
        "name": long,
        "face_file_protocol": "gs",
        "face_file_bucket": "b",
        "face_file_blob": "ä" * 240,
    }
    task = result(
        callback_body(
            [segment(n, speaker=f"{n}{long}") for n in range(2 * MAX_SPEAKERS)],
            inner={
                "faces": [face] * (MAX_FACES + 5),
                "usage_metadata": [{"model": long, "prompt_tokens": 2**60}] * (MAX_MODELS + 5),
            },
            data={"msg": long},
            message=[long],
        )
    )
    stored, pages = paginate(task)
    assert len(msgspec.json.encode(stored)) < 700_000
    assert len(task.faces) == MAX_FACES
    assert sum(map(len, pages)) in (0, task.segment_count)
    assert anomalies(task)["too_many_faces"] == (5, MAX_FACES)


@given(JSON_VALUES)
def test_normalize_any_transcription_does_not_raise(value: Any) -> None:
    """No content of the transcript makes normalizing fail."""
    body = json.dumps(callback(inner={"audio_transcription": value})).encode()
    check(body)


@given(JSON_VALUES, JSON_VALUES)
def test_normalize_any_frame_does_not_raise(value: Any, other: Any) -> None:
    """No content beside the transcript makes normalizing fail."""
    check(json.dumps(callback(code=value, message=other) | {"data": value}).encode())
    check(json.dumps(callback(data={"msg": value, "success": other})).encode())
    check(json.dumps(callback(inner={"faces": value, "usage_metadata": other})).encode())
    check(json.dumps(callback(inner={"faces": [value], "usage_metadata": [other]})).encode())


SEGMENTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "start_time": FLOATS | st.integers() | st.text(max_size=5) | st.none(),
            "end_time": FLOATS | st.integers() | st.text(max_size=5) | st.none(),
            "speaker": st.sampled_from(["A", "B", " A", "", None, 7]),
            "text": st.text(max_size=20) | st.none() | st.integers(),
        },
    ),
    max_size=30,
)


@given(SEGMENTS)
def test_normalize_any_segments_give_a_consistent_result(segments: list[Any]) -> None:
    """Segments are sorted, times are not negative, speakers are known, and sums are right."""
    task = check(json.dumps(callback(segments)).encode())
    if task is None:
        return
    times = [(part.start_s, part.end_s) for part in task.segments]
    assert [start for start, _ in times] == sorted(start for start, _ in times)
    assert all(0.0 <= start <= end < math.inf for start, end in times)
    ids = [speaker.id for speaker in task.speakers]
    assert ids == [f"s{n + 1}" for n in range(len(ids))]
    assert {part.speaker for part in task.segments} == set(ids)
    firsts = [speaker.first_start_s for speaker in task.speakers]
    assert firsts == sorted(firsts)
    assert sum(speaker.segment_count for speaker in task.speakers) == task.segment_count
    assert task.segment_count == len(segments) == len(task.segments)
    assert all(0.0 <= speaker.share <= 1.0 for speaker in task.speakers)
    assert task.duration_s == max((end for _, end in times), default=0.0)
    assert all(speaker.talk_time_s <= task.speech_s for speaker in task.speakers)
    assert task.speech_s <= task.duration_s
    shares = math.fsum(speaker.share for speaker in task.speakers)
    assert shares == pytest.approx(1.0) or (shares == 0.0 == task.speech_s)
    assert sum(speaker.word_count for speaker in task.speakers) == task.word_count
    assert task.character_count == sum(len(part.text) for part in task.segments)


def check(body: bytes) -> Task | None:
    """Normalize, and check that the result can be encoded; None if the body is no JSON."""
    try:
        task = result(body)
    except UnreadableCallback:
        # json writes NaN, infinity and lone surrogates, which are no JSON.
        return None
    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task
    return task


def test_anomalies_are_listed_in_order() -> None:
    """They are sorted by code, so that two runs store the same."""
    task = of([{}, segment(0, text=None)])
    assert task.anomalies == sorted(task.anomalies, key=lambda item: item.code)
    assert task.anomalies[0] == Anomaly("missing_speaker", 1, 0)
