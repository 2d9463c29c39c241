"""A fake provider and the webhook it posts to, and a stand-in for Cloud Storage."""

from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from google.cloud.storage.retry import DEFAULT_RETRY

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
    monkeypatch.setattr(objects_module, "RETRY", DEFAULT_RETRY.with_timeout(0.1))
    yield storage
    await runner.cleanup()
    # The client does not close the connection of a retried download; the collector does.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
