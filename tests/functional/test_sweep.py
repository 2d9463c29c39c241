"""The function ``sweep``, through the framework."""

from __future__ import annotations

from typing import Any

import pytest

from tests.environments import environment
from tests.fakes import Outage, TryOnce
from tests.functional.framework import Loaded, load
from tests.pipeline import REQUEST, Pipeline


class SweepClient:
    """The sweep function with fakes inside."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.pipeline = Pipeline()
        loaded.compose(
            documents=self.pipeline.documents,
            queue=self.pipeline.queue,
            log=self.pipeline.lines.log,
            retrier=TryOnce(),
            clock=self.pipeline.clock,
        )

    async def call(self, method: str = "POST") -> Any:
        async with self.loaded.client() as http:
            return await http.request(method, "/")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> SweepClient:
    environ = environment("sweep", OVERDUE_AFTER_MINUTES="10")
    return SweepClient(load("sweep", environ, monkeypatch))


async def test_sweep_returns_its_counts(client: SweepClient) -> None:
    """The counts are 200; without a store the answer is 503."""
    module: Any = client.loaded.module
    assert module.settings.overdue_after_minutes == 10
    await client.pipeline.service.submit(REQUEST)
    client.pipeline.clock.advance(days=1)
    answer = await client.call()
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "overdue": 1,
            "submit_unknown": 0,
            "requeued": 0,
            "resubmitted": 0,
            "failed": 0,
            "more": False,
        },
    )
    client.pipeline.documents.before = Outage(10**6)
    assert (await client.call()).status_code == 503
    assert (await client.call("GET")).status_code == 405
