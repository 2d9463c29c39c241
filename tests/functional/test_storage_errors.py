"""The meaning of each answer of Cloud Storage for an object, through Google's own client."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web
from google.api_core.exceptions import Unauthorized
from google.cloud.storage._bucket_metadata_cache import BucketMetadataCache
from google.cloud.storage.retry import DEFAULT_RETRY

from transcripts.errors import (
    ObjectForbidden,
    ObjectNotFound,
    ObjectUnavailable,
    ObjectUnreadable,
    TranscriptsError,
)
from transcripts.google import objects as objects_module
from transcripts.google.objects import CloudStorageObjects, translate

CONTENT = b"a recording of a meeting"
RESOURCE = {
    "kind": "storage#object",
    "bucket": "uploads",
    "name": "a.mp4",
    "generation": "7",
    "contentType": "video/mp4",
    "size": str(len(CONTENT)),
}


def json_error(status: int, reason: str, message: str = "injected") -> web.Response:
    """Answer as the JSON API does."""
    details = [{"domain": "global", "reason": reason, "message": message}]
    error = {"code": status, "message": message, "errors": details}
    return web.json_response({"error": error}, status=status)


def text_error(status: int, text: str) -> web.Response:
    """Answer as a download does."""
    return web.Response(status=status, text=text)


class Storage:
    """One object at the paths that Google's client reads; ``described`` and ``sent`` refuse."""

    def __init__(self) -> None:
        self.described: Any = None
        self.sent: Any = None
        self.ranges: list[str] = []
        self.more: dict[str, Any] = {}
        self.url = ""

    async def describe(self, _: web.Request) -> web.StreamResponse:
        if self.described is not None:
            return web.Response(
                status=self.described.status,
                body=self.described.body,
                content_type=self.described.content_type,
            )
        return web.json_response(RESOURCE | self.more)

    async def send(self, request: web.Request) -> web.StreamResponse:
        self.ranges.append(request.headers["Range"])
        if self.sent is not None:
            return web.Response(
                status=self.sent.status, body=self.sent.body, content_type=self.sent.content_type
            )
        first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
        content = CONTENT[int(first) : int(last) + 1]
        where = f"bytes {first}-{int(first) + len(content) - 1}/{len(CONTENT)}"
        return web.Response(status=206, body=content, headers={"Content-Range": where})


@pytest.fixture
async def storage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Storage]:
    storage = Storage()
    application = web.Application()
    application.router.add_get("/storage/v1/b/{bucket}/o/{name:.+}", storage.describe)
    application.router.add_get("/download/storage/v1/b/{bucket}/o/{name:.+}", storage.send)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{runner.addresses[0][1]}")
    monkeypatch.setattr(objects_module, "RETRY", DEFAULT_RETRY.with_timeout(0.1))
    yield storage
    await runner.cleanup()
    # The client does not close the connection of a retried download; the collector does.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@contextmanager
def cloud_storage() -> Iterator[CloudStorageObjects]:
    """Give a source whose connections are closed at the end."""
    source = CloudStorageObjects("local")
    try:
        yield source
    finally:
        if source._client is not None:
            source._client.close()


def read_whole() -> bytes:
    """Describe, open and read in pieces, as an upload does."""
    with cloud_storage() as source:
        return read_with(source)


def read_with(source: CloudStorageObjects) -> bytes:
    reader = source.open(source.stat("uploads", "a.mp4", "7"))
    content = b""
    while piece := reader.read(10):
        content += piece
    reader.close()
    return content


CSEK_SENTENCE = "The target object is encrypted by a customer-supplied encryption key."
PAYS_SENTENCE = "Bucket is a requester pays bucket but no user project provided."
XML = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>x</Message></Error>"

