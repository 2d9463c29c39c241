"""Objects of Cloud Storage: their events, and which of them are media."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import push_body
from tests.unit.test_envelope import JSON_VALUES, TEXTS
from transcripts.errors import PoisonMessage
from transcripts.labels import MAX_LABELS
from transcripts.uploads.events import FINALIZED, read_event
from transcripts.uploads.media import (
    AUDIO,
    VIDEO,
    KnownAsset,
    Media,
    RejectReason,
    classify,
    labels_of,
)
from transcripts.uploads.stored_object import StoredObject, split_uri, usable_generation

RESOURCE = {
    "kind": "storage#object",
    "id": "uploads/2026/talk.mp4/1767323045678901",
    "bucket": "uploads",
    "name": "2026/talk.mp4",
    "generation": "1767323045678901",
    "metageneration": "1",
    "contentType": "video/mp4",
    "timeCreated": "2026-01-02T03:04:05.678Z",
    "size": "104857600",
    "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg==",
    "metadata": {"mavi-label-case": "7"},
}
EXPECTED = StoredObject(
    bucket="uploads",
    name="2026/talk.mp4",
    generation="1767323045678901",
    content_type="video/mp4",
    size=104857600,
    metadata={"mavi-label-case": "7"},
)
NOTIFICATION = {
    "notificationConfig": "projects/_/buckets/uploads/notificationConfigs/1",
    "eventType": "OBJECT_FINALIZE",
    "payloadFormat": "JSON_API_V1",
    "bucketId": "uploads",
    "objectId": "2026/talk.mp4",
    "objectGeneration": "1767323045678901",
}
LIMIT = 5 * 1024**3


def encoded(**changes: Any) -> bytes:
    return json.dumps(RESOURCE | changes).encode()


def test_both_forms_mean_the_same() -> None:
    """A CloudEvent in binary mode, and the push of a notification."""
    assert read_event(FINALIZED, encoded()) == EXPECTED
    assert read_event(None, push_body(encoded(), NOTIFICATION)) == EXPECTED
    assert EXPECTED.uri == "gs://uploads/2026/talk.mp4"


def test_a_pubsub_event_of_eventarc_is_a_push() -> None:
    """Its type is that of Pub/Sub, its body the push."""
    event_type = "google.cloud.pubsub.topic.v1.messagePublished"
    assert read_event(event_type, push_body(encoded(), NOTIFICATION)) == EXPECTED


@pytest.mark.parametrize("other", ["OBJECT_DELETE", "OBJECT_METADATA_UPDATE", "OBJECT_ARCHIVE"])
def test_other_events_are_nothing_to_us(other: str) -> None:
    """In either form."""
    assert read_event(None, push_body(encoded(), NOTIFICATION | {"eventType": other})) is None
    assert read_event("google.cloud.storage.object.v1.deleted", encoded()) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": ""},
        {"name": ""},
        {"name": 7},
        {"generation": "x"},
        {"generation": ""},
        {"size": "x"},
        {"size": "-1"},
        {"metadata": [1]},
    ],
)
def test_what_is_no_object_is_poison(changes: dict[str, Any]) -> None:
    """It can never become one."""
    with pytest.raises(PoisonMessage):
        read_event(FINALIZED, encoded(**changes))


@given(st.binary(max_size=100) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_an_object_or_poison(body: bytes) -> None:
    """Nothing else is raised, in either form."""
    for event_type in (FINALIZED, None):
        with contextlib.suppress(PoisonMessage):
            read_event(event_type, body)
    with contextlib.suppress(PoisonMessage):
        read_event(None, push_body(body, NOTIFICATION))


def stored(name: str = "talk.mp4", **changes: Any) -> StoredObject:
    return StoredObject(**{"bucket": "b", "name": name, "generation": "1", "size": 9, **changes})


@pytest.mark.parametrize("extension", sorted(VIDEO | AUDIO))
def test_every_documented_format_is_taken(extension: str) -> None:
    """By its name, in any case, with a content type that says nothing."""
    for name in (f"a/b.{extension}", f"B.{extension.upper()}"):
        for content_type in (None, "", "application/octet-stream"):
            found = classify(stored(name, content_type=content_type), LIMIT)
            assert found == Media(name.rpartition("/")[2])


@pytest.mark.parametrize(
    ("name", "content_type", "filename"),
    [
        ("talk.mp4", "video/mp4", "talk.mp4"),
        ("talk.mp4", "video/mp4; codecs=avc1", "talk.mp4"),
        ("talk.mp3", "video/mp4", "talk.mp3"),
        ("talk", "video/mp4", "talk.mp4"),
        ("talk", "audio/x-wav", "talk.wav"),
        ("a/meeting 1", "audio/mpeg", "meeting 1.mp3"),
        ("talk.ogg", "application/ogg", "talk.ogg"),
    ],
)
def test_by_name_and_content_type(name: str, content_type: str, filename: str) -> None:
    """Mavi is told a name with an extension."""
    assert classify(stored(name, content_type=content_type), LIMIT) == Media(filename)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("folder/", {}, RejectReason.FOLDER),
        ("talk.mp4", {"size": 0}, RejectReason.EMPTY),
        ("talk.mp4", {"size": LIMIT + 1}, RejectReason.TOO_LARGE),
        ("notes.txt", {"content_type": "text/plain"}, RejectReason.NOT_MEDIA),
        ("notes.txt", {"content_type": "video/mp4"}, RejectReason.NOT_MEDIA),
        ("photo.jpg", {"content_type": "image/jpeg"}, RejectReason.NOT_MEDIA),
        ("talk.mp4", {"content_type": "text/html"}, RejectReason.NOT_MEDIA),
        ("talk", {"content_type": "application/octet-stream"}, RejectReason.NOT_MEDIA),
        ("talk", {}, RejectReason.NOT_MEDIA),
        ("mp4", {}, RejectReason.NOT_MEDIA),
        (".mp4/x", {}, RejectReason.NOT_MEDIA),
        ("talk.mp4", {"metadata": {"mavi-skip": "true"}}, RejectReason.SKIPPED),
        ("talk.mp4", {"metadata": {"mavi-asset-id": "../x"}}, RejectReason.BAD_ASSET_ID),
    ],
)
def test_what_is_refused_and_why(name: str, changes: dict[str, Any], reason: RejectReason) -> None:
    """The reason is recorded, so it must be the right one."""
    assert classify(stored(name, **changes), LIMIT) is reason


def test_metadata_steer() -> None:
    """An asset that is at Mavi needs no upload, whatever the object is; a false skip is none."""
    metadata = {"mavi-asset-id": "re_7"}
    assert classify(stored("x.txt", size=0, metadata=metadata), LIMIT) == KnownAsset("re_7")
    for value in ("", "0", "false", "No"):
        assert classify(stored(metadata={"mavi-skip": value}), LIMIT) == Media("talk.mp4")


def test_labels_come_from_metadata() -> None:
    """Only those meant as such, cut to what is stored."""
    metadata = {"mavi-label-case": "7", "mavi-label-": "x", "other": "y"}
    assert labels_of(stored(metadata=metadata)) == {"case": "7"}
    many = {f"mavi-label-{n:03d}{'k' * 99}": "v" * 999 for n in range(99)}
    found = labels_of(stored(metadata=many))
    assert len(found) == MAX_LABELS
    assert max(map(len, found)) == 63
    assert max(map(len, found.values())) == 256


@given(TEXTS, TEXTS, st.integers(0, 2**50))
def test_any_object_has_a_verdict(name: str, content_type: str, size: int) -> None:
    """Nothing is raised for any name or type."""
    verdict = classify(stored(name, content_type=content_type, size=size), LIMIT)
    if isinstance(verdict, Media):
        assert verdict.filename.rpartition(".")[2].lower() in VIDEO | AUDIO


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("gs://bucket/object", ("bucket", "object")),
        ("gs://my.bucket-1/a/b c/ä#?.mp4", ("my.bucket-1", "a/b c/ä#?.mp4")),
        ("gs://bucket/", None),
        ("gs://bucket", None),
        ("https://bucket/object", None),
        ("gs://Bucket/object", None),
        ("gs://bucket/a\nb", None),
        ("gs://bucket/" + "x" * 1025, None),
    ],
)
def test_addresses(uri: str, parts: tuple[str, str] | None) -> None:
    """As Cloud Storage names buckets and objects."""
    assert split_uri(uri) == parts


@pytest.mark.parametrize(
    ("generation", "usable"),
    [("1", True), ("1767323045678901", True), ("", False), ("-1", False), ("1" * 21, False)],
)
def test_generations(generation: str, usable: bool) -> None:  # noqa: FBT001 - parametrized
    """Numbers, as strings."""
    assert usable_generation(generation) is usable
