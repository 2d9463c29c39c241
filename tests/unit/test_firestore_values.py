"""Values of Firestore: every content of a document survives, segments have a loop of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from google.cloud.firestore_v1.types import Document
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.documents import result_task
from transcripts.google.values import decode_fields, encode_fields, encode_list
from transcripts.tasks.task import Segment

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MOMENTS = st.datetimes(
    datetime(1, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone
    datetime(9999, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=20)
    | MOMENTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


class Content(msgspec.Struct):
    """A document of any content."""

    content: Any


@given(VALUES)
def test_fields_of_any_content_are_read_as_they_were_written(content: Any) -> None:
    """Also after their bytes went to Firestore and back."""
    document = Document.pb()()
    encode_fields(document.fields, Content(content), ("content",))
    sent = Document.pb().FromString(document.SerializeToString())
    assert decode_fields(sent.fields) == {"content": content}


def plain(values: Sequence[Any]) -> list[Any]:
    document = Document.pb()()
    encode_list(document.fields["x"].array_value.values, values)
    return list(decode_fields(document.fields)["x"])


def test_fill_fields_of_segments_equals_the_general_way() -> None:
    """Segments have a loop of their own, for speed."""
    segments = result_task(5).segments
    long_way = Document.pb()()
    for part in segments:
        entry = long_way.fields["x"].array_value.values.add()
        encode_fields(entry.map_value.fields, part, part.__struct_fields__)
    quick = Document.pb()()
    encode_list(quick.fields["x"].array_value.values, segments)
    assert quick == long_way
    assert plain([1, "a", None]) == [1, "a", None]


def test_decode_of_segments_equals_the_general_way() -> None:
    """A whole number is a time too; a list with anything else is refused."""
    segments = [{"start_s": 0, "end_s": 1.5, "speaker": "s1", "text": "ä"}] * 3
    assert plain(segments) == segments
    assert all(msgspec.convert(each, Segment) for each in plain(segments))
    with_more = [{**segments[0], "more": 1}]
    assert plain(with_more) == with_more
    for other in ({}, {"start_s": 1.0}, with_more[0]):
        with pytest.raises(ValueError, match="something else"):
            plain([segments[0], other])


def test_fill_value_of_an_unknown_type_raises() -> None:
    """No value is left out silently."""
    with pytest.raises(TypeError):
        plain([object()])
