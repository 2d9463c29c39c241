"""From the provider's words to the stored result."""

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
    MAX_NAME_BYTES,
    MAX_SPEAKERS,
    MAX_TEXT_BYTES,
    normalize,
)
from transcripts.tasks.paging import paginate
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


def test_the_documented_callback() -> None:
    """Every field of the schema, from the provider's own sample."""
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
def test_good_codes_of_every_generation(code: Any) -> None:
    """A code that is not there claims nothing."""
    assert result(callback_body(code=code)).status == "succeeded"


@pytest.mark.parametrize("code", ["0429", 500, "500", 0, "", True, [], {"a": 1}, 9.5])
def test_any_other_code_is_a_failure(code: Any) -> None:
    """Even with a transcript beside it; what was sent is kept."""
    task = result(callback_body(code=code))
    assert (task.status, task.segments, task.kind) == ("failed", [], "multi_speaker")
    assert task.provider is not None


@pytest.mark.parametrize("success", [False, "false", "False"])
def test_success_false_is_a_failure(success: Any) -> None:
    """The outer frame may say SUCCESS all the same."""
    task = result(callback_body(data={"success": success, "msg": "no audio", "data": None}))
    assert (task.status, task.kind) == ("failed", "unknown")
    assert task.provider == Provider("0000", "SUCCESS", "no audio")


@pytest.mark.parametrize("data", [None, "text", [], 7, {}])
def test_a_bad_code_fails_whatever_the_data(data: Any) -> None:
    """No shape is needed to know a failure."""
    assert result(json.dumps(callback(code=500) | {"data": data}).encode()).status == "failed"


@pytest.mark.parametrize("name", [name for name in shape_names() if name != "multi_speaker"])
def test_other_endpoints_are_unrecognised(name: str) -> None:
    """They are kept with what they say of themselves, and nothing is made of them."""
    task = result(shape_body(name))
    assert (task.status, task.kind, task.segments) == ("unrecognized", name, [])
    assert task.provider is not None
    assert task.provider.message == "SUCCESS"


@pytest.mark.parametrize("silence", [None, []])
def test_silence_is_a_result(silence: Any) -> None:
    """No segments, no speakers, no length: succeeded."""
    task = result(callback_body(inner={"audio_transcription": silence, "faces": None}))
    assert (task.status, task.duration_s, task.speakers, task.faces) == ("succeeded", 0.0, [], [])
    assert task.anomalies == []


def test_segments_are_sorted_by_start_then_end() -> None:
    """Overlap is speech, not an error; equal times keep their order."""
    task = of(
        [
            segment(start_time=5.0, end_time=6.0, text="c"),
            segment(start_time=1.0, end_time=9.0, text="b"),
            segment(start_time=1.0, end_time=2.0, text="a"),
            segment(start_time=5.0, end_time=6.0, text="d"),
        ]
    )
    assert [part.text for part in task.segments] == ["a", "b", "c", "d"]
    assert anomalies(task) == {"unsorted": (2, 1)}
    assert task.duration_s == 9.0


def test_reversed_and_negative_times_are_mended() -> None:
    """Swapped, and raised to zero; counted with the provider's index."""
    task = of(
        [
            segment(0),
            segment(start_time=7.0, end_time=5.0),
            segment(start_time=-3.0, end_time=8.0),
            segment(start_time=-2.0, end_time=-1.0),
        ]
    )
    assert [(part.start_s, part.end_s) for part in task.segments] == [
        (0.0, 0.0),
        (0.0, 3.5),
        (0.0, 8.0),
        (5.0, 7.0),
    ]
    assert anomalies(task) == {
        "negative_time": (2, 2),
        "reversed_times": (1, 1),
        "unsorted": (2, 2),
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
    ],
)
def test_times_of_any_type(start: Any, end: Any, expected: tuple[float, float]) -> None:
    """Numbers as strings are numbers; what is none is taken from the other end."""
    task = of([segment(start_time=start, end_time=end)])
    assert (task.segments[0].start_s, task.segments[0].end_s) == expected


def test_missing_speaker_and_text() -> None:
    """The segment is kept: somebody unknown, saying nothing."""
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
        "unsorted": (1, 5),
    }
    assert {speaker.name for speaker in task.speakers} == {"Unknown", "7", *SPEAKERS[:2]}
    assert [part.text for part in task.segments if part.text == "8"] == ["8"]


def test_what_is_no_segment_is_left_out_and_counted() -> None:
    """Null and strings in the list do not lose the rest."""
    task = of([None, "text", segment(0), 7])
    assert (task.segment_count, anomalies(task)) == (1, {"not_an_object": (3, 0)})


def test_a_transcription_that_is_no_list_is_counted() -> None:
    """An object counts as one segment, a string as silence."""
    one = result(callback_body(inner={"audio_transcription": segment(0)}))
    none = result(callback_body(inner={"audio_transcription": "text"}))
    assert (one.segment_count, none.segment_count) == (1, 0)
    assert anomalies(one) == anomalies(none) == {"not_a_list": (1, 0)}


