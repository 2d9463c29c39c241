"""The messages of Google's services: the same as those of Google's client packages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from google.cloud import tasks_v2
from google.cloud.firestore_v1 import types as firestore
from google.pubsub_v1 import types as pubsub
from hypothesis import given
from hypothesis import strategies as st

from tests.definitions import MESSAGES, definitions, definitions_path
from transcripts.google.documents import encode_commit, encode_count, encode_ids, encode_query
from transcripts.google.messages import Messages
from transcripts.google.publisher import encode_message
from transcripts.google.queue import CloudTasksQueue
from transcripts.google.values import decode_fields
from transcripts.ports import ABSENT, Count, Delete, Message, Query, Write

DATABASE = "projects/p/databases/d"
PACKAGES = {
    "firestore": "google.firestore.v1",
    "pubsub": "google.pubsub.v1",
    "cloudtasks": "google.cloud.tasks.v2",
}
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


class Document(msgspec.Struct):
    """A document of any content."""

    content: Any
    name: str


def same(message: Any, official: Any) -> Any:
    """Return the message as the official class reads it, which must write the same bytes."""
    content = message.SerializeToString(deterministic=True)
    read = official.pb().FromString(content)
    assert read.SerializeToString(deterministic=True) == content
    # No field is one that the official class does not know.
    read.DiscardUnknownFields()
    assert read.SerializeToString(deterministic=True) == content
    return read


@pytest.mark.parametrize("service", MESSAGES)
def test_definitions_are_those_of_the_installed_packages(service: str) -> None:
    """After a new version: make definitions."""
    assert definitions_path(service).read_bytes() == definitions(service)


@pytest.mark.parametrize("service", MESSAGES)
def test_definitions_of_a_message_that_is_missing_raise_key_error(service: str) -> None:
    """A wrong name fails when the module is imported, so it can't be deployed."""
    with pytest.raises(KeyError):
        Messages(service, PACKAGES[service]).type("NoSuchMessage")


@pytest.mark.parametrize(
    ("service", "official"),
    [(service, message) for service, classes in MESSAGES.items() for message in classes],
)
def test_type_has_the_fields_of_the_official_class(service: str, official: Any) -> None:
    """Every field has the same number, type and label."""
    ours = Messages(service, PACKAGES[service]).type(official.__name__)

    def fields(descriptor: Any) -> set[tuple[Any, ...]]:
        return {(f.name, f.number, f.type, f.is_repeated) for f in descriptor.fields}

    assert fields(ours.DESCRIPTOR) == fields(official.pb().DESCRIPTOR)


@given(VALUES, TEXT, st.none() | st.just(ABSENT) | st.just(b"\x08\x01"))
def test_commit_has_the_bytes_of_the_official_class(
    content: Any, name: str, expect: bytes | None
) -> None:
    """Firestore gets exactly what Google's own client would send."""
    writes = (Write("c/1", Document(content, name), expect=expect), Delete("c/2", expect=b""))
    read = same(encode_commit(DATABASE, writes), firestore.CommitRequest)
    assert [write.WhichOneof("operation") for write in read.writes] == ["update", "delete"]
    assert decode_fields(read.writes[0].update.fields) == {"content": content, "name": name}


@given(TEXT, st.none() | TEXT, st.none() | MOMENTS, st.booleans())
def test_queries_have_the_bytes_of_the_official_class(
    text: str,
    after: str | None,
    moment: datetime | None,
    descending: bool,  # noqa: FBT001
) -> None:
    """Filters, order, cursor, projection and limit."""
    query = Query(
        "c",
        Document,
        order_by="at",
        where=(("a", text), ("b", None)),
        contains=("labels", text),
        until=moment,
        since=moment,
        after=None if after is None or moment is None else (moment, after),
        descending=descending,
        fields=("a",),
        limit=3,
    )
    same(encode_query(DATABASE, query), firestore.RunQueryRequest)
    same(encode_ids(DATABASE, "c/1/pages", 10, after or ""), firestore.RunQueryRequest)
    same(encode_count(DATABASE, Count("c", (("a", text),))), firestore.RunAggregationQueryRequest)


@given(st.lists(st.tuples(st.binary(max_size=50), st.dictionaries(TEXT, TEXT, max_size=4))))
def test_publish_has_the_bytes_of_the_official_class(
    messages: list[tuple[bytes, dict[str, str]]],
) -> None:
    """Pub/Sub gets exactly what Google's own client would send."""
    whole = Messages("pubsub", "google.pubsub.v1").type("PublishRequest")(topic="t")
    for data, attributes in messages:
        whole.messages.add(data=data, attributes=attributes)
    read = same(whole, pubsub.PublishRequest)
    parts = [encode_message(Message(*each)) for each in messages]
    joined = pubsub.PublishRequest.pb().FromString(b"".join(parts) + b"\x0a\x01t")
    assert joined == read
    assert [(each.data, dict(each.attributes)) for each in joined.messages] == messages


@pytest.mark.parametrize("invoker", ["", "a@b"])
def test_task_has_the_bytes_of_the_official_class(invoker: str) -> None:
    """The method is POST, which is also what the number means there."""
    queue = CloudTasksQueue("projects/p/locations/l/queues/q", "https://s", invoker, None)
    read = same(queue.request("n", "s"), tasks_v2.CreateTaskRequest)
    assert read.task.http_request.http_method == tasks_v2.HttpMethod.POST
