"""Granting and refusing leases, and the records of each decision."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import NOW
from transcripts.submissions import claims
from transcripts.submissions.claims import (
    AlreadyBought,
    AlreadyRejected,
    Change,
    InProgress,
    LeaseGranted,
    NotFound,
    OverSpendCap,
    PurchaseRequest,
    PurchaseUnknown,
    Queued,
    claim,
    enqueue,
)
from transcripts.submissions.submission import (
    SpendCounter,
    State,
    Submission,
    submission_id_of_asset,
)
from transcripts.submissions.transitions import LEASE, MAX_PREVIOUS_ATTEMPTS

OPEN = (State.PENDING, State.UPLOADING, State.UPLOADED, State.SUBMITTING)


def a_request(lease_id: str = "me", **changes: Any) -> PurchaseRequest:
    return PurchaseRequest(
        **{
            "submission_id": "s",
            "lease_id": lease_id,
            "now": NOW,
            "asset_id": "re_1",
            "labels": {"case": "7"},
            **changes,
        }
    )


def a_submission(state: State, **changes: Any) -> Submission:
    return Submission(
        **{
            "submission_id": "s",
            "state": state,
            "asset_id": "re_1",
            "labels": {"case": "7"},
            "lease_id": "other",
            "created_at": NOW,
            "updated_at": NOW,
            "lease_expires_at": NOW + LEASE if state in OPEN else None,
            "task_id": "t" if state is State.SUBMITTED else None,
            **changes,
        }
    )


def test_submission_id_is_a_hash_of_the_asset() -> None:
    """The id is the first 32 hex digits of the SHA-256 of ``asset:<id>``."""
    assert submission_id_of_asset("re_1") == hashlib.sha256(b"asset:re_1").hexdigest()[:32]


def test_claim_of_a_new_asset_grants_a_lease() -> None:
    """The lease lasts five minutes."""
    change = claim(None, None, a_request())
    submission = change.submission
    assert submission is not None
    assert change.decision == LeaseGranted(submission)
    assert (submission.state, submission.lease_id, submission.labels) == (
        State.PENDING,
        "me",
        {"case": "7"},
    )
    assert submission.lease_expires_at == NOW + LEASE


def test_claim_of_a_bought_asset_is_already_bought() -> None:
    """A claim of a bought asset writes nothing."""
    bought = a_submission(State.SUBMITTED)
    change = claim(bought, None, a_request())
    assert (change.decision, change.submission) == (AlreadyBought(bought), None)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("state", OPEN)
def test_claim_while_leased_is_in_progress(state: State, force: bool) -> None:  # noqa: FBT001 - parametrized
    """A forced claim is refused too."""
    change = claim(a_submission(state), None, a_request(force=force))
    assert change.decision == InProgress(claims.LEASED_RETRY_AFTER_S)
    assert change.submission is None


def test_claim_while_leased_returns_retry_after() -> None:
    """The time to wait is never more than the rest of the lease."""
    held = a_submission(State.PENDING, lease_expires_at=NOW + timedelta(seconds=2.5))
    assert claim(held, None, a_request()).decision == InProgress(3)


@pytest.mark.parametrize("state", [State.PENDING, State.UPLOADING, State.UPLOADED])
def test_claim_after_the_lease_grants_another(state: State) -> None:
    """The next holder continues from the recorded state."""
    expired = a_submission(state, lease_expires_at=NOW)
    change = claim(expired, None, a_request())
    assert isinstance(change.decision, LeaseGranted)
    assert change.submission is not None
    assert (change.submission.lease_id, change.submission.state) == ("me", state)


def test_claim_after_an_expired_call_is_unknown() -> None:
    """The former holder may have sent the request."""
    expired = a_submission(State.SUBMITTING, lease_expires_at=NOW - timedelta(seconds=1))
    change = claim(expired, None, a_request())
    assert isinstance(change.decision, PurchaseUnknown)
    assert change.submission is not None
    assert change.submission.state is State.SUBMIT_UNKNOWN


def test_claim_of_an_unknown_purchase_needs_force() -> None:
    """A forced claim keeps the lost answer as a previous attempt."""
    unknown = a_submission(State.SUBMIT_UNKNOWN, reason="time-out")
    assert claim(unknown, None, a_request()).decision == PurchaseUnknown("time-out")
    forced = claim(unknown, None, a_request(force=True)).submission
    assert forced is not None
    assert [(item.state, item.reason) for item in forced.previous_attempts] == [
        (State.SUBMIT_UNKNOWN, "time-out")
    ]


def test_claim_forced_keeps_the_previous_attempt() -> None:
    """Both jobs were paid for, so both are recorded."""
    forced = claim(a_submission(State.SUBMITTED), None, a_request(force=True)).submission
    assert forced is not None
    assert (forced.state, forced.task_id) == (State.PENDING, None)
    assert [item.task_id for item in forced.previous_attempts] == ["t"]


def test_claim_forced_many_times_keeps_a_bounded_list() -> None:
    """The list is bounded because a document has a size limit."""
    submission = a_submission(State.SUBMITTED)
    for _ in range(MAX_PREVIOUS_ATTEMPTS + 5):
        forced = claim(submission, None, a_request(force=True)).submission
        assert forced is not None
        submission = replace(forced, state=State.SUBMITTED, lease_id="other")
    assert len(submission.previous_attempts) == MAX_PREVIOUS_ATTEMPTS


def test_claim_of_a_rejected_asset_grants_a_lease() -> None:
    """Nothing was bought, so there is no previous attempt."""
    change = claim(a_submission(State.REJECTED), None, a_request())
    assert isinstance(change.decision, LeaseGranted)
    assert change.submission is not None
    assert change.submission.previous_attempts == []


def test_claim_with_its_own_lease_is_granted() -> None:
    """The lease was committed, but the acknowledgement of the commit was lost."""
    claimed = claim(None, None, a_request()).submission
    change = claim(claimed, None, a_request())
    assert isinstance(change.decision, LeaseGranted)
    assert change.submission is None


def test_claim_at_the_spend_cap_is_refused() -> None:
    """The claim is refused until midnight UTC."""
    first = claim(None, None, a_request(cap_per_day=2))
    assert first.counter is not None
    assert first.counter.submissions == 1
    assert first.submission is not None
    assert first.submission.spend_day == "2026-01-02"
    second = claim(None, first.counter, a_request(cap_per_day=2))
    assert second.counter is not None
    assert second.counter.submissions == 2
    third = claim(None, second.counter, a_request(cap_per_day=2))
    assert third.submission is None
    assert third.decision == OverSpendCap(20 * 3600 + 55 * 60 + 55)


def test_claim_without_a_cap_counts_nothing() -> None:
    """A purchase without a cap writes no counter."""
    assert claim(None, None, a_request()).counter is None


def test_claim_of_a_bought_asset_at_the_cap_is_already_bought() -> None:
    """A duplicate costs nothing."""
    full = SpendCounter(1)
    bought = a_submission(State.SUBMITTED)
    assert isinstance(claim(bought, full, a_request(cap_per_day=1)).decision, AlreadyBought)


def test_claim_after_a_crash_is_counted_once() -> None:
    """The lease of the crashed holder was counted."""
    expired = a_submission(State.PENDING, lease_expires_at=NOW, spend_day="2026-01-02")
    change = claim(expired, SpendCounter(1), a_request(cap_per_day=1))
    assert isinstance(change.decision, LeaseGranted)
    assert change.counter is None
    assert change.submission is not None
    assert change.submission.spend_day == "2026-01-02"


def test_uncounted_counter_is_never_below_zero() -> None:
    """A refused purchase may have been counted before the counter expired."""
    assert claims.uncounted(SpendCounter(3)) == SpendCounter(2)
    assert claims.uncounted(SpendCounter(0)) == SpendCounter(0)


def test_enqueue_new_asset_is_queued() -> None:
    """The entry has no holder until a run claims it."""
    change = enqueue(None, a_request(lease_id=""))
    assert change.submission is not None
    assert change.decision == Queued(change.submission)
    assert (change.submission.state, change.submission.lease_expires_at) == (State.PENDING, None)
    assert change.submission.queue_task_name == "s-0"
    assert isinstance(claim(change.submission, None, a_request()).decision, LeaseGranted)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("state", OPEN)
def test_enqueue_twice_has_the_same_task_name(state: State, force: bool) -> None:  # noqa: FBT001 - parametrized
    """Cloud Tasks rejects the second task because it knows the name."""
    current = a_submission(state, enqueue_count=3, queued=True)
    change = enqueue(current, a_request(force=force))
    assert (change.decision, change.submission) == (Queued(current), None)
    assert current.queue_task_name == "s-3"


def test_enqueue_of_an_ended_purchase_is_not_queued() -> None:
    """The asset is bought, maybe bought, or rejected without a retry."""
    bought, rejected = a_submission(State.SUBMITTED), a_submission(State.REJECTED)
    assert enqueue(bought, a_request()).decision == AlreadyBought(bought)
    unknown = a_submission(State.SUBMIT_UNKNOWN, reason="time-out")
    assert enqueue(unknown, a_request()).decision == PurchaseUnknown("time-out")
    assert enqueue(rejected, a_request(retry_rejected=False)).decision == AlreadyRejected(rejected)
    dead = a_submission(State.SUBMITTING, lease_expires_at=NOW)
    change = enqueue(dead, a_request())
    assert isinstance(change.decision, PurchaseUnknown)
    assert change.submission is not None
    assert change.submission.state is State.SUBMIT_UNKNOWN


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (State.REJECTED, {"retry_rejected": True}),
        (State.SUBMITTED, {"force": True}),
        (State.SUBMIT_UNKNOWN, {"force": True}),
    ],
)
def test_enqueue_again_has_a_new_task_name(state: State, changes: dict[str, Any]) -> None:
    """Cloud Tasks remembers the old name; the entry keeps its asset."""
    current = a_submission(state, enqueue_count=1, asset_id="re_9")
    change = enqueue(current, a_request(asset_id=None, **changes))
    assert isinstance(change.decision, Queued)
    assert change.submission is not None
    assert (change.submission.queue_task_name, change.submission.asset_id) == ("s-2", "re_9")


def test_claim_of_an_unknown_submission_is_not_found() -> None:
    """The entry may have expired."""
    assert claim(None, None, a_request(asset_id=None)).decision == NotFound()


def test_claim_of_a_rejected_entry_without_retry_is_already_rejected() -> None:
    """A repeated task of the queue does not retry a rejected entry."""
    rejected = a_submission(State.REJECTED)
    assert claim(rejected, None, a_request(retry_rejected=False)).decision == AlreadyRejected(
        rejected
    )


def test_reject_of_a_known_entry_changes_nothing() -> None:
    """A new entry gets the reason."""
    change = claims.reject(None, a_request(), "folder")
    assert change.submission is not None
    assert (change.decision, change.submission.state, change.submission.reason) == (
        True,
        State.REJECTED,
        "folder",
    )
    again = claims.reject(change.submission, a_request(), "folder")
    assert (again.decision, again.submission) == (False, None)


IDLE = timedelta(hours=2)


@pytest.mark.parametrize("state", [State.PENDING, State.UPLOADING, State.UPLOADED])
def test_requeue_of_an_idle_entry_has_a_new_task_name(state: State) -> None:
    """The entry keeps its state."""
    stalled = a_submission(state, lease_expires_at=None, updated_at=NOW - IDLE)
    found = claims.requeue(stalled, NOW, IDLE).decision
    assert found is not None
    assert (found.state, found.queue_task_name, found.updated_at) == (state, "s-1", NOW)
    recent = replace(stalled, updated_at=NOW - IDLE + timedelta(seconds=1))
    held = replace(stalled, lease_expires_at=NOW + LEASE)
    for other in (None, recent, held, a_submission(State.SUBMITTED, updated_at=NOW - IDLE)):
        assert claims.requeue(other, NOW, IDLE) == Change(None)
    calling = a_submission(State.SUBMITTING, lease_expires_at=None, updated_at=NOW - IDLE)
    assert claims.requeue(calling, NOW, IDLE) == Change(None)


def test_expire_call_of_a_live_lease_is_none() -> None:
    """The answer of the call may still arrive."""
    dead = a_submission(State.SUBMITTING, lease_expires_at=NOW)
    change = claims.expire_call(dead, NOW)
    assert change.decision is True
    assert change.submission is not None
    assert change.submission.state is State.SUBMIT_UNKNOWN
    for other in (None, a_submission(State.SUBMITTING), a_submission(State.PENDING)):
        assert claims.expire_call(other, NOW) == Change(decision=False)


def test_resubmit_of_an_overdue_task_is_bounded() -> None:
    """A task is bought again only while the entry stands for that task."""
    bought = a_submission(State.SUBMITTED)
    change = claims.resubmit(bought, "t", NOW, 1)
    assert change.submission is not None
    assert change.decision is change.submission
    assert (change.submission.state, change.submission.enqueue_count) == (State.PENDING, 1)
    again = replace(change.submission, state=State.SUBMITTED, task_id="u")
    assert claims.resubmit(again, "u", NOW, 1).decision is None
    assert claims.resubmit(again, "u", NOW, 2).decision is not None
    for other in (None, change.submission, a_submission(State.SUBMITTED, task_id="x")):
        assert claims.resubmit(other, "t", NOW, 1).decision is None