# Google's table: https://cloud.google.com/storage/docs/json_api/v1/status-codes
ANSWERS = [
    (400, "userProjectMissing", ObjectUnreadable, "requester_pays"),
    (400, "userProjectInvalid", ObjectUnreadable, "requester_pays"),
    (400, "resourceIsEncryptedWithCustomerEncryptionKey", ObjectUnreadable, "customer_key"),
    (400, "customerEncryptionKeyIsIncorrect", ObjectUnreadable, "customer_key"),
    (400, "invalidArgument", ObjectUnreadable, "object_unreadable"),
    (400, "cloudKmsDisabledKey", ObjectForbidden, "object_forbidden"),
    (400, "cloudKmsDecryptionKeyNotFound", ObjectForbidden, "object_forbidden"),
    (403, "forbidden", ObjectForbidden, "object_forbidden"),
    (403, "accountDisabled", ObjectForbidden, "object_forbidden"),
    (403, "rateLimitExceeded", ObjectUnavailable, "object_unavailable"),
    (404, "notFound", ObjectNotFound, "object_not_found"),
    (405, "methodNotAllowed", ObjectUnreadable, "object_unreadable"),
    (408, "uploadBrokenConnection", ObjectUnavailable, "object_unavailable"),
    (409, "conflict", ObjectUnavailable, "object_unavailable"),
    (410, "gone", ObjectUnreadable, "object_unreadable"),
    (412, "conditionNotMet", ObjectUnreadable, "object_unreadable"),
    (412, "orgPolicyConstraintFailed", ObjectUnreadable, "object_unreadable"),
    (429, "rateLimitExceeded", ObjectUnavailable, "object_unavailable"),
    (500, "backendError", ObjectUnavailable, "object_unavailable"),
    (503, "backendError", ObjectUnavailable, "object_unavailable"),
]


async def error_of(storage: Storage) -> TranscriptsError:
    with pytest.raises(TranscriptsError) as caught:
        await asyncio.to_thread(read_whole)
    assert "a.mp4" not in caught.value.message
    return caught.value


async def test_read_object_that_is_given_is_whole(storage: Storage) -> None:
    """The first request asks for no more than is wanted, and the next ones for whole chunks."""
    assert await asyncio.to_thread(read_whole) == CONTENT
    assert storage.ranges == ["bytes=0-9", f"bytes=10-{10 + objects_module.CHUNK_BYTES - 1}"]


@pytest.mark.parametrize(("status", "reason", "kind", "code"), ANSWERS)
@pytest.mark.parametrize("at", ["described", "sent"])
async def test_answer_of_cloud_storage_is_permanent_or_not(
    storage: Storage, at: str, status: int, reason: str, kind: type[TranscriptsError], code: str
) -> None:
    """Google's table decides, both for describing and for reading an object."""
    setattr(storage, at, json_error(status, reason))
    error = await error_of(storage)
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (text_error(400, CSEK_SENTENCE), ObjectUnreadable, "customer_key"),
        (text_error(400, PAYS_SENTENCE), ObjectUnreadable, "requester_pays"),
        (text_error(400, XML.format("UserProjectMissing")), ObjectUnreadable, "requester_pays"),
        (text_error(400, XML.format("CloudKmsDisabledKey")), ObjectForbidden, "object_forbidden"),
        (json_error(400, "required", PAYS_SENTENCE), ObjectUnreadable, "requester_pays"),
        (text_error(400, ""), ObjectUnreadable, "object_unreadable"),
        (text_error(400, '{"error": {"errors": []}}'), ObjectUnreadable, "object_unreadable"),
        (text_error(400, '{"error": "x"}'), ObjectUnreadable, "object_unreadable"),
        (text_error(403, "x does not have access"), ObjectForbidden, "object_forbidden"),
        (text_error(502, "<html>"), ObjectUnavailable, "object_unavailable"),
    ],
)
async def test_download_that_answers_with_a_sentence_is_understood(
    storage: Storage, answer: web.Response, kind: type[TranscriptsError], code: str
) -> None:
    """The refusal of a download is plain text or XML, and its status decides."""
    storage.sent = answer
    error = await error_of(storage)
    assert (type(error), error.code) == (kind, code)


def test_translate_unauthorized_is_forbidden() -> None:
    """Google's client raises 401 only after a try with a new token."""
    error = translate(Unauthorized("no"))  # type: ignore[no-untyped-call] # Google's own
    assert type(error) is ObjectForbidden


async def test_read_whole_object_asks_nothing_about_its_bucket(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's default asks for the bucket, which this identity may not read."""
    asked: list[str] = []
    monkeypatch.setattr(
        BucketMetadataCache, "get_or_queue_fetch", lambda _, bucket: asked.append(bucket)
    )
    assert await asyncio.to_thread(read_whole) == CONTENT
    assert asked == []


async def test_stat_object_under_a_customer_key_tells_it(storage: Storage) -> None:
    """Every reader of the bucket may read the description of such an object."""
    storage.more = {"customerEncryption": {"encryptionAlgorithm": "AES256", "keySha256": "x"}}
    with cloud_storage() as source:
        stored = await asyncio.to_thread(source.stat, "uploads", "a.mp4", None)
    assert stored.customer_encrypted
