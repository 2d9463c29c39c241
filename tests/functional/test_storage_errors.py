"""The meaning of each answer of Cloud Storage for an object."""

from __future__ import annotations

import asyncio

import google.auth
import pytest
from aiohttp import web
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError

from tests.functional.storage import (
    Storage,
    cloud_storage,
    json_error,
    read_whole,
    text_error,
)
from transcripts.errors import (
    ObjectForbidden,
    ObjectNotFound,
    ObjectUnavailable,
    ObjectUnreadable,
    TranscriptsError,
)
from transcripts.google.objects import CloudStorageObjects, translate

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
    """google-auth has tried again with a new token by then."""
    assert type(translate(401, "no")) is ObjectForbidden


@pytest.mark.parametrize("body", ["", "{}", '{"bucket": "uploads"}'])
async def test_stat_object_without_a_description_is_unavailable(
    storage: Storage, body: str
) -> None:
    """A proxy may answer 200 with anything."""
    storage.described = text_error(200, body)
    with pytest.raises(ObjectUnavailable):
        await asyncio.to_thread(read_whole)


async def test_stat_object_under_a_customer_key_tells_it(storage: Storage) -> None:
    """Every reader of the bucket may read the description of such an object."""
    storage.more = {"customerEncryption": {"encryptionAlgorithm": "AES256", "keySha256": "x"}}
    with cloud_storage() as source:
        stored = await asyncio.to_thread(source.stat, "uploads", "a.mp4", None)
    assert stored.customer_encrypted


class WithoutToken(Credentials):  # type: ignore[misc] # google-auth has no types
    """An identity that gets no token, and counts how often it asked."""

    def __init__(self) -> None:
        super().__init__()
        self.refreshes = 0

    def refresh(self, request: object) -> None:
        self.refreshes += 1
        raise RefreshError("no token")


def test_stat_object_without_a_token_is_unavailable_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """google-auth has repeated its own request; the caller tries again later."""
    identity = WithoutToken()
    monkeypatch.setattr(google.auth, "default", lambda scopes: (identity, "p"))
    with pytest.raises(ObjectUnavailable):
        CloudStorageObjects(None).stat("uploads", "a.mp4", None)
    assert identity.refreshes == 1
