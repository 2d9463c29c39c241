"""Signed addresses: of Cloud Storage, as its documents verify them, and of the local folder."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError
from google.cloud.storage import _signing
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from tests.contracts.media import CONTENT, Given, MediaContract
from tests.fakes import NOW, Clock, MemorySigner
from transcripts.embedded.objects import MEDIA_PATH, FolderObjects, FolderSigner
from transcripts.errors import ObjectForbidden, ObjectUnavailable, TranscriptsError
from transcripts.google.media import SCOPE, CloudStorageSigner
from transcripts.uploads.stored_object import StoredObject
from transcripts.web import error_answer

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ACCOUNT = "transcripts-results@p.iam.gserviceaccount.com"
SIGN_BLOB = (
    f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:signBlob"
)
HOUR = timedelta(hours=1)
MOMENT = "%Y%m%dT%H%M%SZ"


class Identity(Credentials):  # type: ignore[misc] # google-auth has no types
    """The identity of a function: its name is known after the first token."""

    def __init__(self) -> None:
        super().__init__()
        self.service_account_email = "default"
        self.fails: Exception | None = None

    def refresh(self, request: object) -> None:
        del request
        if self.fails:
            raise self.fails
        self.service_account_email = ACCOUNT
        self.token = "a-token"
        self.expiry = None


class Iam:
    """IAM's method signBlob, which signs with a key that only it has."""

    def __init__(self) -> None:
        self.statuses: list[tuple[int, str]] = []
        self.calls = 0

    def __call__(
        self, url: str, method: str, body: bytes, headers: dict[str, str], **_: Any
    ) -> SimpleNamespace:
        assert (method, url) == ("POST", SIGN_BLOB)
        assert headers["authorization"] == "Bearer a-token"
        self.calls += 1
        if self.statuses:
            status, reason = self.statuses.pop(0)
            error = {"error": {"code": status, "status": reason}}
            return SimpleNamespace(status=status, data=json.dumps(error).encode())
        message = base64.b64decode(json.loads(body)["payload"])
        signature = KEY.sign(message, padding.PKCS1v15(), hashes.SHA256())
        answer = {"signedBlob": base64.b64encode(signature).decode()}
        return SimpleNamespace(status=200, data=json.dumps(answer).encode())


