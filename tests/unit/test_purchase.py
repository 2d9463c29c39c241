"""Buying a transcript, once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes import (
    Outage,
    TryOnce,
)
from tests.polling import eventually
from tests.shops import ASSET, ID, ORDER, Shop
from transcripts.errors import DocumentRefused, StoreUnavailable, SubmissionError
from transcripts.mavi.answers import (
    Accepted,
    Ambiguous,
    AssetState,
    Lost,
    NotSent,
    RateLimited,
    Refusal,
    Refused,
    SubmitAnswer,
)
from transcripts.ports import Read
from transcripts.retry import Retrier
from transcripts.submissions.buyer import MENDS, Receipt
from transcripts.submissions.orders import Order
from transcripts.submissions.steps import LEASE
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.submission import (
    Budget,
    State,
)
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Status

from .test_merge import a_result

FORCED = Order(ASSET, {}, force=True)


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def test_an_asset_is_bought_and_recorded(shop: Shop) -> None:
    """The ledger has the task, and the task has the submission."""
    shop = Shop(retention_days=3)
    receipt = await shop.purchaser.buy(ORDER)
    assert receipt == Receipt("task-1", ID, duplicate=False)
    submission = await shop.submission()
    assert (submission.state, submission.task_id, submission.labels) == (
        State.SUBMITTED,
        "task-1",
        {"case": "7"},
    )
    assert submission.submitted_at == shop.clock.now
    task = await TaskStore(shop.documents, Retrier()).read_task("task-1")
    assert task is not None
    assert (task.status, task.claimed, task.submission_id, task.asset_id, task.labels) == (
        Status.SUBMITTED,
        True,
        ID,
        ASSET,
        {"case": "7"},
    )
    assert task.expires_at == shop.clock.now + timedelta(days=3)


async def test_the_intent_is_recorded_before_the_call(shop: Shop) -> None:
    """A process that dies during the call leaves ``submitting`` behind."""
    seen: list[str] = []
    shop.provider.on_submit = lambda _: seen.append(
        shop.documents.content[f"submissions/{ID}"]["state"]
    )
    await shop.purchaser.buy(ORDER)
    assert seen == ["submitting"]


async def test_a_bought_asset_is_not_bought_again(shop: Shop) -> None:
    """By this instance or another."""
    await shop.purchaser.buy(ORDER)
    for purchaser in (shop.purchaser, shop.instance()):
        assert await purchaser.buy(ORDER) == Receipt("task-1", ID, duplicate=True)
    assert shop.provider.submitted == [ASSET]


async def test_a_hundred_identical_orders_share_one_purchase(shop: Shop) -> None:
    """In one instance they wait for the one answer; only one of them is no duplicate."""
    receipts = await asyncio.gather(*(shop.purchaser.buy(ORDER) for _ in range(100)))
    assert {receipt.task_id for receipt in receipts} == {"task-1"}
    assert [receipt.duplicate for receipt in receipts].count(False) == 1
    assert shop.provider.submitted == [ASSET]


async def test_two_instances_racing_buy_once(shop: Shop) -> None:
    """The one that comes second is told to wait."""
    results = await asyncio.gather(
        *(shop.instance().buy(ORDER) for _ in range(10)), return_exceptions=True
    )
    assert shop.provider.submitted == [ASSET]
    for result in results:
        if isinstance(result, SubmissionError):
            assert (result.code, result.status) == ("submission_in_progress", 409)
            assert result.retry_after_s
        else:
            assert isinstance(result, Receipt)
            assert result.task_id == "task-1"


async def test_followers_share_the_error_too(shop: Shop) -> None:
    """Nobody tries again behind the leader's back."""
    shop.provider.answers = [Refused(Refusal.AUTH, 401)]
    results = await asyncio.gather(
        *(shop.purchaser.buy(ORDER) for _ in range(5)), return_exceptions=True
    )
    assert [getattr(result, "code", None) for result in results] == ["provider_auth"] * 5
    assert shop.provider.submitted == [ASSET]


async def test_a_caller_that_hangs_up_does_not_stop_the_purchase(shop: Shop) -> None:
    """What was begun is brought to its end and recorded."""
    buying = asyncio.ensure_future(shop.purchaser.buy(ORDER))
    while not shop.provider.submitted:
        await asyncio.sleep(0)
    buying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await buying
    receipt = await shop.purchaser.buy(ORDER)
    assert receipt == Receipt("task-1", ID, duplicate=True)
    assert shop.provider.submitted == [ASSET]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Refused(Refusal.AUTH, 401), "provider_auth"),
        (Refused(Refusal.NO_CREDIT, 402), "provider_no_credit"),
        (Refused(Refusal.NO_WEBHOOK, 400), "provider_no_webhook"),
        (Refused(Refusal.ERROR, 409), "provider_error"),
    ],
)
async def test_a_refusal_is_said_recorded_and_no_obstacle(
    shop: Shop, answer: Refused, code: str
) -> None:
    """502 with what mends it; once mended, the same asset is bought."""
    shop.provider.answers = [answer]
    error = await shop.refused()
    assert (error.code, error.status, error.message) == (code, 502, MENDS[code])
    submission = await shop.submission()
    assert (submission.state, submission.reason) == (State.REJECTED, code)
    assert shop.sleeper.slept == []
    assert (await shop.purchaser.buy(ORDER)).duplicate is False


