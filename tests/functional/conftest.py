"""A fake provider and the webhook it posts to, a stand-in for Cloud Storage, a certificate."""

from __future__ import annotations

import gc
import ssl
import warnings
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cli.fake_mavi.faults import Faults
from cli.fake_mavi.server import FakeMavi
from tests.functional.provider import (
    KEY,
    Webhook,
)
from tests.functional.storage import Storage
from transcripts.google import objects as objects_module


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    webhook = Webhook()
    application = web.Application(client_max_size=2**30)
    application.router.add_post("/hook", webhook.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    webhook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield webhook
    await runner.cleanup()


@pytest.fixture
async def fake(webhook: Webhook) -> AsyncIterator[FakeMavi]:
    fake = FakeMavi(
        KEY, webhook_url=webhook.url, faults=Faults(callback_delay_s=0.01), per_second=0
    )
    await fake.start()
    yield fake
    await fake.stop()


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
    monkeypatch.setattr(objects_module, "RETRY", replace(objects_module.RETRY, timeout_s=0.1))
    yield storage
    await runner.cleanup()
    # The client does not close the connection of a retried download; the collector does.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A self-signed certificate, which no client trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
