"""Objects of Cloud Storage: their events, and which of them are media."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import push_body
from tests.unit.test_envelope import JSON_VALUES, TEXTS
from transcripts.errors import PoisonMessage
from transcripts.ids import MAX_LABELS
from transcripts.settings import ObjectLimits
from transcripts.uploads.events import FINALIZED, read_event
from transcripts.uploads.formats import (
    AUDIO,
    FORMAT_OF_EXTENSION,
    FORMAT_OF_TYPE,
    UNINFORMATIVE_TYPES,
    VIDEO,
)
from transcripts.uploads.rejections import KnownAsset, Media, RejectReason, classify
from transcripts.uploads.stored_object import StoredObject, labels_of, split_uri, usable_generation

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
    "crc32c": "AAAAAA==",
    "metadata": {"mavi-label-case": "7"},
}
EXPECTED = StoredObject(
    bucket="uploads",
    name="2026/talk.mp4",
    generation="1767323045678901",
    content_type="video/mp4",
    size=104857600,
    crc32c="AAAAAA==",
    md5="1B2M2Y8AsgTpgAmY7PhCfg==",
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
LIMIT = ObjectLimits()


def encoded(**changes: Any) -> bytes:
    return json.dumps(RESOURCE | changes).encode()


def test_read_event_of_both_forms_is_the_same_object() -> None:
    """A CloudEvent in binary mode and the push of a notification describe the same object."""
    assert read_event(FINALIZED, encoded()) == EXPECTED
    assert read_event(None, push_body(encoded(), NOTIFICATION)) == EXPECTED
    assert EXPECTED.uri == "gs://uploads/2026/talk.mp4"


def test_read_event_of_pubsub_through_eventarc_is_a_push() -> None:
    """Its type is that of Pub/Sub, its body is the push."""
    event_type = "google.cloud.pubsub.topic.v1.messagePublished"
    assert read_event(event_type, push_body(encoded(), NOTIFICATION)) == EXPECTED


@pytest.mark.parametrize("other", ["OBJECT_DELETE", "OBJECT_METADATA_UPDATE", "OBJECT_ARCHIVE"])
def test_read_event_of_another_type_is_none(other: str) -> None:
    """Events of other types are ignored in either form."""
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
def test_read_event_without_an_object_raises_poison(changes: dict[str, Any]) -> None:
    """Such an event can never become an object."""
    with pytest.raises(PoisonMessage):
        read_event(FINALIZED, encoded(**changes))


@given(st.binary(max_size=100) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_read_event_of_any_body_returns_or_raises_poison(body: bytes) -> None:
    """No other error is raised, in either form."""
    for event_type in (FINALIZED, None):
        with contextlib.suppress(PoisonMessage):
            read_event(event_type, body)
    with contextlib.suppress(PoisonMessage):
        read_event(None, push_body(body, NOTIFICATION))


def stored(name: str = "talk.mp4", **changes: Any) -> StoredObject:
    return StoredObject(**{"bucket": "b", "name": name, "generation": "1", "size": 9, **changes})


@pytest.mark.parametrize("extension", sorted(VIDEO | AUDIO))
def test_classify_every_documented_format_is_media(extension: str) -> None:
    """The extension counts in any case, with a content type that tells nothing."""
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
        ("talk", "audio/webm;codecs=opus", "talk.webm"),
        ("talk.mp4", "Application/MP4", "talk.mp4"),
    ],
)
def test_classify_by_name_and_content_type_is_media(
    name: str, content_type: str, filename: str
) -> None:
    """The name at Mavi always has an extension."""
    assert classify(stored(name, content_type=content_type), LIMIT) == Media(filename)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("folder/", {}, RejectReason.FOLDER),
        ("talk.mp4", {"size": 0}, RejectReason.EMPTY),
        ("talk.mp4", {"size": LIMIT.max_object_bytes + 1}, RejectReason.TOO_LARGE),
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
def test_classify_rejected_object_has_its_reason(
    name: str, changes: dict[str, Any], reason: RejectReason
) -> None:
    """The reason is recorded, so it must be the right one."""
    assert classify(stored(name, **changes), LIMIT) is reason


DATABASES = Path(__file__).parent.parent / "media_types.tsv"
LEFT_OUT = {
    "ass": "subtitles",
    "asx": "a playlist",
    "avf": "no AVI to anybody else",
    "f4b": "books of Adobe's store",
    "lrv": "the small copy that a camera keeps beside each recording",
    "m1v": "a stream of pictures without sound",
    "m2v": "a stream of pictures without sound",
    "m2a": "MPEG layer II, which Mavi does not document",
    "m3a": "MPEG layer III in a stream that no recorder writes",
    "mp2": "MPEG layer II, which Mavi does not document",
    "mp2a": "MPEG layer II, which Mavi does not document",
    "m4p": "encrypted by a shop",
    "mp4s": "a system stream of MPEG-4",
    "mks": "subtitles",
    "moov": "no extension that anybody writes today",
    "qtvr": "panoramas",
    "vob": "a part of a disc",
}
"""Extensions in the databases that are no recordings, with the reason."""


def facts() -> list[list[str]]:
    """Return the lines of the captured databases: source, type, relation, value."""
    lines = DATABASES.read_text().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def test_content_types_are_those_of_the_mime_databases() -> None:
    """Each type and alias in the databases has a format, and no type is invented."""
    known: dict[str, str] = {}
    for _, content_type, relation, *value in facts():
        known[content_type] = FORMAT_OF_TYPE[content_type]
        if relation == "alias":
            known[value[0]] = FORMAT_OF_TYPE[content_type]
    assert known == FORMAT_OF_TYPE


def test_extensions_are_those_of_the_mime_databases() -> None:
    """Each extension has the format of its type, except those that are no recordings."""
    known = {
        value[0]: FORMAT_OF_TYPE[content_type]
        for _, content_type, relation, *value in facts()
        if relation == "extension"
    }
    left_out = {extension for extension in known if extension not in FORMAT_OF_EXTENSION}
    assert left_out == set(LEFT_OUT)
    # Mavi documents both spellings, and each stays as it is.
    assert known.pop("mpg") == "mpeg"
    for extension in left_out:
        del known[extension]
    assert known == {k: v for k, v in FORMAT_OF_EXTENSION.items() if k != "mpg"}


@pytest.mark.parametrize("content_type", sorted(FORMAT_OF_TYPE))
def test_classify_registered_type_without_extension_is_media(content_type: str) -> None:
    """The name at Mavi gets the extension of the content type's format."""
    filename = f"talk.{FORMAT_OF_TYPE[content_type]}"
    assert classify(stored("talk", content_type=content_type), LIMIT) == Media(filename)
    with_parameter = f"{content_type.upper()} ; codecs=opus"
    assert classify(stored("talk", content_type=with_parameter), LIMIT) == Media(filename)