@pytest.mark.parametrize("answer", [RateLimited(), NotSent("refused")])
async def test_what_bought_nothing_is_tried_again(shop: Shop, answer: Any) -> None:
    """After 1, 2, 4 … seconds; in between the ledger says that nothing is under way."""
    shop.provider.answers = [answer, answer, answer]
    states: list[str] = []
    sleep = shop.sleeper

    async def sleeping(seconds: float) -> None:
        states.append(shop.documents.content[f"submissions/{ID}"]["state"])
        await sleep(seconds)

    shop.patch_sleep(sleeping)
    assert (await shop.purchaser.buy(ORDER)).task_id == "task-4"
    assert sleep.slept == [1.0, 2.0, 4.0]
    assert states == ["claimed"] * 3


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (RateLimited(), "provider_rate_limited", 429),
        (NotSent("ConnectionError"), "provider_error", 502),
        (Ambiguous(), "provider_error", 502),
    ],
)
async def test_retries_are_bounded(shop: Shop, answer: Any, code: str, status: int) -> None:
    """Six of them; then the asset may be submitted again without force."""
    shop.provider.answers = [answer] * 7
    error = await shop.refused()
    assert (error.code, error.status) == (code, status)
    assert (error.retry_after_s is not None) == (status == 429)
    assert shop.sleeper.slept == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert len(shop.provider.submitted) == 7
    assert (await shop.submission()).state is State.REJECTED
    assert (await shop.purchaser.buy(ORDER)).duplicate is False


async def test_the_provider_may_ask_for_a_longer_pause(shop: Shop) -> None:
    """Within bounds."""
    shop.provider.answers = [RateLimited(5.0), RateLimited(900.0)]
    await shop.purchaser.buy(ORDER)
    assert shop.sleeper.slept == [5.0, 32.0]


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
async def test_the_metadata_tell_what_a_400_means(
    shop: Shop, states: list[AssetState | None], code: str, status: int
) -> None:
    """An unknown asset, or one whose upload is not complete."""
    shop.provider.answers = [Ambiguous()]
    shop.provider.states = list(states)
    error = await shop.refused()
    assert (error.code, error.status) == (code, status)
    assert shop.provider.asked == [ASSET] * len(states)
    assert (await shop.submission()).state is State.REJECTED


@pytest.mark.parametrize(
    "states",
    [
        [AssetState.READY],
        [AssetState.MISSING, AssetState.READY],
        [None, None, None],
        [AssetState.UNKNOWN] * 3,
    ],
)
async def test_a_400_for_an_asset_that_is_ready_is_tried_again(
    shop: Shop, states: list[AssetState | None]
) -> None:
    """It was rate limiting; the metadata are asked only once."""
    shop.provider.answers = [Ambiguous(), Ambiguous()]
    shop.provider.states = list(states)
    assert (await shop.purchaser.buy(ORDER)).duplicate is False
    assert len(shop.provider.asked) == len(states)


async def test_a_lost_answer_is_never_repeated_unasked(shop: Shop) -> None:
    """504 the first time, 409 ever after, until it is forced; then both are on record."""
    shop.provider.answers = [Lost("ReadTimeout")]
    error = await shop.refused()
    assert (error.code, error.status, error.details) == (
        "submit_unknown",
        504,
        {"reason": "ReadTimeout"},
    )
    for _ in range(3):
        again = await shop.refused()
        assert (again.code, again.status) == ("submit_unknown", 409)
    assert shop.provider.submitted == [ASSET]
    receipt = await shop.purchaser.buy(FORCED)
    assert receipt == Receipt("task-2", ID, duplicate=False)
    assert [item.state for item in (await shop.submission()).earlier] == [State.SUBMIT_UNKNOWN]


async def test_force_buys_again_and_remembers_the_first(shop: Shop) -> None:
    """Two tasks, two purchases, one ledger entry."""
    await shop.purchaser.buy(ORDER)
    assert (await shop.purchaser.buy(FORCED)).task_id == "task-2"
    submission = await shop.submission()
    assert (submission.task_id, [item.task_id for item in submission.earlier]) == (
        "task-2",
        ["task-1"],
    )


