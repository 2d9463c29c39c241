"""The body of a Pub/Sub push."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import push_body
from transcripts.errors import PoisonMessage
from transcripts.push import read_push


def test_read_push_as_pubsub_sends_it_has_its_message() -> None:
    """Pub/Sub sends both spellings of the names; the documented one is read."""
    content = {
        "message": {
            "attributes": {"task_id": "t"},
            "data": "eyJhIjogMX0=",
            "messageId": "2070443601311540",
            "message_id": "2070443601311540",
            "publishTime": "2021-02-26T19:13:55.749Z",
            "publish_time": "2021-02-26T19:13:55.749Z",
        },
        "subscription": "projects/myproject/subscriptions/mysubscription",
        "deliveryAttempt": 3,
    }
    found = read_push(json.dumps(content).encode())
    assert (found.message.data, found.message.attributes) == (b'{"a": 1}', {"task_id": "t"})
    assert found.message.publish_time == datetime(2021, 2, 26, 19, 13, 55, 749000, tzinfo=UTC)
    assert (found.attempt, found.message.message_id) == (3, "2070443601311540")


def test_read_push_without_optional_parts_is_read() -> None:
    """A message has data or attributes; only dead-letter policies add the attempt."""
    found = read_push(b'{"message": {"messageId": "1"}}')
    assert (found.message.data, found.message.attributes, found.attempt) == (b"", {}, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"message": null}',
        b'{"message": {"data": 7}}',
        b'{"message": {"data": "not base64!"}}',
        b'{"message": {"attributes": {"a": 1}}}',
        b'{"message": {"publishTime": "yesterday"}}',
        b'{"message": {"publishTime": "2026-01-01T00:00:00"}}',
        push_body(b"{}", {})[:-2],
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_read_push_of_another_body_raises_poison(body: bytes) -> None:
    """Such a body can never become a push."""
    with pytest.raises(PoisonMessage):
        read_push(body)


@given(
    st.binary(), st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.just("v"))
)
def test_read_push_returns_data_and_attributes(data: bytes, attributes: dict[str, str]) -> None:
    """Any data and any attributes survive."""
    found = read_push(push_body(data, attributes))
    assert (found.message.data, found.message.attributes) == (data, attributes)


@given(st.binary(max_size=100))
def test_read_push_of_any_bytes_returns_or_raises_poison(body: bytes) -> None:
    """No other error is raised."""
    with contextlib.suppress(PoisonMessage):
        read_push(body)