@pytest.mark.parametrize(
    ("name", "filename"),
    [("a/talk.m4v", "talk.m4v.mp4"), ("VOICE.OPUS", "VOICE.OPUS.ogg"), ("a.qt", "a.qt.mov")],
)
def test_classify_other_extension_of_a_documented_format_is_media(name: str, filename: str) -> None:
    """The documented extension is appended to the uploader's name."""
    for content_type in (None, "application/octet-stream", "video/x-m4v"):
        assert classify(stored(name, content_type=content_type), LIMIT) == Media(filename)


@pytest.mark.parametrize(
    "content_type", sorted(UNINFORMATIVE_TYPES | {"text/plain; charset=utf-8"})
)
def test_classify_uninformative_type_keeps_the_media_extension(content_type: str) -> None:
    """Clients send these types for any file, and a rejected recording is lost."""
    assert classify(stored("talk.mp4", content_type=content_type), LIMIT) == Media("talk.mp4")
    assert classify(stored("notes.txt", content_type=content_type), LIMIT) is RejectReason.NOT_MEDIA
    assert classify(stored("talk", content_type=content_type), LIMIT) is RejectReason.NOT_MEDIA


@pytest.mark.parametrize(
    "content_type",
    ["text/html", "image/jpeg", "application/json", "application/pdf", "application/gzip"],
)
def test_classify_type_of_something_else_overrules_a_media_extension(content_type: str) -> None:
    """A saved error page has the name of the requested file."""
    assert classify(stored("talk.mp4", content_type=content_type), LIMIT) is RejectReason.NOT_MEDIA


@pytest.mark.parametrize(
    "name",
    [
        "Interview with Dr. Smith",
        "Dr.Smith",
        "a/Meeting 12.05.2024",
        "Gespräch mit J.Müller",
        "会议.录音",
        "Interview with Dr.",
        "talk v1.2",
        "talk.Part1",
        "call.interview",
    ],
)
def test_classify_tail_that_is_no_extension_uses_the_content_type(name: str) -> None:
    """A point in a title does not make an extension."""
    filename = f"{name.rpartition('/')[2]}.mp4"
    assert classify(stored(name, content_type="video/mp4"), LIMIT) == Media(filename)
    assert classify(stored(name, content_type="text/plain"), LIMIT) is RejectReason.NOT_MEDIA


