"""Decides which request may work on a purchase, so that nothing is bought twice. Pure.

Every purchase has one entry in the ledger; its id is a hash of the asset, or of one generation of
an object. Events repeat, callers retry and instances race. ``enqueue`` decides whether a request
goes to the queue, and ``claim`` decides who gets the lease to work on it now. ``Ledger`` reads the
entry, decides and writes as one step.

This is the duplicate rule of purchases; ``tasks.merge`` holds the one of results.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from transcripts.ids import MAX_LABELS
from transcripts.retention import SPEND_COUNTER_KEPT
from transcripts.submissions.submission import OPEN, SpendCounter, State, Submission
from transcripts.submissions.transitions import LEASE, Event, Facts, add_attempt, apply
from transcripts.tasks.task import Source

D_co = TypeVar("D_co", covariant=True)

LEASED_RETRY_AFTER_S: Final = 10
"""``Retry-After`` while another instance holds the lease: most purchases take a second or two."""

DUPLICATE_RECORDING: Final = "duplicate_recording"
DUPLICATE_ASSET: Final = "duplicate_asset"
"""Why a submission was rejected: another one has a generation with the same bytes."""

PROCESS_ENDED: Final = "process_ended"
"""Why an answer was lost: the process ended during the call."""

DELETED: Final = "deleted"
"""Why a submission was rejected: it was deleted before anything was bought."""


class PurchaseRequest(msgspec.Struct, frozen=True):
    """A request to buy one transcript. ``now`` is in UTC; ``lease_id`` is new for every claim.

    ``force`` repeats a purchase that was, or may have been, made. ``retry_rejected`` repeats a
    rejected one. ``cap_per_day`` is the spend cap, 0 for none.
    """

    submission_id: str
    now: datetime
    lease_id: str = ""
    asset_id: str | None = None
    source: Source | None = None
    filename: str | None = None
    recording_id: str | None = None
    labels: dict[str, str] | None = None
    force: bool = False
    retry_rejected: bool = True
    cap_per_day: int = 0

    @property
    def day(self) -> str:
        """The UTC day whose spend cap applies, ``YYYY-MM-DD``."""
        return self.now.strftime("%Y-%m-%d")


class LeaseGranted(msgspec.Struct, frozen=True):
    """The caller has the lease and may buy."""

    submission: Submission


class Queued(msgspec.Struct, frozen=True):
    """The purchase is recorded; the caller must enqueue it under ``queue_task_name``."""

    submission: Submission


class AlreadyBought(msgspec.Struct, frozen=True):
    """It was bought before; the entry names the task."""

    submission: Submission


class BoughtAndDeleted(msgspec.Struct, frozen=True):
    """It was bought before, and its transcript was deleted; only ``force`` buys it again."""

    submission: Submission


class AlreadyRejected(msgspec.Struct, frozen=True):
    """It was rejected before, and the request does not retry."""

    submission: Submission


class PurchaseUnknown(msgspec.Struct, frozen=True):
    """The answer of a call was lost: it may have been bought, so only ``force`` repeats it."""

    reason: str | None


class NotFound(msgspec.Struct, frozen=True):
    """The ledger has no such entry; it may have expired."""


class InProgress(msgspec.Struct, frozen=True):
    """Another holder has the lease."""

    retry_after_s: int


class OverSpendCap(msgspec.Struct, frozen=True):
    """The spend cap of the day is reached; ``retry_after_s`` is the time until midnight UTC."""

    retry_after_s: int
    state: State = State.PENDING


class TasksRemain(msgspec.Struct, frozen=True):
    """The submission has these tasks, which must be deleted before its entry."""

    task_ids: list[str]


class Erased(msgspec.Struct, frozen=True):
    """The entry holds nothing personal any more; ``before`` is what it was."""

    before: Submission


FinalDecision = AlreadyBought | BoughtAndDeleted | AlreadyRejected | PurchaseUnknown
ClaimDecision = LeaseGranted | InProgress | OverSpendCap | NotFound | FinalDecision
EnqueueDecision = Queued | FinalDecision
EraseDecision = Erased | TasksRemain | InProgress | NotFound


class Change(msgspec.Struct, Generic[D_co], frozen=True):
    """A decision, and what to write for it (None: nothing).

    ``counter`` is the spend counter of the request's day. ``uncounted_day`` is the day whose
    counter loses one purchase.
    """

    decision: D_co
    submission: Submission | None = None
    counter: SpendCounter | None = None
    uncounted_day: str | None = None


def claim(
    current: Submission | None, counter: SpendCounter | None, request: PurchaseRequest
) -> Change[ClaimDecision]:
    """Decide whether this request may buy now. ``counter`` is the spend counter of the day."""
    if current is not None:
        if current.lease_id == request.lease_id:
            # This very request has the lease: the acknowledgement of its commit was lost.
            return Change(LeaseGranted(current))
        before, current = current, _labelled(current, request.labels)
        if current.state in OPEN and _is_live(current, request.now):
            decision = InProgress(_wait_s(current, request.now))
            return Change(decision, None if current == before else current)
        current, _ = _with_call_expired(current, request.now)
        settled = _final_decision(current, request)
        if settled is not None:
            return Change(settled, None if current == before else current)
    elif request.asset_id is None:
        return Change(NotFound())
    counted = current is not None and current.state in OPEN and current.spend_day == request.day
    submission = _leased(current, request)
    if not request.cap_per_day or counted:
        return Change(LeaseGranted(submission), submission)
    spent = counter.submissions if counter else 0
    if spent >= request.cap_per_day:
        return _over_spend_cap(current, request)
    submission = replace(submission, spend_day=request.day)
    return Change(
        LeaseGranted(submission),
        submission,
        SpendCounter(spent + 1, request.now + SPEND_COUNTER_KEPT),
    )


def _over_spend_cap(current: Submission | None, request: PurchaseRequest) -> Change[ClaimDecision]:
    """Refuse the lease; an open entry counts as touched, so that the sweep does not enqueue it."""
    today = request.now.replace(hour=0, minute=0, second=0, microsecond=0)
    left = today + timedelta(days=1) - request.now
    retry_after_s = math.ceil(left.total_seconds())
    if current is None or current.state not in OPEN:
        return Change(OverSpendCap(retry_after_s))
    put_off = replace(current, updated_at=request.now, lease_expires_at=None)
    return Change(OverSpendCap(retry_after_s, current.state), put_off)


def enqueue(current: Submission | None, request: PurchaseRequest) -> Change[EnqueueDecision]:
    """Decide whether a purchase goes to the queue. Repeating a request adds no other purchase."""
    if current is None:
        submission = _entry(current, request, queued=True)
        return Change(Queued(submission), submission)
    before, current = current, _labelled(current, request.labels)
    current, _ = _with_call_expired(current, request.now)
    if current.state in OPEN:
        submission = _forced(_at_latest(replace(current, queued=True), request.source), request)
        return Change(Queued(submission), None if submission == before else submission)
    settled = _final_decision(current, request)
    if settled is not None:
        return Change(settled, None if current == before else current)
    submission = _entry(current, request, queued=True)
    return Change(Queued(submission), submission)


def reject(
    current: Submission | None,
    request: PurchaseRequest,
    reason: str,
    duplicate_of: str | None = None,
) -> Change[bool]:
    """Record that a purchase is rejected; the decision tells whether the entry is new."""
    if current is not None:
        return Change(decision=False)
    entry = replace(
        _entry(None, request, queued=False),
        state=State.REJECTED,
        reason=reason,
        duplicate_of=duplicate_of,
    )
    return Change(decision=True, submission=entry)


def requeue(
    current: Submission | None, now: datetime, idle: timedelta
) -> Change[Submission | None]:
    """Decide whether an entry was idle for ``idle`` and is enqueued again; None if it was not idle.

    ``enqueue_count`` goes up, since Cloud Tasks remembers the names of finished tasks. An entry
    that this very run wrote, by a commit whose acknowledgement was lost, is returned unchanged.
    """
    if current is None or current.state not in OPEN or current.state is State.SUBMITTING:
        return Change(None)
    if current.updated_at == now and current.queued and current.lease_expires_at is None:
        return Change(current)
    if _is_live(current, now) or current.updated_at > now - idle:
        return Change(None)
    if current.previous_attempts and not current.queued:
        # The caller of a forced repetition got an error: it must not be bought without that caller.
        restored = apply(current, current.lease_id, Event.RELEASED, now)
        return Change(restored, restored, uncounted_day=current.spend_day)
    requeued = replace(
        current,
        queued=True,
        enqueue_count=current.enqueue_count + 1,
        updated_at=now,
        lease_expires_at=None,
    )
    return Change(requeued, requeued)


def expire_call(current: Submission | None, now: datetime) -> Change[bool]:
    """Turn a call whose lease ended into a lost answer; the decision tells whether it was one."""
    if current is None:
        return Change(decision=False)
    changed, expired = _with_call_expired(current, now)
    return Change(expired, changed if expired else None)


def resubmit(
    current: Submission | None, task_id: str, now: datetime, limit: int
) -> Change[Submission | None]:
    """Decide whether to buy an overdue task again, at most ``limit`` times; None if not."""
    if current is None or current.state is not State.SUBMITTED or current.task_id != task_id:
        return Change(None)
    if current.resubmissions >= limit:
        return Change(None)
    again = replace(
        _entry(current, PurchaseRequest(current.submission_id, now), queued=True),
        replaces_task_id=task_id,
        resubmissions=current.resubmissions + 1,
    )
    return Change(again, again)


def redact(current: Submission | None, task_id: str, now: datetime) -> Change[bool]:
    """Remove what is personal from the entry of a deleted task, unless it has another task by now.

    The decision is False while the asset is bought again: the purchase needs those fields.
    """
    if current is None or current.task_id not in (task_id, None):
        return Change(decision=True)
    if current.state in OPEN:
        return Change(decision=False)
    redacted = _redacted(current, now)
    return Change(decision=True, submission=None if redacted == current else redacted)


def erase(
    current: Submission | None, deleted: Collection[str], now: datetime
) -> Change[EraseDecision]:
    """Decide whether a submission can be deleted, of whose tasks ``deleted`` are deleted.

    The entry keeps its ids, its state and its times. One that waits is rejected, so that nothing is
    bought for it any more.
    """
    if current is None:
        return Change(NotFound())
    remaining = [task_id for task_id in current.task_ids if task_id not in deleted]
    if remaining:
        return Change(TasksRemain(remaining))
    ended, _ = _with_call_expired(current, now)
    if ended.state in OPEN:
        if _is_live(ended, now):
            return Change(InProgress(_wait_s(ended, now)))
        ended = apply(ended, ended.lease_id, Event.REJECTED, now, Facts(reason=DELETED))
    erased = _redacted(ended, now)
    freed_day = current.spend_day if not erased.spend_day else None
    return Change(Erased(current), None if erased == current else erased, uncounted_day=freed_day)


def _redacted(entry: Submission, now: datetime) -> Submission:
    return replace(
        entry,
        source=None,
        filename=None,
        labels={},
        queued=False,
        # The hash of the content stays: by it the user learns that the recording was bought.
        search_keys=entry.search_keys[1:] if entry.source else entry.search_keys,
        deleted_at=entry.deleted_at or now,
    )


def uncounted(counter: SpendCounter) -> SpendCounter:
    """Return the spend counter without one purchase that was refused."""
    return replace(counter, submissions=max(counter.submissions - 1, 0))


def _final_decision(current: Submission, request: PurchaseRequest) -> FinalDecision | None:
    """Return why there is nothing to do; None if there is something."""
    if current.state is State.SUBMITTED and not request.force:
        return AlreadyBought(current) if current.deleted_at is None else BoughtAndDeleted(current)
    if current.state is State.SUBMIT_UNKNOWN and not request.force:
        return PurchaseUnknown(current.reason)
    if current.state is State.REJECTED and not (request.retry_rejected or request.force):
        return AlreadyRejected(current)
    return None


def _with_call_expired(current: Submission, now: datetime) -> tuple[Submission, bool]:
    """Turn a call whose lease ended into a lost answer; tells whether it was one."""
    if current.state is State.SUBMITTING and not _is_live(current, now):
        reason = Facts(reason=PROCESS_ENDED)
        return apply(current, current.lease_id, Event.ANSWER_LOST, now, reason), True
    return current, False


def _leased(current: Submission | None, request: PurchaseRequest) -> Submission:
    """Give the lease: of an open entry as it stands, of an ended one from the start."""
    entry = current
    if entry is None or entry.state not in OPEN:
        entry = _entry(current, request, queued=False)
    return replace(
        _forced(entry, request),
        lease_id=request.lease_id,
        updated_at=request.now,
        lease_expires_at=request.now + LEASE,
    )


def _forced(entry: Submission, request: PurchaseRequest) -> Submission:
    """Make a forced purchase independent of a late result of the task that it replaced."""
    return replace(entry, replaces_task_id=None) if request.force else entry


def _labelled(entry: Submission, labels: Mapping[str, str] | None) -> Submission:
    """Add labels whose keys the entry does not have; a deleted entry gets none."""
    if not labels or entry.deleted_at is not None:
        return entry
    together = dict(labels) | entry.labels
    kept = [*entry.labels, *(key for key in labels if key not in entry.labels)][:MAX_LABELS]
    return replace(entry, labels={key: together[key] for key in kept})


def _at_latest(entry: Submission, source: Source | None) -> Submission:
    """Read an object that is not uploaded yet from its latest generation: the others may be gone.

    Cloud Storage numbers generations in the order of time; their events arrive in any order.
    """
    if source is None or entry.source is None or entry.state is State.UPLOADED:
        return entry
    is_later = int(source.generation) > int(entry.source.generation)
    return replace(entry, source=source) if is_later else entry


def _entry(current: Submission | None, request: PurchaseRequest, *, queued: bool) -> Submission:
    """Make a new entry without a lease; fields that the request lacks come from the old entry.

    The old entry has the labels of the request already. It becomes an attempt if it has ended by a
    purchase, or maybe by one.
    """
    attempts = current.previous_attempts if current else []
    if current is not None and current.state in (State.SUBMITTED, State.SUBMIT_UNKNOWN):
        attempts = add_attempt(
            current, current.state, current.task_id, current.reason, current.updated_at
        )
    return Submission(
        submission_id=request.submission_id,
        state=State.PENDING,
        asset_id=request.asset_id or (current.asset_id if current else None),
        source=request.source or (current.source if current else None),
        filename=request.filename or (current.filename if current else None),
        recording_id=request.recording_id or (current.recording_id if current else None),
        labels=(current.labels if current else None) or request.labels or {},
        created_at=current.created_at if current else request.now,
        updated_at=request.now,
        queued=queued,
        enqueue_count=current.enqueue_count + 1 if current else 0,
        resubmissions=current.resubmissions if current else 0,
        previous_attempts=attempts,
    )


def _is_live(submission: Submission, now: datetime) -> bool:
    return submission.lease_expires_at is not None and now < submission.lease_expires_at


def _wait_s(submission: Submission, now: datetime) -> int:
    if submission.lease_expires_at is None:
        return LEASED_RETRY_AFTER_S
    left_s = math.ceil((submission.lease_expires_at - now).total_seconds())
    return max(1, min(left_s, LEASED_RETRY_AFTER_S))
