"""Who may buy. Pure: from what is stored to what is decided and stored.

Every purchase has one entry, found by what is bought: an asset, or one generation of an object. It
is *requested* (put on record, to be worked on from the queue) or *claimed* (worked on now) any
number of times, by events that repeat, callers that retry and instances that race; these two
functions decide what each of them may do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from msgspec.structs import replace

from transcripts.submissions.steps import LEASE, lose_answer, remembered
from transcripts.submissions.submission import OPEN, Attempt, Budget, State, Submission
from transcripts.tasks.task import Source

D_co = TypeVar("D_co", covariant=True)

RETRY_AFTER_S: Final = 10
"""What who asks in the meantime is told to wait: most purchases take a second or two."""

DIED: Final = "the process ended during the call"

BUDGET_KEPT: Final = timedelta(days=7)


@dataclass(frozen=True)
class Wish:
    """Somebody wants something bought. ``claim_id`` is new for every wish; ``now`` is in UTC.

    ``force`` buys again what was, or may have been, bought; ``again`` what was rejected.
    """

    submission_id: str
    claim_id: str
    now: datetime
    asset_id: str | None = None
    source: Source | None = None
    filename: str | None = None
    labels: dict[str, str] | None = None
    force: bool = False
    again: bool = True
    cap_per_day: int = 0

    @property
    def day(self) -> str:
        """The UTC day whose spend cap counts, ``YYYY-MM-DD``."""
        return self.now.strftime("%Y-%m-%d")


@dataclass(frozen=True)
class Claimed:
    """The purchase is the wisher's to make."""

    submission: Submission


@dataclass(frozen=True)
class Queued:
    """The purchase is on record and belongs on the queue, under the name of its round."""

    submission: Submission


@dataclass(frozen=True)
class AlreadyBought:
    """There is nothing to do; this is the job."""

    submission: Submission


@dataclass(frozen=True)
class AlreadyRejected:
    """It was refused before, and nobody asked for another try."""

    submission: Submission


@dataclass(frozen=True)
class MaybeBought:
    """An answer was lost: it is not repeated unasked."""

    reason: str | None


@dataclass(frozen=True)
class NotOnRecord:
    """Nobody knows what this submission was about; it has expired, say."""


@dataclass(frozen=True)
class InProgress:
    """Somebody else is at it."""

    retry_after_s: int


@dataclass(frozen=True)
class OverBudget:
    """The day's cap is reached; it is lifted in so many seconds. Nothing was done."""

    retry_after_s: int
    state: State = State.CLAIMED


Settled = AlreadyBought | AlreadyRejected | MaybeBought
ClaimDecision = Claimed | InProgress | OverBudget | NotOnRecord | Settled
RequestDecision = Queued | Settled


@dataclass(frozen=True)
class Change(Generic[D_co]):
    """What was decided, and what to write for it (None: nothing)."""

    decision: D_co
    submission: Submission | None = None
    budget: Budget | None = None


def claim(current: Submission | None, budget: Budget | None, wish: Wish) -> Change[ClaimDecision]:
    """Decide who may buy now. ``budget`` is today's counter, if there is a cap."""
    if current is not None:
        if current.claim_id == wish.claim_id:
            # Our own claim, whose acknowledgement was lost.
            return Change(Claimed(current))
        if current.state in OPEN and _is_live(current, wish.now):
            return Change(InProgress(_wait_s(current, wish.now)))
        current, died = _without_dead_call(current, wish.now)
        settled = _settled(current, wish)
        if settled is not None:
            return Change(settled, submission=current if died else None)
    elif wish.asset_id is None:
        return Change(NotOnRecord())
    counted = current is not None and current.state in OPEN and current.budget_day == wish.day
    submission = _taken(current, wish)
    if not wish.cap_per_day or counted:
        return Change(Claimed(submission), submission)
    spent = budget.submissions if budget else 0
    if spent >= wish.cap_per_day:
        return _over_budget(current, wish)
    submission = replace(submission, budget_day=wish.day)
    return Change(Claimed(submission), submission, Budget(spent + 1, wish.now + BUDGET_KEPT))


def _over_budget(current: Submission | None, wish: Wish) -> Change[ClaimDecision]:
    """Put what the queue came for off: touched now, it is left alone until it is idle again."""
    retry_after_s = _until_tomorrow_s(wish.now)
    if current is None or current.state not in OPEN:
        return Change(OverBudget(retry_after_s))
    put_off = replace(current, updated_at=wish.now, lease_expires_at=None)
    return Change(OverBudget(retry_after_s, current.state), put_off)


def request(current: Submission | None, wish: Wish) -> Change[RequestDecision]:
    """Decide whether a purchase belongs on the queue. Asking again never adds another one."""
    if current is None:
        submission = _entry(current, wish, queued=True)
        return Change(Queued(submission), submission)
    current, died = _without_dead_call(current, wish.now)
    if current.state in OPEN:
        submission = _forced(replace(current, queued=True), wish)
        return Change(Queued(submission), None if submission == current else submission)
    settled = _settled(current, wish)
    if settled is not None:
        return Change(settled, submission=current if died else None)
    submission = _entry(current, wish, queued=True)
    return Change(Queued(submission), submission)