@pytest.mark.parametrize(
    "name", ["notes.txt", "NOTES.TXT", "talk.mp4.gz", "a.7z", "x.parquet", "a.srt"]
)
def test_classify_other_extension_is_not_media_whatever_the_type(name: str) -> None:
    """People see the name; a content type may be a guess."""
    for content_type in ("video/mp4", "audio/mpeg"):
        assert classify(stored(name, content_type=content_type), LIMIT) is RejectReason.NOT_MEDIA


def test_classify_name_with_blanks_around_it_keeps_its_extension() -> None:
    """The name at Mavi has no blanks around it."""
    assert classify(stored("a/ talk.mp4 "), LIMIT) == Media("talk.mp4")


DIGEST = "Zm9vYmFyYmF6cXV4Zm9vYg"


@pytest.mark.parametrize(
    "name",
    [
        "gcloud/tmp/parallel_composite_uploads/see_gcloud_storage_cp_help_for_details/2f_talk.mp4_0",
        "a/b/gcloud/tmp/parallel_composite_uploads/x",
        "7/gsutil/tmp/parallel_composite_uploads/for_details_see/gsutil_help_cp/0c",
        "gsutil/tmp/parallel_composite_uploads/talk.mp4",
        "gcs-go-sdk-pu-tmp/0a1b2c3d-a/talk.mp4-part-1",
        f"{DIGEST};{DIGEST};0001.part",
        f"a/talk.mp4-{DIGEST};{DIGEST};0001-0032.part",
    ],
)
def test_classify_temporary_part_of_an_upload_is_rejected(name: str) -> None:
    """A part has the type of its source, and is deleted after the object is composed."""
    metadata = {"mavi-asset-id": "re_7"}
    for more in ({}, {"metadata": metadata}):
        part = stored(name, content_type="video/mp4", **more)
        assert classify(part, LIMIT) is RejectReason.TEMPORARY_PART


@pytest.mark.parametrize(
    "name",
    ["a/parallel_composite_uploads/talk.mp4", "notgcloud/tmp/parallel_composite_uploads/talk.mp4"],
)
def test_classify_folder_of_a_similar_name_is_no_temporary_part(name: str) -> None:
    """Only the folders that the tools use are excluded."""
    assert classify(stored(name), LIMIT) == Media("talk.mp4")


def test_classify_apple_double_file_is_rejected() -> None:
    """macOS keeps a file's attributes under its name with ``._`` in front."""
    for content_type in ("video/mp4", "application/octet-stream", None):
        assert (
            classify(stored("a/._talk.mp4", content_type=content_type), LIMIT)
            is RejectReason.APPLE_DOUBLE
        )
    assert classify(stored("a._/_.mp4"), LIMIT) == Media("_.mp4")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "br", "identity, gzip", "zstd"])
def test_classify_compressed_object_is_rejected(encoding: str) -> None:
    """The stored bytes are a recording only after unpacking."""
    packed = stored(content_type="audio/wav", content_encoding=encoding)
    assert classify(packed, LIMIT) is RejectReason.COMPRESSED
    known = stored(content_encoding=encoding, metadata={"mavi-asset-id": "re_7"})
    assert classify(known, LIMIT) == KnownAsset("re_7")


@pytest.mark.parametrize("encoding", [None, "", "identity", "utf-8", "binary", "aws-chunked"])
def test_classify_other_content_encoding_changes_nothing(encoding: str | None) -> None:
    """The bytes are unchanged: the uploader has only filled in the field wrongly."""
    assert classify(stored(content_encoding=encoding), LIMIT) == Media("talk.mp4")


def test_classify_object_under_a_customer_key_is_rejected() -> None:
    """Reading it needs the customer's key, which this pipeline does not have."""
    assert classify(stored(customer_encrypted=True), LIMIT) is RejectReason.CUSTOMER_KEY


def test_read_event_tells_how_the_bytes_are_stored() -> None:
    """Both forms carry the object's resource."""
    key = {"encryptionAlgorithm": "AES256", "keySha256": "5Pp4…"}
    body = encoded(contentEncoding="gzip", customerEncryption=key)
    for found in (read_event(FINALIZED, body), read_event(None, push_body(body, NOTIFICATION))):
        assert found is not None
        assert (found.content_encoding, found.customer_encrypted) == ("gzip", True)
    assert (EXPECTED.content_encoding, EXPECTED.customer_encrypted) == (None, False)


