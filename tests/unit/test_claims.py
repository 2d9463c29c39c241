"""Who may buy, and what is recorded when."""

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
            "lease_id": "other",
            "created_at": NOW,
            "updated_at": NOW,
            "lease_expires_at": NOW + LEASE if state in OPEN else None,
            "task_id": "t" if state is State.SUBMITTED else None,
            **changes,
        }
    )


def test_the_id_follows_from_the_asset() -> None:
    """First 32 hex digits of SHA-256 of ``asset:<id>``: a contract with everybody who reads it."""
    assert submission_id_of_asset("re_1") == hashlib.sha256(b"asset:re_1").hexdigest()[:32]


def test_a_new_asset_is_claimed() -> None:
    """For as long as the lease."""
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


def test_a_bought_asset_is_not_bought_again() -> None:
    """Nothing is written either."""
    bought = a_submission(State.SUBMITTED)
    change = claim(bought, None, a_request())
    assert (change.decision, change.submission) == (AlreadyBought(bought), None)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("state", OPEN)
def test_a_live_claim_is_respected(state: State, force: bool) -> None:  # noqa: FBT001 - parametrized
    """Even a forced repetition waits for what is under way."""
    change = claim(a_submission(state), None, a_request(force=force))
    assert change.decision == InProgress(claims.RETRY_AFTER_S)
    assert change.submission is None


def test_waiting_is_never_longer_than_the_lease() -> None:
    """An honest Retry-After."""
    held = a_submission(State.PENDING, lease_expires_at=NOW + timedelta(seconds=2.5))
    assert claim(held, None, a_request()).decision == InProgress(3)


@pytest.mark.parametrize("state", [State.PENDING, State.UPLOADING, State.UPLOADED])
def test_an_expired_claim_passes_on(state: State) -> None:
    """Nothing was bought yet; the next holder goes on where it stands."""
    expired = a_submission(state, lease_expires_at=NOW)
    change = claim(expired, None, a_request())
    assert isinstance(change.decision, LeaseGranted)
    assert change.submission is not None
    assert (change.submission.lease_id, change.submission.state) == ("me", state)


def test_an_expired_call_is_a_lost_answer() -> None:
    """Its process is gone; whether it had sent the request, nobody knows."""
    expired = a_submission(State.SUBMITTING, lease_expires_at=NOW - timedelta(seconds=1))
    change = claim(expired, None, a_request())
    assert isinstance(change.decision, PurchaseUnknown)
    assert change.submission is not None
    assert change.submission.state is State.SUBMIT_UNKNOWN


def test_a_lost_answer_is_repeated_only_when_forced() -> None:
    """Then what may have been bought stays on record."""
    unknown = a_submission(State.SUBMIT_UNKNOWN, reason="time-out")
    assert claim(unknown, None, a_request()).decision == PurchaseUnknown("time-out")
    forced = claim(unknown, None, a_request(force=True)).submission
    assert forced is not None
    assert [(item.state, item.reason) for item in forced.previous_attempts] == [
        (State.SUBMIT_UNKNOWN, "time-out")
    ]


def test_a_forced_repetition_remembers_the_first_task() -> None:
    """Two jobs were paid for; both are accounted for."""
    forced = claim(a_submission(State.SUBMITTED), None, a_request(force=True)).submission
    assert forced is not None
    assert (forced.state, forced.task_id) == (State.PENDING, None)
    assert [item.task_id for item in forced.previous_attempts] == ["t"]


def test_the_list_of_earlier_purchases_is_bounded() -> None:
    """A document has a size."""
    submission = a_submission(State.SUBMITTED)
    for _ in range(MAX_PREVIOUS_ATTEMPTS + 5):
        forced = claim(submission, None, a_request(force=True)).submission
        assert forced is not None
        submission = replace(forced, state=State.SUBMITTED, lease_id="other")
    assert len(submission.previous_attempts) == MAX_PREVIOUS_ATTEMPTS


def test_a_rejected_asset_may_be_submitted_again() -> None:
    """Nothing was bought, so nothing is remembered."""
    change = claim(a_submission(State.REJECTED), None, a_request())
    assert isinstance(change.decision, LeaseGranted)
    assert change.submission is not None
    assert change.submission.previous_attempts == []


def test_ones_own_claim_is_recognised() -> None:
    """After an acknowledgement that was lost, the same wish finds its own claim."""
    claimed = claim(None, None, a_request()).submission
    change = claim(claimed, None, a_request())
    assert isinstance(change.decision, LeaseGranted)
    assert change.submission is None


def test_the_spend_cap() -> None:
    """Counted with the claim; at the cap, no claim and a wait until midnight UTC."""
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


def test_without_a_cap_nothing_is_counted() -> None:
    """One document less to write."""
    assert claim(None, None, a_request()).counter is None


def test_a_known_asset_costs_no_budget() -> None:
    """A duplicate at the cap is still a duplicate."""
    full = SpendCounter(1)
    bought = a_submission(State.SUBMITTED)
    assert isinstance(claim(bought, full, a_request(cap_per_day=1)).decision, AlreadyBought)