def verified(address: str, now: datetime) -> dict[str, str] | None:
    """Return the parameters of a signed URL if its signature holds at that time, else None.

    Follows https://cloud.google.com/storage/docs/authentication/canonical-requests.
    """
    parts = urlsplit(address)
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    signature = given.pop("X-Goog-Signature")
    query = "&".join(f"{quote(name, '~')}={quote(given[name], '~')}" for name in sorted(given))
    wanted = f"GET\n{parts.path}\n{query}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    account, _, scope = given["X-Goog-Credential"].partition("/")
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    message = f"GOOG4-RSA-SHA256\n{given['X-Goog-Date']}\n{scope}\n{digest}"
    try:
        KEY.public_key().verify(
            bytes.fromhex(signature), message.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature:
        return None
    begin = datetime.strptime(given["X-Goog-Date"], MOMENT).replace(tzinfo=UTC)
    end = begin + timedelta(seconds=int(given["X-Goog-Expires"]))
    return given if account == ACCOUNT and begin <= now < end else None


def ranged(content: bytes, wanted: str | None) -> tuple[int, bytes]:
    """Return status and bytes of an answer to a range."""
    if wanted is None:
        return 200, content
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    return 206, content[int(first) : int(last) + 1]


class StoredObjects:
    """Objects in memory, with a generation each."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[str, bytes]] = {}

    async def put(self, name: str, content: bytes) -> StoredObject:
        generation = str(len(content))
        self.objects[name] = (generation, content)
        return StoredObject(bucket="uploads", name=name, generation=generation)


class CloudStorage(StoredObjects):
    """Cloud Storage as it reads signed URLs, and a signer of an identity without a key."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(datetime.now(UTC))
        self.identity, self.iam = Identity(), Iam()
        self.signer = CloudStorageSigner(self.identity, self.iam)

    async def get(self, address: str, wanted: str | None = None) -> Given:
        assert urlsplit(address).netloc == "storage.googleapis.com"
        given = verified(address, self.clock())
        if given is None:
            return Given(403)
        bucket, _, name = unquote(urlsplit(address).path).lstrip("/").partition("/")
        generation, content = self.objects[name]
        if bucket != "uploads" or generation != given["generation"]:
            return Given(404)
        headers = given["response-content-type"], given["response-content-disposition"]
        return Given(*ranged(content, wanted), *headers)


class TestCloudStorageSigner(MediaContract):
    @pytest.fixture
    def media(self, monkeypatch: pytest.MonkeyPatch) -> CloudStorage:
        storage = CloudStorage()

        monkeypatch.setattr(_signing, "_NOW", lambda _: storage.clock())
        return storage

    @pytest.mark.parametrize(
        ("status", "reason", "error"),
        [
            (403, "PERMISSION_DENIED", ObjectForbidden),
            (400, "INVALID_ARGUMENT", ObjectUnavailable),
            (429, "RESOURCE_EXHAUSTED", ObjectUnavailable),
        ],
    )
    async def test_refusal_of_iam_is_translated(
        self, media: CloudStorage, status: int, reason: str, error: type[TranscriptsError]
    ) -> None:
        """A missing role is for the operator; everything else may pass."""
        media.iam.statuses = [(status, reason)]
        with pytest.raises(error) as raised:
            await self.sign(media, await media.put("a.wav", CONTENT))
        assert type(raised.value) is error

    async def test_outage_of_iam_is_repeated(self, media: CloudStorage) -> None:
        """google-auth repeats a 503."""
        media.iam.statuses = [(503, "UNAVAILABLE")]
        address = await self.sign(media, await media.put("a.wav", CONTENT))
        assert (await media.get(address)).status == 200
        assert media.iam.calls == 2

    async def test_identity_that_gives_no_token_is_transient(self, media: CloudStorage) -> None:
        """The next request asks again."""
        stored = await media.put("a.wav", CONTENT)
        media.identity.fails = RefreshError("the metadata server does not answer")
        with pytest.raises(ObjectUnavailable):
            await self.sign(media, stored)
        media.identity.fails = None
        assert (await media.get(await self.sign(media, stored))).status == 200


def test_default_identity_is_asked_for_the_scope_of_signing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token for Cloud Storage alone may not sign."""
    asked: list[list[str]] = []

    def default(scopes: list[str]) -> tuple[Identity, str]:
        asked.append(scopes)
        return Identity(), "p"

    monkeypatch.setattr("google.auth.default", default)
    signer = CloudStorageSigner(request=Iam())
    stored = StoredObject(bucket="uploads", name="a.wav", generation="1")
    assert "X-Goog-Signature" in signer.sign(stored, "audio/wav", datetime.now(UTC) + HOUR)
    assert asked == [[SCOPE]]


def test_user_without_a_service_account_can_not_sign() -> None:
    """A user's own login has no address to sign as."""
    signer = CloudStorageSigner(object(), Iam())
    stored = StoredObject(bucket="uploads", name="a.wav", generation="1")
    with pytest.raises(ObjectForbidden):
        signer.sign(stored, "audio/wav", datetime.now(UTC) + HOUR)


class Folder:
    """A folder, and the route that serves its files."""

    def __init__(self, objects: FolderObjects, client: Callable[[FolderSigner], Any]) -> None:
        self.clock = Clock(NOW)
        self.objects = objects
        self.signer = FolderSigner(objects, self.clock)
        self.client: httpx.AsyncClient = client(self.signer)

    async def put(self, name: str, content: bytes) -> StoredObject:
        path = self.objects.path("uploads", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        stored = self.objects.stat("uploads", name, None)
        return StoredObject(bucket="uploads", name=name, generation=stored.generation)

    async def get(self, address: str, wanted: str | None = None) -> Given:
        answer = await self.client.get(address, headers={"Range": wanted} if wanted else {})
        if answer.status_code >= 400:
            return Given(answer.status_code)
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        headers = answer.headers["Content-Type"], answer.headers["Content-Disposition"]
        return Given(answer.status_code, answer.content, *headers)


async def answer_error(_: object, error: Exception) -> Response:
    assert isinstance(error, TranscriptsError)
    return error_answer(error)


class TestFolderSigner(MediaContract):
    @pytest.fixture
    async def media(self, tmp_path: Any) -> AsyncIterator[Folder]:
        clients: list[httpx.AsyncClient] = []

        def client(signer: FolderSigner) -> httpx.AsyncClient:
            application = Starlette(
                routes=[Route(MEDIA_PATH, signer.show)],
                exception_handlers={TranscriptsError: answer_error},
            )
            transport = httpx.ASGITransport(application)
            clients.append(httpx.AsyncClient(transport=transport, base_url="http://test"))
            return clients[-1]

        yield Folder(FolderObjects(tmp_path), client)
        for each in clients:
            await each.aclose()

    async def test_addresses_whose_time_is_over_are_forgotten(self, media: Folder) -> None:
        """A process that runs for weeks does not grow."""
        stored = await media.put("a.wav", CONTENT)
        for _ in range(3):
            await self.sign(media, stored)
            media.clock.advance(minutes=16)
        await self.sign(media, stored)
        assert len(media.signer._tickets) == 1


class Memory(StoredObjects):
    """The fake of the other tests."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(NOW)
        self.signer = MemorySigner(self.clock)

    async def get(self, address: str, wanted: str | None = None) -> Given:
        if address not in self.signer.signed:
            return Given(403)
        opened = self.signer.open(address)
        if opened is None:
            return Given(403)
        stored, media_type = opened
        generation, content = self.objects[stored.name]
        if generation != stored.generation:
            return Given(404)
        return Given(*ranged(content, wanted), media_type, "attachment")


class TestMemorySigner(MediaContract):
    @pytest.fixture
    def media(self) -> Memory:
        return Memory()
