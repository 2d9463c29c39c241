"""Buying a transcript, once."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import (
    Outage,
    TryOnce,
)
from tests.pipeline import ASSET, ID, ORDER, Pipeline
from tests.polling import eventually
from transcripts.errors import DocumentRefused, RetryLater, StoreUnavailable, SubmissionError
from transcripts.mavi.answers import (
    Accepted,
    Ambiguous,
    AnswerLost,
    AssetState,
    NotSent,
    RateLimited,
    Refusal,
    Refused,
    SubmitAnswer,
)
from transcripts.ports import Read
from transcripts.retry import Retrier
from transcripts.submissions.lease import Lease
from transcripts.submissions.requests import SubmitAsset, SubmitAssets
from transcripts.submissions.submission import (
    SpendCounter,
    State,
)
from transcripts.submissions.submitter import REMEDIES, CallPolicy, Receipt, Submitter
from transcripts.submissions.transitions import LEASE
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Status

from .test_merge import a_result

FORCED = SubmitAsset(ASSET, {}, force=True)


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


async def test_submit_new_asset_records_purchase_and_task(pipeline: Pipeline) -> None:
    """The ledger names the task, and the task names the submission."""
    pipeline = Pipeline(retention_days=3)
    receipt = await pipeline.service.submit(ORDER)
    assert receipt == Receipt("task-1", ID, duplicate=False)
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
    await pipeline.service.submit(ORDER)
    assert seen == ["submitting"]


async def test_submit_bought_asset_returns_its_task(pipeline: Pipeline) -> None:
    """A repeated request writes nothing."""
    await pipeline.service.submit(ORDER)
    for service in (pipeline.service, pipeline.instance()):
        assert await service.submit(ORDER) == Receipt("task-1", ID, duplicate=True)
    assert pipeline.provider.submitted == [ASSET]


async def test_submit_identical_requests_share_one_purchase(pipeline: Pipeline) -> None:
    """Exactly one of the requests is no duplicate."""
    receipts = await asyncio.gather(*(pipeline.service.submit(ORDER) for _ in range(100)))
    assert {receipt.task_id for receipt in receipts} == {"task-1"}
    assert [receipt.duplicate for receipt in receipts].count(False) == 1
    assert pipeline.provider.submitted == [ASSET]


async def test_submit_in_racing_instances_buys_once(pipeline: Pipeline) -> None:
    """The second instance answers ``submission_in_progress``."""
    results = await asyncio.gather(
        *(pipeline.instance().submit(ORDER) for _ in range(10)), return_exceptions=True
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
        *(pipeline.service.submit(ORDER) for _ in range(5)), return_exceptions=True
    )
    assert [getattr(result, "code", None) for result in results] == ["provider_auth"] * 5
    assert pipeline.provider.submitted == [ASSET]


async def test_submit_of_a_disconnected_caller_is_completed(pipeline: Pipeline) -> None:
    """The purchase is recorded although the caller has closed its connection."""
    buying = asyncio.ensure_future(pipeline.service.submit(ORDER))
    while not pipeline.provider.submitted:
        await asyncio.sleep(0)
    buying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await buying
    receipt = await pipeline.service.submit(ORDER)
    assert receipt == Receipt("task-1", ID, duplicate=True)
    assert pipeline.provider.submitted == [ASSET]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Refused(Refusal.AUTH, 401), "provider_auth"),
        (Refused(Refusal.NO_CREDIT, 402), "provider_no_credit"),
        (Refused(Refusal.NO_WEBHOOK, 400), "provider_no_webhook"),
        (Refused(Refusal.ERROR, 409), "provider_error"),
    ],
)
async def test_submit_refused_is_recorded_and_can_be_repeated(
    pipeline: Pipeline, answer: Refused, code: str
) -> None:
    """Once the cause is repaired, the asset is bought."""
    pipeline.provider.answers = [answer]
    error = await pipeline.refused()
    assert (error.code, error.status, error.message) == (code, 502, REMEDIES[code])
    submission = await pipeline.submission()
    assert (submission.state, submission.reason) == (State.REJECTED, code)
    assert pipeline.sleeper.slept == []
    assert (await pipeline.service.submit(ORDER)).duplicate is False


@pytest.mark.parametrize("answer", [RateLimited(), NotSent("refused")])
async def test_submit_that_bought_nothing_is_retried(pipeline: Pipeline, answer: Any) -> None:
    """The pauses are 1, 2, 4 … seconds; meanwhile the entry is ``pending``."""
    pipeline.provider.answers = [answer, answer, answer]
    states: list[str] = []
    sleep = pipeline.sleeper

    async def sleeping(seconds: float) -> None:
        states.append(pipeline.documents.content[f"submissions/{ID}"]["state"])
        await sleep(seconds)

    pipeline.restart(sleep=sleeping)
    assert (await pipeline.service.submit(ORDER)).task_id == "task-4"
    assert sleep.slept == [1.0, 2.0, 4.0]
    assert states == ["pending"] * 3


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (RateLimited(), "provider_rate_limited", 429),
        (NotSent("ConnectionError"), "provider_error", 502),
        (Ambiguous(), "provider_error", 502),
    ],
)
async def test_submit_retries_are_bounded(
    pipeline: Pipeline, answer: Any, code: str, status: int
) -> None:
    """After six retries, the asset may be submitted again without ``force``."""
    pipeline.provider.answers = [answer] * 7
    error = await pipeline.refused()
    assert (error.code, error.status) == (code, status)
    assert (error.retry_after_s is not None) == (status == 429)
    assert pipeline.sleeper.slept == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert len(pipeline.provider.submitted) == 7
    assert (await pipeline.submission()).state is State.REJECTED
    assert (await pipeline.service.submit(ORDER)).duplicate is False


async def test_submit_respects_retry_after(pipeline: Pipeline) -> None:
    """The pause of the provider is used within bounds."""
    pipeline.provider.answers = [RateLimited(5.0), RateLimited(900.0)]
    await pipeline.service.submit(ORDER)
    assert pipeline.sleeper.slept == [5.0, 32.0]


@pytest.mark.parametrize(
    ("states", "code", "status"),
    [
        ([AssetState.MISSING, AssetState.MISSING], "asset_not_found", 404),
        ([None, AssetState.MISSING, AssetState.MISSING], "asset_not_found", 404),
        ([AssetState.WAITING], "asset_not_ready", 409),
        ([AssetState.UPLOADING], "asset_not_ready", 409),
        ([AssetState.FAILED], "asset_not_ready", 409),
    ],
)
async def test_submit_with_400_reads_the_metadata(
    pipeline: Pipeline, states: list[AssetState | None], code: str, status: int
) -> None:
    """The metadata tell that the asset is unknown or its upload is not complete."""
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = list(states)
    error = await pipeline.refused()
    assert (error.code, error.status) == (code, status)
    assert pipeline.provider.asked == [ASSET] * len(states)
    assert (await pipeline.submission()).state is State.REJECTED


@pytest.mark.parametrize(
    "states",
    [
        [AssetState.READY],
        [AssetState.MISSING, AssetState.READY],
        [None, None, None],
        [AssetState.UNKNOWN] * 3,
    ],
)
async def test_submit_with_400_for_a_ready_asset_is_retried(
    pipeline: Pipeline, states: list[AssetState | None]
) -> None:
    """The 400 was rate limiting; the metadata are read once."""
    pipeline.provider.answers = [Ambiguous(), Ambiguous()]
    pipeline.provider.states = list(states)
    assert (await pipeline.service.submit(ORDER)).duplicate is False
    assert len(pipeline.provider.asked) == len(states)


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
    assert receipt == Receipt("task-2", ID, duplicate=False)
    assert [item.state for item in (await pipeline.submission()).previous_attempts] == [
        State.SUBMIT_UNKNOWN
    ]


async def test_submit_forced_buys_again(pipeline: Pipeline) -> None:
    """Two purchases have two tasks in one entry."""
    await pipeline.service.submit(ORDER)
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
    await pipeline.service.submit(ORDER)
    assert submission_ids == [None]
    task = await tasks.read_task("t")
    assert task is not None
    assert (task.status, task.submission_id) == (Status.SUCCEEDED, ID)


async def test_submit_at_the_spend_cap_is_refused() -> None:
    """Requests are refused until midnight UTC; a rejected purchase does not count."""
    pipeline = Pipeline(cap_per_day=2)
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.refused()
    for number in range(2):
        await pipeline.service.submit(SubmitAsset(f"re_{number + 10}", {}))
    error = await pipeline.refused()
    assert (error.code, error.status, error.retry_after_s) == ("budget_exhausted", 429, 75355)
    pipeline.clock.advance(days=1)
    assert (await pipeline.service.submit(ORDER)).duplicate is False


async def test_submit_without_a_store_buys_nothing(pipeline: Pipeline) -> None:
    """Without the ledger there is no purchase."""
    pipeline.documents.before = Outage(10**6)
    pipeline.restart(retrier=TryOnce())
    with pytest.raises(StoreUnavailable):
        await pipeline.service.submit(ORDER)
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
    receipt = await pipeline.service.submit(ORDER)
    pipeline.documents.before = pipeline.documents.after = lambda _: None
    assert receipt == Receipt("task-1", ID, duplicate=False)
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
    assert (await pipeline.service.submit(ORDER)).task_id == "task-1"
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


async def test_submit_after_losing_its_lease_stops(pipeline: Pipeline) -> None:
    """Another instance works on the entry."""
    other = pipeline.instance()
    pipeline.provider.answers = [RateLimited()]
    pause: Callable[[float], Any] = pipeline.sleeper

    async def oversleep(seconds: float) -> None:
        await pause(seconds)
        pipeline.clock.advance(seconds=LEASE.total_seconds())
        assert (await other.submit(ORDER)).duplicate is False

    pipeline.restart(sleep=oversleep)
    error = await pipeline.refused()
    assert error.code == "submission_in_progress"
    assert len(pipeline.provider.submitted) == 2
    assert (await pipeline.submission()).task_id == "task-2"


async def test_every_error_code_has_a_remedy() -> None:
    """Every error tells an operator what to do."""
    assert set(REMEDIES) == set(SubmissionError.STATUSES)
    assert all(len(mend) > 30 for mend in REMEDIES.values())


@pytest.mark.parametrize("refusal", [Refused(Refusal.NO_CREDIT, 402), RateLimited()])
async def test_submit_forced_and_refused_restores_the_purchase(
    pipeline: Pipeline, refusal: SubmitAnswer
) -> None:
    """The next request finds the previous purchase."""
    await pipeline.service.submit(ORDER)
    pipeline.provider.answers = [refusal] * 8
    await pipeline.refused(FORCED)
    entry = await pipeline.submission()
    assert (entry.state, entry.task_id, entry.previous_attempts) == (State.SUBMITTED, "task-1", [])
    assert (entry.reason or "").startswith("repetition: provider_")
    pipeline.provider.answers = []
    again = await pipeline.service.submit(ORDER)
    assert again == Receipt("task-1", ID, duplicate=True)


async def test_submit_forced_and_refused_restores_the_unknown_purchase(
    pipeline: Pipeline,
) -> None:
    """The next request without ``force`` still buys nothing."""
    pipeline.provider.answers = [AnswerLost("gone"), Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.refused()
    await pipeline.refused(FORCED)
    assert (await pipeline.submission()).state is State.SUBMIT_UNKNOWN
    error = await pipeline.refused()
    assert (error.code, error.status) == ("submit_unknown", 409)
    assert len(pipeline.provider.submitted) == 2


async def test_submit_forced_without_a_store_is_restored_by_the_sweep() -> None:
    """The caller got an error and nothing was sent, so no later run may buy it."""
    pipeline = Pipeline(cap_per_day=5)
    await pipeline.service.submit(ORDER)
    pipeline.lose_the_store_after_the_claim()
    with pytest.raises(StoreUnavailable):
        await pipeline.service.submit(FORCED)
    pipeline.documents.before = lambda _: None
    pipeline.clock.advance(hours=3)
    assert (await pipeline.sweeper().run()).requeued == 0
    entry = await pipeline.submission()
    assert (entry.state, entry.task_id) == (State.SUBMITTED, "task-1")
    assert pipeline.queue.tasks == {}
    assert (await pipeline.service.submit(ORDER)).duplicate
    assert len(pipeline.provider.submitted) == 1
    (budget,) = await pipeline.documents.read(Read("spend_counters/2026-01-02", SpendCounter))
    assert budget is not None
    assert budget.value.submissions == 1


async def test_reject_repeated_uncounts_once() -> None:
    """A lost acknowledgement does not uncount the purchase twice."""
    pipeline = Pipeline(cap_per_day=2)
    await pipeline.service.submit(SubmitAsset("re_2", {}))
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    rejections = 0

    def after(operation: str) -> None:
        nonlocal rejections
        writes = pipeline.documents.commits[-1] if operation == "commit" else ()
        if any(getattr(write.value, "state", None) is State.REJECTED for write in writes):
            rejections += 1
            if rejections == 1:
                raise StoreUnavailable("the answer was lost")

    pipeline.documents.after = after
    await pipeline.refused()
    assert rejections == 1
    (budget,) = await pipeline.documents.read(Read("spend_counters/2026-01-02", SpendCounter))
    assert budget is not None
    assert budget.value.submissions == 1


async def test_submit_forced_during_another_is_in_progress(pipeline: Pipeline) -> None:
    """A forced request does not share the answer of a request without force."""
    plain, forced = await asyncio.gather(
        pipeline.service.submit(ORDER), pipeline.service.submit(FORCED), return_exceptions=True
    )
    assert plain == Receipt("task-1", ID, duplicate=False)
    assert isinstance(forced, SubmissionError)
    assert forced.code == "submission_in_progress"


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


async def counted(pipeline: Pipeline, day: str = "2026-01-02") -> int:
    """Return the count of a day against the spend cap."""
    (counter,) = await pipeline.documents.read(Read(f"spend_counters/{day}", SpendCounter))
    return counter.value.submissions if counter else 0


async def test_submit_two_assets_at_once_at_the_cap_buys_one() -> None:
    """The counter is written against the version that was read."""
    pipeline = Pipeline(cap_per_day=1)
    answers = await asyncio.gather(
        *(pipeline.instance().submit(SubmitAsset(f"re_{n}", {})) for n in range(2)),
        return_exceptions=True,
    )
    codes = [each.code for each in answers if isinstance(each, SubmissionError)]
    assert codes == ["budget_exhausted"]
    assert len(pipeline.provider.submitted) == 1
    assert await counted(pipeline) == 1


async def test_reject_with_a_lost_acknowledgement_uncounts_once() -> None:
    """The repeated commit finds the entry that the first commit has written."""
    pipeline = Pipeline(cap_per_day=9)
    await pipeline.service.submit(SubmitAsset("re_2", {}))
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    lost: list[str] = []

    def lose_the_rejection(operation: str) -> None:
        entry = pipeline.documents.content.get(f"submissions/{ID}", {})
        if operation == "commit" and entry.get("state") == "rejected" and not lost:
            lost.append(operation)
            raise StoreUnavailable("the acknowledgement is lost")

    pipeline.documents.after = lose_the_rejection
    assert (await pipeline.refused()).code == "provider_no_credit"
    assert lost
    assert await counted(pipeline) == 1


async def test_reject_on_the_next_day_uncounts_on_the_day_of_the_purchase() -> None:
    """The counter of the new day does not change."""
    pipeline = Pipeline(cap_per_day=9)

    def midnight(asset_id: str) -> None:
        if asset_id == ASSET:
            pipeline.clock.advance(days=1)

    pipeline.provider.on_submit = midnight
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.refused()
    await pipeline.service.submit(SubmitAsset("re_2", {}))
    assert await counted(pipeline, "2026-01-02") == 0
    assert await counted(pipeline, "2026-01-03") == 1


async def test_run_of_a_listed_asset_that_is_missing_is_rejected() -> None:
    """Only an asset that this pipeline uploaded today may be missing because of rate limiting."""
    pipeline = Pipeline()
    await pipeline.intake.enqueue_assets(SubmitAssets((ASSET,), {}))
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.MISSING, AssetState.MISSING]
    result = await pipeline.service.run(ID)
    assert (result.state, result.reason) == (State.REJECTED, "asset_not_found")


async def test_run_of_an_uploaded_asset_that_is_missing_is_retried() -> None:
    """The asset existed a moment ago, so the answer means rate limiting."""
    pipeline = Pipeline()
    submission_id = await pipeline.drop()
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.READY, AssetState.MISSING, AssetState.MISSING]
    with pytest.raises(RetryLater):
        await pipeline.service.run(submission_id)
    pipeline.clock.advance(days=2)
    pipeline.provider.answers = [Ambiguous()]
    pipeline.provider.states = [AssetState.READY, AssetState.MISSING, AssetState.MISSING]
    result = await pipeline.service.run(submission_id)
    assert (result.state, result.reason) == (State.REJECTED, "asset_not_found")


async def test_run_of_an_upload_that_is_refused_is_rejected() -> None:
    """Neither way of uploading works, so nothing is submitted."""
    pipeline = Pipeline()
    submission_id = await pipeline.drop()
    pipeline.provider.signed = [Refused(Refusal.ERROR, 405)]
    pipeline.provider.uploads = [Refused(Refusal.ERROR, 415)]
    result = await pipeline.service.run(submission_id)
    assert (result.state, result.reason) == (State.REJECTED, "provider_error")
    assert pipeline.provider.submitted == []


class RejectsTwice(Submitter):
    """Rejects, and once more with the entry as it was before."""

    async def submit(self, lease: Lease, asset_id: str, policy: CallPolicy) -> Receipt:
        day = lease.entry.spend_day
        await lease.reject("first")
        # The store looks as if another process had rejected the entry meanwhile.
        lease.entry = replace(lease.entry, spend_day=day)
        await lease.reject("second")
        raise SubmissionError("provider_error", "refused")


async def test_lease_rejected_twice_uncounts_once() -> None:
    """The second rejection finds an entry that does not count."""
    pipeline = Pipeline(cap_per_day=9)
    await pipeline.service.submit(SubmitAsset("re_2", {}))
    submitter = RejectsTwice(pipeline.provider, pipeline.lines.log, clock=pipeline.clock)
    pipeline.restart(submitter=submitter)
    await pipeline.refused()
    assert await counted(pipeline) == 1


async def test_refusal_is_logged_with_its_code_and_submission(pipeline: Pipeline) -> None:
    """The log alone tells which submission was refused, and why."""
    pipeline.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await pipeline.refused()
    (event,) = pipeline.lines.named("rejected")
    assert (event["severity"], event["submission_id"]) == ("WARNING", ID)
    assert (event["code"], event["http_status"]) == ("provider_no_credit", 402)


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
        buying = asyncio.ensure_future(pipeline.service.submit(ORDER))
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