def test_classify_metadata_skip_or_name_an_asset() -> None:
    """An object at Mavi needs no upload, whatever it is; ``mavi-skip: false`` skips nothing."""
    metadata = {"mavi-asset-id": "re_7"}
    assert classify(stored("x.txt", size=0, metadata=metadata), LIMIT) == KnownAsset("re_7")
    for value in ("", "0", "false", "No"):
        assert classify(stored(metadata={"mavi-skip": value}), LIMIT) == Media("talk.mp4")


@pytest.mark.parametrize("key", ["mavi-skip", "Mavi-Skip", "MAVI-SKIP", "mavi_skip", "Mavi_Skip"])
def test_classify_skip_in_any_spelling_is_skipped(key: str) -> None:
    """Cloud Storage keeps the case of keys; what the uploader said to skip is not bought."""
    assert classify(stored(metadata={key: "true"}), LIMIT) is RejectReason.SKIPPED
    both = {"mavi-skip": "no", key.upper(): "yes"}
    assert classify(stored(metadata=both), LIMIT) is RejectReason.SKIPPED
    assert classify(stored(metadata={f"x-{key}": "true"}), LIMIT) == Media("talk.mp4")


@pytest.mark.parametrize("key", ["Mavi-Asset-Id", "mavi_asset_id", "MAVI-ASSET-ID"])
def test_classify_asset_id_in_any_spelling_names_the_asset(key: str) -> None:
    """The object is not uploaded again."""
    assert classify(stored(metadata={key: "re_7"}), LIMIT) == KnownAsset("re_7")


def test_labels_of_metadata_in_any_spelling_keep_the_case_of_the_label() -> None:
    """Only the prefix has a spelling; the rest of the key is the uploader's."""
    metadata = {"Mavi-Label-Case": "7", "mavi_label_case_id": "8", "MAVI-LABEL-x": "9"}
    assert labels_of(stored(metadata=metadata)) == {"Case": "7", "case_id": "8", "x": "9"}


@pytest.mark.parametrize(
    "name",
    [
        "talk.mp4.part",
        "talk.mp4.Part",
        "TALK.MP4.PART",
        "talk.mp4.crdownload",
        "Unconfirmed 123.CRDOWNLOAD",
        "talk.mp4.opdownload",
        "talk.mp4.partial",
        "a/talk.mp4.download",
        "a/talk.mp4.download/talk.mp4",
        "talk.mp4.filepart",
        "talk.mp4.!qB",
        "talk.mp4.tmp ",
    ],
)
def test_classify_unfinished_download_is_rejected(name: str) -> None:
    """Half a recording must not be bought, whatever its content type says."""
    for content_type in ("video/mp4", "application/octet-stream", None):
        found = classify(stored(name, content_type=content_type), LIMIT)
        assert found is RejectReason.UNFINISHED_DOWNLOAD


@pytest.mark.parametrize("name", ["download/talk.mp4", "talk.part.mp4", "my.downloads/talk.mp4"])
def test_classify_similar_name_is_no_unfinished_download(name: str) -> None:
    """Only the end of a file's name tells, or a whole folder of Safari."""
    assert isinstance(classify(stored(name), LIMIT), Media)


def test_labels_of_metadata_have_the_prefix() -> None:
    """Only metadata with the prefix are labels, cut to the stored size."""
    metadata = {"mavi-label-case": "7", "mavi-label-": "x", "other": "y"}
    assert labels_of(stored(metadata=metadata)) == {"case": "7"}
    many = {f"mavi-label-{n:03d}{'k' * 99}": "v" * 999 for n in range(99)}
    found = labels_of(stored(metadata=many))
    assert len(found) == MAX_LABELS
    assert max(map(len, found)) == 63
    assert max(map(len, found.values())) == 256


@given(TEXTS, TEXTS, st.integers(0, 2**50))
def test_classify_any_object_returns(name: str, content_type: str, size: int) -> None:
    """No name or type raises."""
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
def test_split_uri_follows_the_names_of_cloud_storage(
    uri: str, parts: tuple[str, str] | None
) -> None:
    """Only names that Cloud Storage allows are accepted."""
    assert split_uri(uri) == parts


@pytest.mark.parametrize(
    ("generation", "usable"),
    [("1", True), ("1767323045678901", True), ("", False), ("-1", False), ("1" * 21, False)],
)
def test_usable_generation_is_a_number_as_a_string(generation: str, usable: bool) -> None:  # noqa: FBT001 - parametrized
    """Only digits are accepted."""
    assert usable_generation(generation) is usable