async def test_a_result_that_came_before_its_submission_is_joined(shop: Shop) -> None:
    """The callback overtakes the answer of the submit that caused it."""
    tasks = TaskStore(shop.documents, Retrier())
    early: list[asyncio.Task[Any]] = []

    def callback(_: str) -> None:
        early.append(asyncio.ensure_future(tasks.save_result(a_result(), b"raw")))

    shop.provider.on_submit = callback
    shop.provider.answers = []
    original = shop.provider.submit

    async def submit(asset_id: str, patience_s: float, intent: Any) -> Any:
        await original(asset_id, patience_s, intent)
        await asyncio.gather(*early)
        task = await tasks.read_task("t")
        assert task is not None
        assert task.claimed is False
        return Accepted("t")

    shop.provider.submit = submit  # type: ignore[method-assign] # one test's own provider
    await shop.purchaser.buy(ORDER)
    task = await tasks.read_task("t")
    assert task is not None
    assert (task.status, task.claimed, task.submission_id) == (Status.SUCCEEDED, True, ID)


async def test_the_cap_stops_spending_and_refusals_give_back() -> None:
    """429 with the seconds until midnight UTC; a refused job costs nothing."""
    shop = Shop(cap_per_day=2)
    shop.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    await shop.refused()
    for number in range(2):
        await shop.purchaser.buy(Order(f"re_{number + 10}", {}))
    error = await shop.refused()
    assert (error.code, error.status, error.retry_after_s) == ("budget_exhausted", 429, 75355)
    shop.clock.advance(days=1)
    assert (await shop.purchaser.buy(ORDER)).duplicate is False


async def test_a_store_that_is_down_buys_nothing(shop: Shop) -> None:
    """No ledger, no purchase."""
    shop.documents.before = Outage(10**6)
    shop.purchaser._store = SubmissionStore(shop.documents, TryOnce())
    with pytest.raises(StoreUnavailable):
        await shop.purchaser.buy(ORDER)
    assert shop.provider.submitted == []


@pytest.mark.parametrize("only", ["read", "commit"])
@pytest.mark.parametrize("lost", [True, False])
async def test_outages_at_any_step_buy_once(shop: Shop, only: str, lost: bool) -> None:  # noqa: FBT001 - parametrized
    """Every third read or commit fails, before it takes effect or after."""
    calls = itertools.count()

    def fail(operation: str) -> None:
        if operation == only and next(calls) % 3 == 0:
            raise StoreUnavailable("no store")

    if lost:
        shop.documents.after = fail
    else:
        shop.documents.before = fail
    receipt = await shop.purchaser.buy(ORDER)
    shop.documents.before = shop.documents.after = lambda _: None
    assert receipt == Receipt("task-1", ID, duplicate=False)
    assert shop.provider.submitted == [ASSET]
    assert (await shop.submission()).state is State.SUBMITTED


async def test_a_job_that_was_bought_is_recorded_for_minutes(shop: Shop) -> None:
    """The store fails after the purchase: we insist, since nobody else knows the task."""
    shop.purchaser._store = SubmissionStore(shop.documents, TryOnce())

    def store_goes_down(_: str) -> None:
        shop.documents.before = down

    def down(_: str) -> None:
        if len(shop.sleeper.slept) < 60:
            raise StoreUnavailable("no store")

    shop.provider.on_submit = store_goes_down
    assert (await shop.purchaser.buy(ORDER)).task_id == "task-1"
    assert (await shop.submission()).state is State.SUBMITTED


async def test_a_job_that_can_not_be_recorded_is_at_least_said(shop: Shop) -> None:
    """504 with the task, and an error in the log; nothing is bought twice afterwards."""
    shop.purchaser._store = SubmissionStore(shop.documents, TryOnce())
    shop.provider.on_submit = lambda _: setattr(shop.documents, "before", Outage(10**9))
    error = await shop.refused()
    assert (error.code, error.status, error.details) == (
        "submit_unknown",
        504,
        {"task_id": "task-1"},
    )
    assert shop.lines.named("bought_but_not_recorded")[0]["task_id"] == "task-1"
    shop.documents.before = lambda _: None
    assert (await shop.refused()).code in ("submission_in_progress", "submit_unknown")
    shop.clock.advance(seconds=LEASE.total_seconds() + 1)
    assert (await shop.refused()).code == "submit_unknown"
    assert shop.provider.submitted == [ASSET]


