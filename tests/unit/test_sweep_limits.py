"""The limits of a sweep: time, number of documents, and queries with an index."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes import TryOnce
from tests.pipeline import OVERDUE, REQUEST, Pipeline
from transcripts.errors import StoreUnavailable
from transcripts.submissions.requests import SubmitAsset
from transcripts.submissions.sweep import (
    BATCH_LIMIT,
    CONCURRENCY,
    ITEM_TIMEOUT_S,
    MAX_RUN_S,
    QUERIES,
    Counts,
)
from transcripts.tasks.task import Status


async def test_sweep_is_bounded_and_reports_more(pipeline: Pipeline) -> None:
    """The next run handles the rest."""
    for number in range(BATCH_LIMIT + 3):
        await pipeline.service.submit(SubmitAsset(f"re_{number}", {}))
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    assert await pipeline.sweeper().run() == Counts(overdue=BATCH_LIMIT, more=True)
    assert await pipeline.sweeper().run() == Counts(overdue=3)


async def test_sweep_of_a_silent_store_starts_nothing_after_its_time(pipeline: Pipeline) -> None:
    """Cloud Run ends a run after 300 s; the rest is counted as ``more``."""
    for number in range(40):
        await pipeline.drop(f"a/talk-{number}.mp4")
    pipeline.clock.advance(hours=3)
    commits: list[datetime] = []

    def silent(operation: str) -> None:
        if operation == "commit":
            commits.append(pipeline.clock.now)
            pipeline.clock.advance(seconds=20)
            raise StoreUnavailable("silent")

    pipeline.documents.before = silent
    sweeper = pipeline.sweeper(retrier=TryOnce())
    with pytest.raises(StoreUnavailable):
        await sweeper.run()
    # Those that run at the same time as the last one in time may begin after it.
    assert len(commits) <= MAX_RUN_S / 20 + CONCURRENCY
    assert pipeline.lines.named("swept")[0]["more"] is True
    pipeline.documents.before = lambda _: None
    assert (await pipeline.sweeper().run()).requeued == 40


async def test_sweep_of_a_silent_store_sends_no_more_queries(pipeline: Pipeline) -> None:
    """Queries that were not sent in time report ``more``, too."""
    queries = 0

    def silent(operation: str) -> None:
        nonlocal queries
        queries += operation == "query"
        pipeline.clock.advance(seconds=MAX_RUN_S)

    pipeline.documents.before = silent
    counts = await pipeline.sweeper().run()
    assert (queries, counts.more) == (1, True)


async def test_run_with_a_silent_store_begins_nothing_after_its_deadline(
    pipeline: Pipeline,
) -> None:
    """Five queries of 20 s each would take longer than a run may."""
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    queries = 0

    def silent(operation: str) -> None:
        nonlocal queries
        queries += 1
        pipeline.clock.advance(seconds=20)
        raise StoreUnavailable("no store")

    pipeline.documents.before = silent
    sweeper = pipeline.sweeper(max_run=timedelta(seconds=50), retrier=TryOnce())
    with pytest.raises(StoreUnavailable):
        await sweeper.run()
    assert queries == 3
    assert pipeline.lines.named("swept")[0]["more"] is True


async def test_run_with_a_slow_store_leaves_the_rest_to_the_next_run(pipeline: Pipeline) -> None:
    """Documents that were found but not begun count as ``more``."""
    for number in range(30):
        await pipeline.service.submit(SubmitAsset(f"re_{number}", {}))
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())

    def slow(operation: str) -> None:
        if operation == "commit":
            pipeline.clock.advance(seconds=20)

    pipeline.documents.before = slow
    sweeper = pipeline.sweeper(max_run=timedelta(seconds=100))
    counts = await sweeper.run()
    assert 5 <= counts.overdue <= 13
    assert counts.more
    pipeline.documents.before = lambda _: None
    rest = await sweeper.run()
    assert rest == Counts(overdue=30 - counts.overdue)


async def test_run_with_a_document_that_takes_too_long_abandons_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other document is handled; the run raises, so that the scheduler retries."""
    monkeypatch.setattr("transcripts.submissions.sweep.ITEM_TIMEOUT_S", 0.05)
    await pipeline.service.submit(REQUEST)
    await pipeline.drop()
    pipeline.clock.advance(seconds=OVERDUE.total_seconds())
    pipeline.queue.before = lambda _: asyncio.Event().wait()
    with pytest.raises(StoreUnavailable, match="too long"):
        await pipeline.sweeper().run()
    assert (await pipeline.task()).status is Status.OVERDUE


def test_longest_run_ends_before_the_timeout_of_the_function() -> None:
    """A query, or one document, may begin right before the deadline."""
    text = Path("infra/functions.tf").read_text()
    found = re.search(r"\n    sweep = \{.*?timeout_s = (\d+)", text, re.DOTALL)
    assert found is not None
    longest_s = MAX_RUN_S + max(ITEM_TIMEOUT_S, 20.0)
    assert longest_s <= 0.9 * int(found[1])


async def test_run_makes_the_queries_that_have_an_index(pipeline: Pipeline) -> None:
    """Firestore refuses a query without its composite index, and the emulator does not."""
    await pipeline.sweeper().run()
    queries = pipeline.documents.queries
    made = {(query.collection, query.where[0][0], query.order_by) for query in queries}
    assert made == set(QUERIES)


def test_indexes_of_the_database_are_those_of_the_queries() -> None:
    """Only Terraform makes the indexes."""
    pattern = r'collection = "(\w+)", equal = "(\w+)", time = "(\w+)"'
    found = re.findall(pattern, Path("infra/firestore.tf").read_text())
    assert set(found) == set(QUERIES)