def test_a_claim_that_passes_on_is_counted_once() -> None:
    """A crash must not use up the cap."""
    expired = a_submission(State.PENDING, lease_expires_at=NOW, spend_day="2026-01-02")
    change = claim(expired, SpendCounter(1), a_request(cap_per_day=1))
    assert isinstance(change.decision, LeaseGranted)
    assert change.counter is None
    assert change.submission is not None
    assert change.submission.spend_day == "2026-01-02"


def test_a_refusal_gives_its_spend_back() -> None:
    """Never below zero, and nothing where nothing is counted."""
    assert claims.uncounted(SpendCounter(3)) == SpendCounter(2)
    assert claims.uncounted(SpendCounter(0)) == SpendCounter(0)
    assert claims.uncounted(None) is None


def test_a_request_is_recorded_and_queued() -> None:
    """Nobody holds it until a run claims it."""
    change = enqueue(None, a_request(lease_id=""))
    assert change.submission is not None
    assert change.decision == Queued(change.submission)
    assert (change.submission.state, change.submission.lease_expires_at) == (State.PENDING, None)
    assert change.submission.queue_task_name == "s-0"
    assert isinstance(claim(change.submission, None, a_request()).decision, LeaseGranted)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("state", OPEN)
def test_a_request_that_is_repeated_has_the_same_name(state: State, force: bool) -> None:  # noqa: FBT001 - parametrized
    """So that the queue itself refuses the repetition."""
    current = a_submission(state, enqueue_count=3, queued=True)
    change = enqueue(current, a_request(force=force))
    assert (change.decision, change.submission) == (Queued(current), None)
    assert current.queue_task_name == "s-3"


def test_what_is_settled_is_not_queued() -> None:
    """Bought, maybe bought, or rejected with nobody asking again."""
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
def test_asking_again_queues_under_a_new_name(state: State, changes: dict[str, Any]) -> None:
    """The queue remembers the old one; what is known of the asset stays known."""
    current = a_submission(state, enqueue_count=1, asset_id="re_9")
    change = enqueue(current, a_request(asset_id=None, **changes))
    assert isinstance(change.decision, Queued)
    assert change.submission is not None
    assert (change.submission.queue_task_name, change.submission.asset_id) == ("s-2", "re_9")


def test_a_run_of_what_nobody_knows() -> None:
    """It has expired, say: there is nothing to buy."""
    assert claim(None, None, a_request(asset_id=None)).decision == NotFound()


def test_a_run_leaves_alone_what_was_rejected() -> None:
    """A task that the queue sends again is no wish to try again."""
    rejected = a_submission(State.REJECTED)
    assert claim(rejected, None, a_request(retry_rejected=False)).decision == AlreadyRejected(
        rejected
    )


def test_a_refusal_is_recorded_once() -> None:
    """With its reason; what is known already stays as it is."""
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
def test_stalled_work_is_queued_under_a_new_name(state: State) -> None:
    """Where it stands, after nobody has touched it for long."""
    stalled = a_submission(state, lease_expires_at=None, updated_at=NOW - IDLE)
    found = claims.requeued(stalled, NOW, IDLE)
    assert found is not None
    assert (found.state, found.queue_task_name, found.updated_at) == (state, "s-1", NOW)
    recent = replace(stalled, updated_at=NOW - IDLE + timedelta(seconds=1))
    held = replace(stalled, lease_expires_at=NOW + LEASE)
    for other in (None, recent, held, a_submission(State.SUBMITTED, updated_at=NOW - IDLE)):
        assert claims.requeued(other, NOW, IDLE) is None
    calling = a_submission(State.SUBMITTING, lease_expires_at=None, updated_at=NOW - IDLE)
    assert claims.requeued(calling, NOW, IDLE) is None


def test_only_a_call_without_a_holder_is_dead() -> None:
    """A live one may still answer."""
    dead = a_submission(State.SUBMITTING, lease_expires_at=NOW)
    found = claims.expire_call(dead, NOW)
    assert found is not None
    assert found.state is State.SUBMIT_UNKNOWN
    for other in (None, a_submission(State.SUBMITTING), a_submission(State.PENDING)):
        assert claims.expire_call(other, NOW) is None


def test_an_overdue_purchase_is_repeated_at_most_so_often() -> None:
    """Only while it still stands for the task that is overdue."""
    bought = a_submission(State.SUBMITTED)
    change = claims.resubmitted(bought, "t", a_request(), 1)
    assert change.submission is not None
    assert (change.decision, change.submission.state, change.submission.enqueue_count) == (
        True,
        State.PENDING,
        1,
    )
    again = replace(change.submission, state=State.SUBMITTED, task_id="u")
    assert claims.resubmitted(again, "u", a_request(), 1).decision is False
    assert claims.resubmitted(again, "u", a_request(), 2).decision is True
    for other in (None, change.submission, a_submission(State.SUBMITTED, task_id="x")):
        assert claims.resubmitted(other, "t", a_request(), 1).decision is False