def test_names_are_joined_without_their_blanks() -> None:
    """A speaker and a face are the same person by display name only."""
    task = of([segment(0, speaker=" Ada Example "), segment(1, speaker="Ada Example")])
    assert len(task.speakers) == 1
    assert task.speakers[0].face_ids == [task.faces[0].id]


@pytest.mark.parametrize(
    ("face", "expected"),
    [
        ({}, Face(None, None, None)),
        ({"face_id": 7, "name": " A "}, Face("7", "A", None)),
        (
            {"face_file_protocol": "gs", "face_file_bucket": "b", "face_file_blob": None},
            Face(None, None, None),
        ),
        (
            {"face_file_protocol": "gs", "face_file_bucket": "b", "face_file_blob": "x" * 600},
            Face(None, None, None),
        ),
    ],
)
def test_incomplete_faces(face: dict[str, Any], expected: Face) -> None:
    """A face without an address is a face."""
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
def test_usage_as_list_object_or_nothing(usage: Any, expected: Any) -> None:
    """Summed over the models; nonsense counts as nothing."""
    found = result(callback_body(inner={"usage_metadata": usage})).usage
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.prompt_tokens, found.output_tokens, found.duration_s) == expected


def test_usage_under_its_other_name() -> None:
    """One page calls it ``usage``."""
    task = result(callback_body(inner={"usage_metadata": None, "usage": {"prompt_tokens": 4}}))
    assert task.usage is not None
    assert task.usage.prompt_tokens == 4


def test_unknown_fields_are_ignored() -> None:
    """New fields of the provider change nothing."""
    body = callback_body(inner={"new": 1}, data={"new": [1]}, new={"a": 1})
    assert result(body) == result(callback_body())


def test_numbers_beyond_a_float_do_not_lose_a_result() -> None:
    """1e999 is correct JSON."""
    body = callback_body().replace(b'"end_time":3.5', b'"end_time":1e999')
    task = result(body)
    assert task.status == "succeeded"
    assert anomalies(task) == {"missing_time": (1, 0)}


def test_twenty_thousand_speakers_fit_a_document() -> None:
    """Beyond a bound they are one unknown speaker; no segment is lost."""
    task = of([segment(n, speaker=f"{n} " + "ä" * 300) for n in range(20_000)])
    assert task.segment_count == 20_000
    assert len(task.speakers) <= MAX_SPEAKERS + 1
    assert set(anomalies(task)) == {"long_speaker_name", "too_many_speakers"}
    assert all(len(speaker.name.encode()) <= MAX_NAME_BYTES for speaker in task.speakers)
    assert math.fsum(speaker.share for speaker in task.speakers) == pytest.approx(1.0)


def test_a_text_of_megabytes_is_split_not_cut() -> None:
    """Every character of it is stored."""
    text = "ä" * (3 * MAX_TEXT_BYTES)
    task = of([segment(0, text=text)])
    assert "".join(part.text for part in task.segments) == text
    assert all(len(part.text.encode()) <= MAX_TEXT_BYTES for part in task.segments)
    assert anomalies(task) == {"split_text": (1, 0)}


def test_a_text_is_called_split_only_if_it_is() -> None:
    """Bytes count, not characters; and a speaker's segments are those that are stored."""
    whole, split = of([segment(0, text="x" * 60_000)]), of([segment(0, text="x" * 450_000)])
    assert (anomalies(whole), whole.segment_count) == ({}, 1)
    assert split.segment_count == split.speakers[0].segment_count == 3


@pytest.mark.parametrize("code", [b"1e999", b"-1e999", b"1e300"])
def test_a_code_beyond_all_numbers_is_stored_as_words(code: bytes) -> None:
    """Not every store has infinity."""
    task = result(b'{"task_id": "a", "code": %s, "data": null}' % code)
    assert task.status is Status.FAILED
    assert task.provider is not None
    assert isinstance(task.provider.code, str)


def test_everything_but_the_segments_is_bounded() -> None:
    """The largest of everything at once leaves room in the document."""
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
def test_any_transcription_is_stored(value: Any) -> None:
    """Nothing in the transcript makes normalizing fail."""
    body = json.dumps(callback(inner={"audio_transcription": value})).encode()
    check(body)


@given(JSON_VALUES, JSON_VALUES)
def test_any_frame_is_stored(value: Any, other: Any) -> None:
    """Nothing around the transcript does."""
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
def test_whatever_the_segments_the_result_is_sound(segments: list[Any]) -> None:
    """Sorted, no time negative, every speaker known, counts and shares right."""
    task = check(json.dumps(callback(segments)).encode())
    if task is None:
        return
    times = [(part.start_s, part.end_s) for part in task.segments]
    assert times == sorted(times)
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


def check(body: bytes) -> Task | None:
    """Normalize, and see that the result can be encoded; None for what is no JSON."""
    try:
        task = result(body)
    except UnreadableCallback:
        # json writes NaN, infinity and lone surrogates, which are no JSON.
        return None
    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task
    return task


def test_anomalies_are_listed_in_order() -> None:
    """By code, so that two runs store the same."""
    task = of([{}, segment(0, text=None)])
    assert task.anomalies == sorted(task.anomalies, key=lambda item: item.code)
    assert task.anomalies[0] == Anomaly("missing_speaker", 1, 0)
