"""Buying: right now for whoever waits, or from the queue, object and all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from transcripts.errors import (
    NotYet,
    ObjectGone,
    ObjectUnavailable,
    SubmissionError,
    TransientError,
)
from transcripts.logs import Log
from transcripts.submissions import ledger, steps
from transcripts.submissions.buyer import Buyer, Patience, Receipt, submission_error
from transcripts.submissions.ledger import (
    AlreadyBought,
    AlreadyRejected,
    Change,
    ClaimDecision,
    Claimed,
    InProgress,
    MaybeBought,
    NotOnRecord,
    OverBudget,
    Wish,
)
from transcripts.submissions.orders import Order
from transcripts.submissions.recording import Recording
from transcripts.submissions.steps import ClaimLost
from transcripts.submissions.store import AssetTaken, SubmissionStore
from transcripts.submissions.submission import Budget, State, Submission
from transcripts.submissions.uploader import Uploader, UploadFailed

R = TypeVar("R")
K = TypeVar("K")

DIRECT: Final = Patience(turn_s=60.0, comes_again=False)
FROM_QUEUE: Final = Patience(turn_s=120.0, comes_again=True)

RUN_FOR: Final = timedelta(minutes=25)
"""The queue waits half an hour for an answer."""

RETRY_AFTER_S: Final = 60
"""What the queue is told when the storage is in trouble: by 503 it would slow down altogether."""


@dataclass(frozen=True)
class Ended:
    """How a run from the queue ended, with nothing left for the queue to do.

    The state, and the task or the reason.
    """

    submission_id: str
    state: State
    task_id: str | None = None
    reason: str | None = None


class Purchaser:
    """Buys transcripts; identical requests that come together share one purchase."""

    def __init__(
        self,
        store: SubmissionStore,
        buyer: Buyer,
        uploader: Uploader,
        log: Log,
        *,
        clock: Callable[[], datetime],
        new_claim_id: Callable[[], str],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        cap_per_day: int = 0,
    ) -> None:
        """Take the ledger, who buys and who uploads, and what time and chance are."""
        self._store = store
        self._buyer = buyer
        self._uploader = uploader
        self._log = log
        self._clock = clock
        self._new_claim_id = new_claim_id
        self._sleep = sleep
        self._cap_per_day = cap_per_day
        self._buying: dict[tuple[str, bool], asyncio.Task[Receipt]] = {}
        self._running: dict[str, asyncio.Task[Ended]] = {}
        self._handing_back: set[asyncio.Task[None]] = set()

    async def buy(self, order: Order) -> Receipt:
        """Buy an asset now, or find out that it is bought.

        Raises ``SubmissionError`` with one of its codes, and ``StoreUnavailable`` if nothing was
        begun. A caller that hangs up does not stop a purchase that was begun.
        """
        submission_id = await self._store.submission_id_of(order.asset_id)
        key = (submission_id, order.force)
        follows = key in self._buying
        receipt = await self._shared(self._buying, key, lambda: self._buy(submission_id, order))
        return replace(receipt, duplicate=receipt.duplicate or follows)

    async def run(self, submission_id: str) -> Ended:
        """Bring what is on record to its end: upload, wait, buy.

        Raises a ``TransientError`` if it has to be asked for again; what is done by then is
        recorded.
        """
        return await self._shared(self._running, submission_id, lambda: self._run(submission_id))

    async def _shared(
        self,
        under_way: dict[K, asyncio.Task[R]],
        key: K,
        work: Callable[[], Coroutine[None, None, R]],
    ) -> R:
        task = under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(work())
            under_way[key] = task
            task.add_done_callback(partial(_finished, under_way, key))
        return await asyncio.shield(task)

    async def _buy(self, submission_id: str, order: Order) -> Receipt:
        decision = await self._claim(
            self._wish(
                submission_id, asset_id=order.asset_id, labels=order.labels, force=order.force
            )
        )
        match decision:
            case AlreadyBought(submission):
                return Receipt(submission.task_id or "", submission_id, duplicate=True)
            case Claimed(submission):
                return await self._call(self._recording(submission), order)
            case InProgress(retry_after_s):
                raise _in_progress(retry_after_s)
            case MaybeBought(reason):
                raise submission_error("submit_unknown", status=409, details={"reason": reason})
            case OverBudget(retry_after_s):
                raise submission_error("budget_exhausted", retry_after_s=retry_after_s)
            case NotOnRecord() | AlreadyRejected():
                raise AssertionError("an order names its asset, and asks again what was rejected")

    async def _call(self, recording: Recording, order: Order) -> Receipt:
        try:
            known = await self._late_result(recording)
            if known is not None:
                return Receipt(known, recording.submission_id, duplicate=True)
            return await self._buyer.buy(recording, order.asset_id, DIRECT)
        except AssetTaken as taken:
            # Somebody has brought this very asset to Mavi meanwhile, and buys it over there.
            await self._give_way(recording, taken)
            return await self._buy(taken.submission_id, order)
        except ClaimLost as error:
            raise _in_progress(ledger.RETRY_AFTER_S) from error
        except TransientError:
            # Nothing was sent. The caller need not wait until that is on record.
            handing_back = asyncio.ensure_future(recording.hand_back())
            self._handing_back.add(handing_back)
            handing_back.add_done_callback(self._handing_back.discard)
            raise

    async def _run(self, submission_id: str) -> Ended:
        decision = await self._claim(self._wish(submission_id, again=False))
        match decision:
            case Claimed(submission):
                return await self._work(self._recording(submission))
            case AlreadyBought(submission):
                return Ended(submission_id, State.SUBMITTED, task_id=submission.task_id)
            case AlreadyRejected(submission):
                return Ended(submission_id, State.REJECTED, reason=submission.reason)
            case MaybeBought(reason):
                return Ended(submission_id, State.SUBMIT_UNKNOWN, reason=reason)
            case NotOnRecord():
                self._log.warning("not_on_record", submission_id=submission_id)
                return Ended(submission_id, State.REJECTED, reason="not_on_record")
            case InProgress(retry_after_s):
                raise NotYet("Another instance is at it.", retry_after_s=retry_after_s)
            case OverBudget(_, state):
                # The sweep queues it again: a task that came again all day would be in the way.
                self._log.warning("budget_exhausted", submission_id=submission_id)
                return Ended(submission_id, state, reason="budget_exhausted")

    async def _work(self, recording: Recording) -> Ended:
        """Upload if need be, then buy, in the name of a claim."""
        submission_id = recording.submission_id
        try:
            known = await self._late_result(recording)
            if known is not None:
                return Ended(submission_id, State.SUBMITTED, task_id=known)
            asset_id = await self._asset(recording)
            receipt = await self._buyer.buy(recording, asset_id, FROM_QUEUE)
        except AssetTaken as taken:
            # Mavi gave an id that it had given before: it is bought, or will be, over there.
            return await self._give_way(recording, taken)
        except (UploadFailed, ObjectGone) as error:
            code = error.code
            await self._buyer.reject(recording, code)
            return Ended(submission_id, State.REJECTED, reason=code)
        except SubmissionError as error:
            state = State.SUBMIT_UNKNOWN if error.code == "submit_unknown" else State.REJECTED
            return Ended(submission_id, state, reason=error.code)
        except ClaimLost as error:
            raise NotYet("Another instance took over.") from error
        except ObjectUnavailable as error:
            await recording.hand_back()
            raise NotYet(error.message, retry_after_s=RETRY_AFTER_S) from error
        except TransientError:
            await recording.hand_back()
            raise
        return Ended(submission_id, State.SUBMITTED, task_id=receipt.task_id)

    async def _late_result(self, recording: Recording) -> str | None:
        """Return an earlier task if this is to replace an overdue one, and a result has come."""
        claimed = recording.claimed
        if claimed.instead_of is None:
            return None
        earlier = [attempt.task_id for attempt in claimed.earlier if attempt.task_id is not None]
        task_id = await self._store.with_result(earlier)
        if task_id is not None:
            known = task_id

            def step(current: Submission | None, claim_id: str, now: datetime) -> Submission:
                return steps.keep_earlier(current, claim_id, now, known)

            await recording.after(step, refund=True)
        return task_id

    async def _give_way(self, recording: Recording, taken: AssetTaken) -> Ended:
        await self._buyer.reject(recording, "duplicate_asset", other=taken.submission_id)
        return Ended(recording.submission_id, State.REJECTED, reason="duplicate_asset")

    async def _asset(self, recording: Recording) -> str:
        submission = recording.claimed
        if submission.filename is not None:
            return await self._uploader.bring(recording, FROM_QUEUE, self._clock() + RUN_FOR)
        if submission.asset_id is None:
            raise UploadFailed("no_source")
        return submission.asset_id

    async def _claim(self, wish: Wish) -> ClaimDecision:
        def decide(current: Submission | None, budget: Budget | None) -> Change[ClaimDecision]:
            return ledger.claim(current, budget, wish)

        day = wish.day if wish.cap_per_day else None
        return await self._store.change(wish.submission_id, decide, budget_day=day)

    def _wish(
        self,
        submission_id: str,
        *,
        asset_id: str | None = None,
        labels: dict[str, str] | None = None,
        force: bool = False,
        again: bool = True,
    ) -> Wish:
        return Wish(
            submission_id=submission_id,
            claim_id=self._new_claim_id(),
            now=self._clock(),
            asset_id=asset_id,
            labels=labels,
            force=force,
            again=again,
            cap_per_day=self._cap_per_day,
        )

    def _recording(self, claimed: Submission) -> Recording:
        return Recording(self._store, claimed, self._log, self._clock, self._sleep)


def _finished(under_way: dict[K, asyncio.Task[R]], key: K, task: asyncio.Task[R]) -> None:
    del under_way[key]
    if not task.cancelled():
        # Whoever asked may have hung up; then nobody else fetches the error.
        task.exception()


def _in_progress(retry_after_s: int) -> SubmissionError:
    return submission_error("submission_in_progress", retry_after_s=retry_after_s)
