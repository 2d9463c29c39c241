"""Buying a transcript once: records, races, repetitions and lost answers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.pipeline import ASSET, FORCED, ID, REQUEST, Pipeline
from tests.polling import eventually
from transcripts.errors import PublishUnavailable, SubmissionError
from transcripts.mavi.answers import (
    Accepted,
    AnswerLost,
    RateLimited,
    Refusal,
    Refused,
)
from transcripts.retry import Retrier
from transcripts.submissions.answers import Receipt
from transcripts.submissions.requests import SubmitAsset
from transcripts.submissions.service import _finished
from transcripts.submissions.submission import (
    State,
)
from transcripts.submissions.submitter import Submitter
from transcripts.submissions.transitions import LEASE
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Status

from .test_merge import a_result


async def test_submit_new_asset_records_purchase_and_task(pipeline: Pipeline) -> None:
    """The ledger names the task, and the task names the submission."""
    pipeline = Pipeline(retention_days=3)
    receipt = await pipeline.service.submit(REQUEST)
    assert receipt == Receipt("task-1", ID, duplicate=False, labels=REQUEST.labels)
    submission = await pipeline.submission()
    assert (submission.state, submission.task_id, submission.labels) == (
        State.SUBMITTED,
        "task-1",
        {"case": "7"},
    )
    assert submission.submitted_at == pipeline.clock.now
    task = await TaskStore(pipeline.documents, Retrier()).read_task("task-1")
    assert task is not None
    assert (task.status, task.submission_id, task.asset_id, task.labels) == (
        Status.SUBMITTED,
        ID,
        ASSET,
        {"case": "7"},
    )
    assert task.expires_at == pipeline.clock.now + timedelta(days=3)


async def test_submit_records_the_intent_before_the_call(pipeline: Pipeline) -> None:
    """A process that ends during the call leaves ``submitting``."""
    seen: list[str] = []
    pipeline.provider.on_submit = lambda _: seen.append(
        pipeline.documents.content[f"submissions/{ID}"]["state"]
    )
    await pipeline.service.submit(REQUEST)
    assert seen == ["submitting"]


async def test_submit_bought_asset_returns_its_task(pipeline: Pipeline) -> None:
    """A repeated request writes nothing."""
    await pipeline.service.submit(REQUEST)
    for service in (pipeline.service, pipeline.instance()):
        assert await service.submit(REQUEST) == Receipt(
            "task-1", ID, duplicate=True, labels=REQUEST.labels
        )
    assert pipeline.provider.submitted == [ASSET]


async def test_submit_identical_requests_share_one_purchase(pipeline: Pipeline) -> None:
    """Exactly one of the requests is no duplicate."""
    receipts = await asyncio.gather(*(pipeline.service.submit(REQUEST) for _ in range(100)))
    assert {receipt.task_id for receipt in receipts} == {"task-1"}
    assert [receipt.duplicate for receipt in receipts].count(False) == 1
    assert pipeline.provider.submitted == [ASSET]


async def test_submit_in_racing_instances_buys_once(pipeline: Pipeline) -> None:
    """The second instance answers ``submission_in_progress``."""
    results = await asyncio.gather(
        *(pipeline.instance().submit(REQUEST) for _ in range(10)), return_exceptions=True
    )
    assert pipeline.provider.submitted == [ASSET]
    for result in results:
        if isinstance(result, SubmissionError):
            assert (result.code, result.status) == ("submission_in_progress", 409)
            assert result.retry_after_s
        else:
            assert isinstance(result, Receipt)
            assert result.task_id == "task-1"


async def test_submit_identical_requests_share_an_error(pipeline: Pipeline) -> None:
    """No identical request retries after the error."""
    pipeline.provider.answers = [Refused(Refusal.AUTH, 401)]
    results = await asyncio.gather(
        *(pipeline.service.submit(REQUEST) for _ in range(5)), return_exceptions=True
    )
    assert [getattr(result, "code", None) for result in results] == ["provider_auth"] * 5
    assert pipeline.provider.submitted == [ASSET]


async def test_submit_of_a_disconnected_caller_is_completed(pipeline: Pipeline) -> None:
    """The purchase is recorded although the caller has closed its connection."""
    buying = asyncio.ensure_future(pipeline.service.submit(REQUEST))
    while not pipeline.provider.submitted:
        await asyncio.sleep(0)
    buying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await buying
    receipt = await pipeline.service.submit(REQUEST)
    assert receipt == Receipt("task-1", ID, duplicate=True, labels=REQUEST.labels)
    assert pipeline.provider.submitted == [ASSET]


async def test_submit_after_a_lost_answer_needs_force(pipeline: Pipeline) -> None:
    """Both attempts are recorded."""
    pipeline.provider.answers = [AnswerLost("timeout")]
    error = await pipeline.refused()
    assert (error.code, error.status, error.details) == (
        "submit_unknown",
        504,
        {"reason": "timeout"},
    )
    for _ in range(3):
        again = await pipeline.refused()
        assert (again.code, again.status) == ("submit_unknown", 409)
    assert pipeline.provider.submitted == [ASSET]
    receipt = await pipeline.service.submit(FORCED)
    assert receipt == Receipt("task-2", ID, duplicate=False, labels=REQUEST.labels)
    assert [item.state for item in (await pipeline.submission()).previous_attempts] == [
        State.SUBMIT_UNKNOWN
    ]


async def test_submit_forced_buys_again(pipeline: Pipeline) -> None:
    """Two purchases have two tasks in one entry."""
    await pipeline.service.submit(REQUEST)
    assert (await pipeline.service.submit(FORCED)).task_id == "task-2"
    submission = await pipeline.submission()
    assert (submission.task_id, [item.task_id for item in submission.previous_attempts]) == (
        "task-2",
        ["task-1"],
    )


async def test_submit_with_an_early_result_joins_it(pipeline: Pipeline) -> None:
    """The callback arrives before the answer."""
    tasks = TaskStore(pipeline.documents, Retrier())
    submission_ids: list[str | None] = []

    async def callback(_: str) -> None:
        await tasks.save_result(a_result(), b"raw")
        early = await tasks.read_task("t")
        assert early is not None
        submission_ids.append(early.submission_id)

    pipeline.provider.on_submit = callback
    pipeline.provider.answers = [Accepted("t")]
    await pipeline.service.submit(REQUEST)
    assert submission_ids == [None]
    task = await tasks.read_task("t")
    assert task is not None
    assert (task.status, task.submission_id) == (Status.SUCCEEDED, ID)


def announcing(pipeline: Pipeline, announce: Callable[[str], Any]) -> None:
    """Let the service tell of early results."""
    submitter = Submitter(
        pipeline.provider,
        pipeline.lines.log,
        clock=pipeline.clock,
        sleep=pipeline.sleeper,
        announce=announce,
    )
    pipeline.restart(submitter=submitter)


async def test_submit_with_an_early_result_tells_it_with_its_submission(
    pipeline: Pipeline,
) -> None:
    """Its own event had no submission; another result is told by subscriber alone."""
    tasks = TaskStore(pipeline.documents, Retrier())
    told: list[tuple[str, str | None]] = []

    async def announce(task_id: str) -> None:
        told.append((task_id, (await pipeline.task(task_id)).submission_id))

    announcing(pipeline, announce)
    pipeline.provider.on_submit = lambda _: tasks.save_result(a_result(), b"raw")
    pipeline.provider.answers = [Accepted("t")]
    await pipeline.service.submit(REQUEST)
    assert told == [("t", ID)]
    await pipeline.service.submit(SubmitAsset("re_2", {}))
    assert len(told) == 1


async def test_run_again_after_a_purchase_tells_its_early_result(pipeline: Pipeline) -> None:
    """The process may have died between the commit and the event."""
    told: list[str] = []

    async def announce(task_id: str) -> None:
        told.append(task_id)

    await pipeline.service.submit(REQUEST)
    result = replace(a_result(), task_id="task-1")
    await TaskStore(pipeline.documents, Retrier()).save_result(result, b"raw")
    announcing(pipeline, announce)
    assert (await pipeline.service.run(ID)).task_id == "task-1"
    assert told == ["task-1"]


async def test_submit_whose_early_result_is_not_announced_answers_and_logs(
    pipeline: Pipeline,
) -> None:
    """The purchase is recorded; an alert fires."""
    tasks = TaskStore(pipeline.documents, Retrier())

    async def announce(_: str) -> None:
        raise PublishUnavailable("no broker")

    announcing(pipeline, announce)
    pipeline.provider.on_submit = lambda _: tasks.save_result(a_result(), b"raw")
    pipeline.provider.answers = [Accepted("t")]
    assert (await pipeline.service.submit(REQUEST)).task_id == "t"
    (event,) = pipeline.lines.named("result_not_announced")
    assert (event["severity"], event["task_id"]) == ("ERROR", "t")


async def test_submit_after_losing_its_lease_stops(pipeline: Pipeline) -> None:
    """Another instance works on the entry."""
    other = pipeline.instance()
    pipeline.provider.answers = [RateLimited()]
    pause: Callable[[float], Any] = pipeline.sleeper

    async def oversleep(seconds: float) -> None:
        await pause(seconds)
        pipeline.clock.advance(seconds=LEASE.total_seconds())
        assert (await other.submit(REQUEST)).duplicate is False

    pipeline.restart(sleep=oversleep)
    error = await pipeline.refused()
    assert error.code == "submission_in_progress"
    assert len(pipeline.provider.submitted) == 2
    assert (await pipeline.submission()).task_id == "task-2"


async def test_submit_forced_during_another_is_in_progress(pipeline: Pipeline) -> None:
    """A forced request does not share the answer of a request without force."""
    plain, forced = await asyncio.gather(
        pipeline.service.submit(REQUEST), pipeline.service.submit(FORCED), return_exceptions=True
    )
    assert plain == Receipt("task-1", ID, duplicate=False, labels=REQUEST.labels)
    assert isinstance(forced, SubmissionError)
    assert forced.code == "submission_in_progress"


async def test_submit_after_a_lost_answer_repeats_its_reason(pipeline: Pipeline) -> None:
    """The details of every later answer have the reason of the first one."""
    pipeline.provider.answers = [AnswerLost("ReadTimeout")]
    await pipeline.refused()
    assert (await pipeline.refused()).details == {"reason": "ReadTimeout"}
    (event,) = pipeline.lines.named("answer_lost")
    assert (event["severity"], event["submission_id"]) == ("ERROR", ID)
    assert event["reason"] == "ReadTimeout"


async def test_submit_of_a_disconnected_caller_retrieves_its_error(
    pipeline: Pipeline,
) -> None:
    """Otherwise Python would print the error, with its message, when the task is collected."""
    reported: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    try:
        pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
        buying = asyncio.ensure_future(pipeline.service.submit(REQUEST))
        while not pipeline.provider.submitted:
            await asyncio.sleep(0)
        buying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await buying
        await eventually(lambda: pipeline.service._submitting == {})
        await asyncio.sleep(0)
        gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert reported == []


async def test_finished_purchase_that_was_cancelled_is_forgotten() -> None:
    """The event loop would log an error that the callback raises."""
    cancelled = asyncio.ensure_future(asyncio.Event().wait())
    cancelled.cancel()
    await asyncio.wait({cancelled})
    under_way = {ID: cancelled}
    _finished(under_way, ID, cancelled)
    assert under_way == {}
