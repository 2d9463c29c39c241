"""The function that the scheduler calls."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import Outage, TryOnce
from tests.functional.framework import load
from tests.functional.test_ingest import ENVIRON
from tests.pipeline import Pipeline
from tests.unit.test_sweep import ORDER


async def test_sweep_returns_its_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a store it returns 503."""
    loaded = load("sweep", ENVIRON | {"OVERDUE_AFTER_MINUTES": "10"}, monkeypatch)
    pipeline = Pipeline()
    module: Any = loaded.module
    assert module.settings.overdue_after_minutes == 10
    module.sweeper = pipeline.sweeper()
    await pipeline.service.submit(ORDER)
    pipeline.clock.advance(days=1)
    async with loaded.client() as client:
        answer = await client.post("/")
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
        module.sweeper._retrier = TryOnce()
        pipeline.documents.before = Outage(10**6)
        assert (await client.post("/")).status_code == 503
        assert (await client.get("/")).status_code == 405
