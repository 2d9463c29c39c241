"""A fake provider and the webhook it posts to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from cli.fake_mavi.faults import Faults
from cli.fake_mavi.server import FakeMavi
from tests.functional.provider import (
    KEY,
    Webhook,
)


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
