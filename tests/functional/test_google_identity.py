"""The access token of a call: fetched, renewed when it is refused, and not waited for too long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import google.auth
import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError

from tests.grpc_server import GrpcServer, Refusal, grpc_server
from transcripts.errors import PublishUnavailable, QueueUnavailable, StoreUnavailable
from transcripts.google import channel, documents, publisher, queue
from transcripts.google.documents import FirestoreDocuments
from transcripts.google.publisher import PubSubPublisher
from transcripts.google.queue import CloudTasksQueue
from transcripts.ports import Message, Read
from transcripts.tasks.task import Task

TOPIC = "projects/local/topics/callbacks"
MESSAGE = Message(b"{}", {"task_id": "t"})


class Identity(Credentials):  # type: ignore[misc] # google-auth has no types
    """Gives ``token-1``, ``token-2`` and so on, each for an hour."""

    def __init__(self) -> None:
        super().__init__()
        self.refreshes = 0
        self.failures = 0
        self.answers = threading.Event()
        self.answers.set()

    def refresh(self, request: object) -> None:
        self.answers.wait(20)
        self.refreshes += 1
        if self.failures:
            self.failures -= 1
            raise RefreshError("no token")
        self.token = f"token-{self.refreshes}"
        self.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    """The default credentials of this process."""
    identity = Identity()
    monkeypatch.setattr(google.auth, "default", lambda scopes: (identity, "p"))
    yield identity
    identity.answers.set()


@pytest.fixture(scope="module")
def certificate() -> tuple[bytes, bytes]:
    """A key and its certificate for localhost, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return private, certificate.public_bytes(pem)


@pytest.fixture
async def service(
    certificate: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[GrpcServer]:
    """All services of Google, behind TLS."""
    trusted = grpc.ssl_channel_credentials(certificate[1])
    async with grpc_server(grpc.ssl_server_credentials([certificate])) as service:
        monkeypatch.setattr(
            grpc,
            "compute_engine_channel_credentials",
            lambda identity: grpc.composite_channel_credentials(trusted, identity),
        )
        monkeypatch.setattr(channel, "PORT", service.port)
        for module in (documents, publisher, queue):
            monkeypatch.setattr(module, "HOST", "localhost")
        yield service


def tokens(service: GrpcServer) -> list[str]:
    return [str(metadata["authorization"]) for metadata in service.metadata]


async def test_calls_have_the_token_and_googles_routing_header(
    service: GrpcServer, identity: Identity
) -> None:
    """One token serves many calls; Google routes a call by its resource."""
    under_test = PubSubPublisher(None)
    for _ in range(3):
        await under_test.publish(TOPIC, MESSAGE)
    assert (tokens(service), identity.refreshes) == (["Bearer token-1"] * 3, 1)
    store = FirestoreDocuments("p", "(default)", None)
    await store.read(Read("tasks/t", Task))
    await CloudTasksQueue("projects/p/queues/q", "https://s", "a@b", None).enqueue("n", "s")
    routes = [metadata["x-goog-request-params"] for metadata in service.metadata[2:]]
    assert routes == [
        "topic=projects/local/topics/callbacks",
        "database=projects/p/databases/%28default%29",
        "parent=projects/p/queues/q",
    ]
    assert service.metadata[3]["google-cloud-resource-prefix"] == "projects/p/databases/(default)"


async def test_publish_with_a_refused_token_uses_another(
    service: GrpcServer, identity: Identity
) -> None:
    """google-auth alone would send it for the rest of its hour."""

    def check(_request: Any, metadata: Mapping[str, Any]) -> None:
        if metadata["authorization"] == "Bearer token-1":
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED)

    service.check = check
    await PubSubPublisher(None).publish(TOPIC, MESSAGE)
    assert tokens(service) == ["Bearer token-1", "Bearer token-2"]


async def test_store_with_a_refused_token_is_unavailable_and_uses_another(
    service: GrpcServer, identity: Identity
) -> None:
    """The operation of the store is repeated as a whole."""
    service.refuse(grpc.StatusCode.UNAUTHENTICATED)
    store = FirestoreDocuments("p", "(default)", None)
    with pytest.raises(StoreUnavailable):
        await store.read(Read("tasks/t", Task))
    await store.read(Read("tasks/t", Task))
    assert tokens(service) == ["Bearer token-1", "Bearer token-2"]


async def test_publish_asks_for_a_token_again_after_a_failure(
    service: GrpcServer, identity: Identity
) -> None:
    """The metadata server of a new instance may answer late."""
    identity.failures = 2
    await PubSubPublisher(None).publish(TOPIC, MESSAGE)
    assert tokens(service) == ["Bearer token-3"]


async def test_calls_during_silence_of_the_metadata_server_end_with_their_own_time(
    service: GrpcServer, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls do not queue up for the token, one time-out after the other."""
    monkeypatch.setattr(publisher, "RETRY", replace(publisher.RETRY, timeout_s=1.0))
    monkeypatch.setattr(queue, "RETRY", replace(queue.RETRY, timeout_s=1.0))
    monkeypatch.setattr(queue, "RPC_TIMEOUT_S", 1.0)
    monkeypatch.setattr(documents, "RPC_TIMEOUT_S", 1.0)
    identity.answers.clear()
    store, topic = FirestoreDocuments("p", "(default)", None), PubSubPublisher(None)
    tasks = CloudTasksQueue("projects/p/queues/q", "https://s", "a@b", None)
    clock = asyncio.get_running_loop().time
    begin = clock()
    outcomes = await asyncio.gather(
        *(store.read(Read(f"tasks/{n}", Task)) for n in range(6)),
        *(topic.publish(f"{TOPIC}{n}", MESSAGE) for n in range(6)),
        *(tasks.enqueue(f"n{n}", "s") for n in range(6)),
        return_exceptions=True,
    )
    assert clock() - begin < 6.0
    kinds = [StoreUnavailable] * 6 + [PublishUnavailable] * 6 + [QueueUnavailable] * 6
    assert [type(outcome) for outcome in outcomes] == kinds
    assert service.requests == []
    identity.answers.set()
    await topic.publish(TOPIC, MESSAGE)