def refuse(current: Submission | None, wish: Wish, reason: str) -> Change[bool]:
    """Put on record that something will not be bought; tells whether that is news."""
    if current is not None:
        return Change(decision=False)
    entry = replace(_entry(None, wish, queued=False), state=State.REJECTED, reason=reason)
    return Change(decision=True, submission=entry)


def requeued(current: Submission | None, now: datetime, idle: timedelta) -> Submission | None:
    """Put what nobody has touched for ``idle`` on the queue again; None if that is not so.

    Its round goes up, since a queue remembers the names of tasks it has had. What this very run has
    written, by a commit whose acknowledgement was lost, is returned as it is.
    """
    if current is None or current.state not in OPEN or current.state is State.SUBMITTING:
        return None
    if current.updated_at == now and current.queued and current.lease_expires_at is None:
        return current
    if _is_live(current, now) or current.updated_at > now - idle:
        return None
    return replace(
        current,
        queued=True,
        queue_round=current.queue_round + 1,
        updated_at=now,
        lease_expires_at=None,
    )


def dead_call(current: Submission | None, now: datetime) -> Submission | None:
    """Return a call whose holder is gone as a lost answer; None if it is no such thing."""
    if current is None:
        return None
    changed, died = _without_dead_call(current, now)
    return changed if died else None


def bought_again(current: Submission | None, task_id: str, wish: Wish, limit: int) -> Change[bool]:
    """Put the purchase of an overdue task on the queue once more, at most ``limit`` times."""
    if current is None or current.state is not State.SUBMITTED or current.task_id != task_id:
        return Change(decision=False)
    if current.resubmissions >= limit:
        return Change(decision=False)
    again = replace(
        _entry(current, wish, queued=True),
        instead_of=task_id,
        resubmissions=current.resubmissions + 1,
    )
    return Change(decision=True, submission=again)


def refunded(budget: Budget | None) -> Budget | None:
    """Give back the spend of a purchase that was refused."""
    if budget is None:
        return None
    return replace(budget, submissions=max(budget.submissions - 1, 0))


def _settled(current: Submission, wish: Wish) -> Settled | None:
    """Tell why nothing more is to be done; None if there is."""
    if current.state is State.SUBMITTED and not wish.force:
        return AlreadyBought(current)
    if current.state is State.SUBMIT_UNKNOWN and not wish.force:
        return MaybeBought(current.reason)
    if current.state is State.REJECTED and not (wish.again or wish.force):
        return AlreadyRejected(current)
    return None


def _without_dead_call(current: Submission, now: datetime) -> tuple[Submission, bool]:
    """Turn a call whose holder is gone into one whose answer is lost; tells whether it was one."""
    if current.state is State.SUBMITTING and not _is_live(current, now):
        return lose_answer(current, current.claim_id, now, DIED), True
    return current, False


def _taken(current: Submission | None, wish: Wish) -> Submission:
    """Hold an entry: an open one where it stands, any other anew."""
    entry = current
    if entry is None or entry.state not in OPEN:
        entry = _entry(current, wish, queued=False)
    return replace(
        _forced(entry, wish),
        claim_id=wish.claim_id,
        claimed_at=wish.now,
        updated_at=wish.now,
        lease_expires_at=wish.now + LEASE,
    )


def _forced(entry: Submission, wish: Wish) -> Submission:
    """Have what somebody forces bought, whatever comes in late of the task that it replaced."""
    return replace(entry, instead_of=None) if wish.force else entry


def _entry(current: Submission | None, wish: Wish, *, queued: bool) -> Submission:
    """Make an entry that nobody holds; where the wish is silent, what was recorded before holds."""
    return Submission(
        submission_id=wish.submission_id,
        state=State.CLAIMED,
        asset_id=wish.asset_id or (current.asset_id if current else None),
        source=wish.source or (current.source if current else None),
        filename=wish.filename or (current.filename if current else None),
        labels=wish.labels or (current.labels if current else {}),
        claimed_at=wish.now,
        updated_at=wish.now,
        queued=queued,
        queue_round=current.queue_round + 1 if current else 0,
        resubmissions=current.resubmissions if current else 0,
        earlier=_earlier(current),
    )


def _earlier(current: Submission | None) -> list[Attempt]:
    """What is bought again must not be forgotten."""
    if current is None:
        return []
    if current.state not in (State.SUBMITTED, State.SUBMIT_UNKNOWN):
        return current.earlier
    return remembered(current, current.state, current.task_id, current.reason, current.updated_at)


def _is_live(submission: Submission, now: datetime) -> bool:
    return submission.lease_expires_at is not None and now < submission.lease_expires_at


def _wait_s(submission: Submission, now: datetime) -> int:
    if submission.lease_expires_at is None:
        return RETRY_AFTER_S
    left_s = math.ceil((submission.lease_expires_at - now).total_seconds())
    return max(1, min(left_s, RETRY_AFTER_S))


def _until_tomorrow_s(now: datetime) -> int:
    tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return math.ceil((tomorrow - now).total_seconds())
