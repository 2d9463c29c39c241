"""Purchases while the store fails: nothing is bought twice, and nothing is lost."""

from __future__ import annotations

import itertools

import pytest

from tests.fakes import (
    Outage,
    TryOnce,
)
from tests.pipeline import ASSET, FORCED, ID, REQUEST, Pipeline
from transcripts.errors import DocumentRefused, StoreUnavailable
from transcripts.ports import Read
from transcripts.submissions.answers import Receipt
from transcripts.submissions.submission import (
    SpendCounter,
    State,
)
from transcripts.submissions.transitions import LEASE


async def test_submit_without_a_store_buys_nothing(pipeline: Pipeline) -> None:
    """Without the ledger there is no purchase."""
    pipeline.documents.before = Outage(10**6)
    pipeline.restart(retrier=TryOnce())
    with pytest.raises(StoreUnavailable):
        await pipeline.service.submit(REQUEST)
    assert pipeline.provider.submitted == []


@pytest.mark.parametrize("only", ["read", "commit"])
@pytest.mark.parametrize("lost", [True, False])
async def test_submit_with_outages_at_any_step_buys_once(
    pipeline: Pipeline, only: str, *, lost: bool
) -> None:
    """Every third read or commit fails, before or after its effect."""
    calls = itertools.count()

    def fail(operation: str) -> None:
        if operation == only and next(calls) % 3 == 0:
            raise StoreUnavailable("no store")

    if lost:
        pipeline.documents.after = fail
    else:
        pipeline.documents.before = fail
    receipt = await pipeline.service.submit(REQUEST)
    pipeline.documents.before = pipeline.documents.after = lambda _: None
    assert receipt == Receipt("task-1", ID, duplicate=False, labels=REQUEST.labels)
    assert pipeline.provider.submitted == [ASSET]
    assert (await pipeline.submission()).state is State.SUBMITTED


async def test_submit_accepted_without_a_store_is_recorded_later(pipeline: Pipeline) -> None:
    """The instance retries, since only it knows the task."""
    pipeline.restart(retrier=TryOnce())

    def store_goes_down(_: str) -> None:
        pipeline.documents.before = down

    def down(_: str) -> None:
        if len(pipeline.sleeper.slept) < 60:
            raise StoreUnavailable("no store")

    pipeline.provider.on_submit = store_goes_down
    assert (await pipeline.service.submit(REQUEST)).task_id == "task-1"
    assert (await pipeline.submission()).state is State.SUBMITTED


async def test_submit_accepted_and_not_recorded_returns_the_task(pipeline: Pipeline) -> None:
    """The answer is 504 and the log has an error; the asset is not bought twice."""
    pipeline.restart(retrier=TryOnce())
    pipeline.provider.on_submit = lambda _: setattr(pipeline.documents, "before", Outage(10**9))
    error = await pipeline.refused()
    assert (error.code, error.status, error.details) == (
        "submit_unknown",
        504,
        {"task_id": "task-1"},
    )
    assert pipeline.lines.named("bought_but_not_recorded")[0]["task_id"] == "task-1"
    pipeline.documents.before = lambda _: None
    assert (await pipeline.refused()).code in ("submission_in_progress", "submit_unknown")
    pipeline.clock.advance(seconds=LEASE.total_seconds() + 1)
    assert (await pipeline.refused()).code == "submit_unknown"
    assert pipeline.provider.submitted == [ASSET]


async def test_submit_forced_without_a_store_is_restored_by_the_sweep() -> None:
    """The caller got an error and nothing was sent, so no later run may buy it."""
    pipeline = Pipeline(cap_per_day=5)
    await pipeline.service.submit(REQUEST)
    pipeline.lose_the_store_after_the_claim()
    with pytest.raises(StoreUnavailable):
        await pipeline.service.submit(FORCED)
    pipeline.documents.before = lambda _: None
    pipeline.clock.advance(hours=3)
    assert (await pipeline.sweeper().run()).requeued == 0
    entry = await pipeline.submission()
    assert (entry.state, entry.task_id) == (State.SUBMITTED, "task-1")
    assert pipeline.queue.tasks == {}
    assert (await pipeline.service.submit(REQUEST)).duplicate
    assert len(pipeline.provider.submitted) == 1
    (budget,) = await pipeline.documents.read(Read("spend_counters/2026-01-02", SpendCounter))
    assert budget is not None
    assert budget.value.submissions == 1


async def test_submit_with_an_unstorable_task_id_logs_it(pipeline: Pipeline) -> None:
    """The asset is not bought again."""

    def before(operation: str) -> None:
        if operation == "commit" and pipeline.provider.submitted:
            raise DocumentRefused("no such id")

    pipeline.documents.before = before
    error = await pipeline.refused()
    assert (error.code, error.details) == ("submit_unknown", {"task_id": "task-1"})
    (event,) = pipeline.lines.named("bought_but_not_recorded")
    assert event["task_id"] == "task-1"


async def test_submit_without_a_store_before_the_call_releases_its_lease(
    pipeline: Pipeline,
) -> None:
    """The next caller need not wait until the lease ends."""
    pipeline.restart(retrier=TryOnce())
    failing = iter([False, True])

    def before(operation: str) -> None:
        # The claim is committed, and the intent of the call is not.
        if operation == "commit" and next(failing, False):
            raise StoreUnavailable("no store")

    pipeline.documents.before = before
    with pytest.raises(StoreUnavailable):
        await pipeline.service.submit(REQUEST)
    assert (await pipeline.service.submit(REQUEST)).duplicate is False
    assert pipeline.provider.submitted == [ASSET]