async def test_a_claim_taken_over_during_a_pause_is_respected(shop: Shop) -> None:
    """Who slept too long finds that somebody else is at it."""
    other = shop.instance()
    shop.provider.answers = [RateLimited()]
    pause: Callable[[float], Any] = shop.sleeper

    async def oversleep(seconds: float) -> None:
        await pause(seconds)
        shop.clock.advance(seconds=LEASE.total_seconds())
        assert (await other.buy(ORDER)).duplicate is False

    shop.patch_sleep(oversleep)
    error = await shop.refused()
    assert error.code == "submission_in_progress"
    assert len(shop.provider.submitted) == 2
    assert (await shop.submission()).task_id == "task-2"


async def test_every_code_has_its_mend() -> None:
    """An error without advice is half an error."""
    assert set(MENDS) == set(SubmissionError.STATUSES)
    assert all(len(mend) > 30 for mend in MENDS.values())


@pytest.mark.parametrize("refusal", [Refused(Refusal.NO_CREDIT, 402), RateLimited()])
async def test_a_refused_repetition_forgets_nothing(shop: Shop, refusal: SubmitAnswer) -> None:
    """What was bought before stays bought: the next plain order finds it."""
    await shop.purchaser.buy(ORDER)
    shop.provider.answers = [refusal] * 8
    await shop.refused(FORCED)
    entry = await shop.submission()
    assert (entry.state, entry.task_id, entry.earlier) == (State.SUBMITTED, "task-1", [])
    assert (entry.reason or "").startswith("repetition: provider_")
    shop.provider.answers = []
    again = await shop.purchaser.buy(ORDER)
    assert again == Receipt("task-1", ID, duplicate=True)


async def test_a_refused_repetition_of_what_is_unknown_leaves_it_unknown(shop: Shop) -> None:
    """A plain order still may not buy."""
    shop.provider.answers = [Lost("gone"), Refused(Refusal.NO_CREDIT, 402)]
    await shop.refused()
    await shop.refused(FORCED)
    assert (await shop.submission()).state is State.SUBMIT_UNKNOWN
    error = await shop.refused()
    assert (error.code, error.status) == ("submit_unknown", 409)
    assert len(shop.provider.submitted) == 2


async def test_a_repetition_that_found_no_store_was_never_asked_for(shop: Shop) -> None:
    """Nothing was sent; who wants it says force again."""
    shop = Shop(cap_per_day=5)
    await shop.purchaser.buy(ORDER)
    shop.lose_the_store_after_the_claim()
    with pytest.raises(StoreUnavailable):
        await shop.purchaser.buy(FORCED)
    shop.documents.before = lambda _: None

    async def is_restored() -> bool:
        entry = await shop.submission()
        return (entry.state, entry.task_id) == (State.SUBMITTED, "task-1")

    await eventually(is_restored)
    assert (await shop.purchaser.buy(ORDER)).duplicate
    assert len(shop.provider.submitted) == 1
    (budget,) = await shop.documents.read(Read("budgets/2026-01-02", Budget))
    assert budget is not None
    assert budget.value.submissions == 1


async def test_a_refund_is_given_once() -> None:
    """However often its acknowledgement is lost."""
    shop = Shop(cap_per_day=2)
    await shop.purchaser.buy(Order("re_2", {}))
    shop.provider.answers = [Refused(Refusal.NO_CREDIT, 402)]
    rejections = 0

    def after(operation: str) -> None:
        nonlocal rejections
        writes = shop.documents.commits[-1] if operation == "commit" else ()
        if any(getattr(write.value, "state", None) is State.REJECTED for write in writes):
            rejections += 1
            if rejections == 1:
                raise StoreUnavailable("the answer was lost")

    shop.documents.after = after
    await shop.refused()
    assert rejections == 1
    (budget,) = await shop.documents.read(Read("budgets/2026-01-02", Budget))
    assert budget is not None
    assert budget.value.submissions == 1


async def test_force_is_not_answered_by_who_has_none(shop: Shop) -> None:
    """It meets the claim of the other, and is told to come again."""
    plain, forced = await asyncio.gather(
        shop.purchaser.buy(ORDER), shop.purchaser.buy(FORCED), return_exceptions=True
    )
    assert plain == Receipt("task-1", ID, duplicate=False)
    assert isinstance(forced, SubmissionError)
    assert forced.code == "submission_in_progress"


async def test_a_job_whose_id_the_store_refuses_is_at_least_said(shop: Shop) -> None:
    """Its id is in the log, and nobody buys it again unasked."""

    def before(operation: str) -> None:
        if operation == "commit" and shop.provider.submitted:
            raise DocumentRefused("no such id")

    shop.documents.before = before
    error = await shop.refused()
    assert (error.code, error.details) == ("submit_unknown", {"task_id": "task-1"})
    (event,) = shop.lines.named("bought_but_not_recorded")
    assert event["task_id"] == "task-1"
