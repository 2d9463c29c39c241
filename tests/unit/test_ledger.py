"""Who may buy, and what is recorded when."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import NOW
from transcripts.submissions import ledger, steps
from transcripts.submissions.ledger import (
    AlreadyBought,
    AlreadyRejected,
    Claimed,
    InProgress,
    MaybeBought,
    NotOnRecord,
    OverBudget,
    Queued,
    Wish,
    claim,
    request,
)
from transcripts.submissions.steps import LEASE, MAX_EARLIER, ClaimLost
from transcripts.submissions.submission import (
    Attempt,
    Budget,
    State,
    Submission,
    submission_id_of_asset,
)

OPEN = (State.CLAIMED, State.UPLOADING, State.UPLOADED, State.SUBMITTING)


def a_wish(claim_id: str = "me", **changes: Any) -> Wish:
    return Wish(
        **{
            "submission_id": "s",
            "claim_id": claim_id,
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
            "claim_id": "other",
            "claimed_at": NOW,
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
    change = claim(None, None, a_wish())
    submission = change.submission
    assert submission is not None
    assert change.decision == Claimed(submission)
    assert (submission.state, submission.claim_id, submission.labels) == (
        State.CLAIMED,
        "me",
        {"case": "7"},
    )
    assert submission.lease_expires_at == NOW + LEASE


def test_a_bought_asset_is_not_bought_again() -> None:
    """Nothing is written either."""
    bought = a_submission(State.SUBMITTED)
    change = claim(bought, None, a_wish())
    assert (change.decision, change.submission) == (AlreadyBought(bought), None)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("state", OPEN)
def test_a_live_claim_is_respected(state: State, force: bool) -> None:  # noqa: FBT001 - parametrized
    """Even a forced repetition waits for what is under way."""
    change = claim(a_submission(state), None, a_wish(force=force))
    assert change.decision == InProgress(ledger.RETRY_AFTER_S)
    assert change.submission is None


def test_waiting_is_never_longer_than_the_lease() -> None:
    """An honest Retry-After."""
    held = a_submission(State.CLAIMED, lease_expires_at=NOW + timedelta(seconds=2.5))
    assert claim(held, None, a_wish()).decision == InProgress(3)


@pytest.mark.parametrize("state", [State.CLAIMED, State.UPLOADING, State.UPLOADED])
def test_an_expired_claim_passes_on(state: State) -> None:
    """Nothing was bought yet; the next holder goes on where it stands."""
    expired = a_submission(state, lease_expires_at=NOW)
    change = claim(expired, None, a_wish())
    assert isinstance(change.decision, Claimed)
    assert change.submission is not None
    assert (change.submission.claim_id, change.submission.state) == ("me", state)


def test_an_expired_call_is_a_lost_answer() -> None:
    """Its process is gone; whether it had sent the request, nobody knows."""
    expired = a_submission(State.SUBMITTING, lease_expires_at=NOW - timedelta(seconds=1))
    change = claim(expired, None, a_wish())
    assert isinstance(change.decision, MaybeBought)
    assert change.submission is not None
    assert change.submission.state is State.SUBMIT_UNKNOWN


def test_a_lost_answer_is_repeated_only_when_forced() -> None:
    """Then what may have been bought stays on record."""
    unknown = a_submission(State.SUBMIT_UNKNOWN, reason="time-out")
    assert claim(unknown, None, a_wish()).decision == MaybeBought("time-out")
    forced = claim(unknown, None, a_wish(force=True)).submission
    assert forced is not None
    assert [(item.state, item.reason) for item in forced.earlier] == [
        (State.SUBMIT_UNKNOWN, "time-out")
    ]


def test_a_forced_repetition_remembers_the_first_task() -> None:
    """Two jobs were paid for; both are accounted for."""
    forced = claim(a_submission(State.SUBMITTED), None, a_wish(force=True)).submission
    assert forced is not None
    assert (forced.state, forced.task_id) == (State.CLAIMED, None)
    assert [item.task_id for item in forced.earlier] == ["t"]


def test_the_list_of_earlier_purchases_is_bounded() -> None:
    """A document has a size."""
    submission = a_submission(State.SUBMITTED)
    for _ in range(MAX_EARLIER + 5):
        forced = claim(submission, None, a_wish(force=True)).submission
        assert forced is not None
        submission = replace(forced, state=State.SUBMITTED, claim_id="other")
    assert len(submission.earlier) == MAX_EARLIER


def test_a_rejected_asset_may_be_submitted_again() -> None:
    """Nothing was bought, so nothing is remembered."""
    change = claim(a_submission(State.REJECTED), None, a_wish())
    assert isinstance(change.decision, Claimed)
    assert change.submission is not None
    assert change.submission.earlier == []


def test_ones_own_claim_is_recognised() -> None:
    """After an acknowledgement that was lost, the same wish finds its own claim."""
    claimed = claim(None, None, a_wish()).submission
    change = claim(claimed, None, a_wish())
    assert isinstance(change.decision, Claimed)
    assert change.submission is None


def test_the_spend_cap() -> None:
    """Counted with the claim; at the cap, no claim and a wait until midnight UTC."""
    first = claim(None, None, a_wish(cap_per_day=2))
    assert first.budget is not None
    assert first.budget.submissions == 1
    assert first.submission is not None
    assert first.submission.budget_day == "2026-01-02"
    second = claim(None, first.budget, a_wish(cap_per_day=2))
    assert second.budget is not None
    assert second.budget.submissions == 2
    third = claim(None, second.budget, a_wish(cap_per_day=2))
    assert third.submission is None
    assert third.decision == OverBudget(20 * 3600 + 55 * 60 + 55)


def test_without_a_cap_nothing_is_counted() -> None:
    """One document less to write."""
    assert claim(None, None, a_wish()).budget is None


def test_a_known_asset_costs_no_budget() -> None:
    """A duplicate at the cap is still a duplicate."""
    full = Budget(1)
    bought = a_submission(State.SUBMITTED)
    assert isinstance(claim(bought, full, a_wish(cap_per_day=1)).decision, AlreadyBought)


def test_a_claim_that_passes_on_is_counted_once() -> None:
    """A crash must not use up the cap."""
    expired = a_submission(State.CLAIMED, lease_expires_at=NOW, budget_day="2026-01-02")
    change = claim(expired, Budget(1), a_wish(cap_per_day=1))
    assert isinstance(change.decision, Claimed)
    assert change.budget is None
    assert change.submission is not None
    assert change.submission.budget_day == "2026-01-02"


def test_a_refusal_gives_its_spend_back() -> None:
    """Never below zero, and nothing where nothing is counted."""
    assert ledger.refunded(Budget(3)) == Budget(2)
    assert ledger.refunded(Budget(0)) == Budget(0)
    assert ledger.refunded(None) is None


def test_the_steps_of_a_call() -> None:
    """Intent before, answer after; the lease is renewed by every step."""
    later = NOW + timedelta(minutes=1)
    held = a_submission(State.CLAIMED, claim_id="me")
    calling = steps.begin_call(held, "me", later)
    assert (calling.state, calling.lease_expires_at) == (State.SUBMITTING, later + LEASE)
    again = steps.call_bought_nothing(calling, "me", later)
    assert (again.state, again.lease_expires_at) == (State.CLAIMED, later + LEASE)
    assert steps.reject(calling, "me", later, "why").state is State.REJECTED
    assert steps.lose_answer(calling, "me", later, "why").state is State.SUBMIT_UNKNOWN
    bought = steps.accept(calling, held, later, "t")
    assert (bought.state, bought.task_id, bought.submitted_at) == (State.SUBMITTED, "t", later)
    assert bought.lease_expires_at is None


@pytest.mark.parametrize("current", [None, a_submission(State.SUBMITTING)])
def test_who_lost_the_claim_records_nothing(current: Submission | None) -> None:
    """Somebody else holds it now."""
    with pytest.raises(ClaimLost):
        steps.begin_call(current, "me", NOW)
    with pytest.raises(ClaimLost):
        steps.call_bought_nothing(current, "me", NOW)
    with pytest.raises(ClaimLost):
        steps.reject(current, "me", NOW, "why")
    with pytest.raises(ClaimLost):
        steps.lose_answer(current, "me", NOW, "why")


@pytest.mark.parametrize("state", [State.SUBMITTED, State.REJECTED, State.SUBMIT_UNKNOWN])
def test_no_call_begins_after_the_end(state: State) -> None:
    """A claim that somebody ended is no claim, even if it was ours."""
    with pytest.raises(ClaimLost):
        steps.begin_call(a_submission(state, claim_id="me"), "me", NOW)


def test_a_bought_job_is_always_recorded() -> None:
    """Even after the claim was taken over, or declared lost."""
    mine = a_submission(State.CLAIMED, claim_id="me")
    declared = a_submission(State.SUBMIT_UNKNOWN, claim_id="me", reason="gone")
    found = steps.accept(declared, mine, NOW, "t")
    assert (found.state, found.task_id, found.reason) == (State.SUBMITTED, "t", None)
    taken = a_submission(State.SUBMITTED, claim_id="other", task_id="theirs")
    both = steps.accept(taken, mine, NOW, "t")
    assert (both.task_id, [item.task_id for item in both.earlier]) == ("theirs", ["t"])


def test_a_request_is_recorded_and_queued() -> None:
    """Nobody holds it until a run claims it."""
    change = request(None, a_wish(claim_id=""))
    assert change.submission is not None
    assert change.decision == Queued(change.submission)
    assert (change.submission.state, change.submission.lease_expires_at) == (State.CLAIMED, None)
    assert change.submission.queue_name == "s-0"
    assert isinstance(claim(change.submission, None, a_wish()).decision, Claimed)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("state", OPEN)
def test_a_request_that_is_repeated_has_the_same_name(state: State, force: bool) -> None:  # noqa: FBT001 - parametrized
    """So that the queue itself refuses the repetition."""
    current = a_submission(state, queue_round=3, queued=True)
    change = request(current, a_wish(force=force))
    assert (change.decision, change.submission) == (Queued(current), None)
    assert current.queue_name == "s-3"


def test_what_is_settled_is_not_queued() -> None:
    """Bought, maybe bought, or rejected with nobody asking again."""
    bought, rejected = a_submission(State.SUBMITTED), a_submission(State.REJECTED)
    assert request(bought, a_wish()).decision == AlreadyBought(bought)
    unknown = a_submission(State.SUBMIT_UNKNOWN, reason="time-out")
    assert request(unknown, a_wish()).decision == MaybeBought("time-out")
    assert request(rejected, a_wish(again=False)).decision == AlreadyRejected(rejected)
    dead = a_submission(State.SUBMITTING, lease_expires_at=NOW)
    change = request(dead, a_wish())
    assert isinstance(change.decision, MaybeBought)
    assert change.submission is not None
    assert change.submission.state is State.SUBMIT_UNKNOWN


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (State.REJECTED, {"again": True}),
        (State.SUBMITTED, {"force": True}),
        (State.SUBMIT_UNKNOWN, {"force": True}),
    ],
)
def test_asking_again_queues_under_a_new_name(state: State, changes: dict[str, Any]) -> None:
    """The queue remembers the old one; what is known of the asset stays known."""
    current = a_submission(state, queue_round=1, asset_id="re_9")
    change = request(current, a_wish(asset_id=None, **changes))
    assert isinstance(change.decision, Queued)
    assert change.submission is not None
    assert (change.submission.queue_name, change.submission.asset_id) == ("s-2", "re_9")


def test_a_run_of_what_nobody_knows() -> None:
    """It has expired, say: there is nothing to buy."""
    assert claim(None, None, a_wish(asset_id=None)).decision == NotOnRecord()


def test_a_run_leaves_alone_what_was_rejected() -> None:
    """A task that the queue sends again is no wish to try again."""
    rejected = a_submission(State.REJECTED)
    assert claim(rejected, None, a_wish(again=False)).decision == AlreadyRejected(rejected)


def test_a_refusal_is_recorded_once() -> None:
    """With its reason; what is known already stays as it is."""
    change = ledger.refuse(None, a_wish(), "folder")
    assert change.submission is not None
    assert (change.decision, change.submission.state, change.submission.reason) == (
        True,
        State.REJECTED,
        "folder",
    )
    again = ledger.refuse(change.submission, a_wish(), "folder")
    assert (again.decision, again.submission) == (False, None)


IDLE = timedelta(hours=2)


@pytest.mark.parametrize("state", [State.CLAIMED, State.UPLOADING, State.UPLOADED])
def test_stalled_work_is_queued_under_a_new_name(state: State) -> None:
    """Where it stands, after nobody has touched it for long."""
    stalled = a_submission(state, lease_expires_at=None, updated_at=NOW - IDLE)
    found = ledger.requeued(stalled, NOW, IDLE)
    assert found is not None
    assert (found.state, found.queue_name, found.updated_at) == (state, "s-1", NOW)
    recent = replace(stalled, updated_at=NOW - IDLE + timedelta(seconds=1))
    held = replace(stalled, lease_expires_at=NOW + LEASE)
    for other in (None, recent, held, a_submission(State.SUBMITTED, updated_at=NOW - IDLE)):
        assert ledger.requeued(other, NOW, IDLE) is None
    calling = a_submission(State.SUBMITTING, lease_expires_at=None, updated_at=NOW - IDLE)
    assert ledger.requeued(calling, NOW, IDLE) is None


def test_only_a_call_without_a_holder_is_dead() -> None:
    """A live one may still answer."""
    dead = a_submission(State.SUBMITTING, lease_expires_at=NOW)
    found = ledger.dead_call(dead, NOW)
    assert found is not None
    assert found.state is State.SUBMIT_UNKNOWN
    for other in (None, a_submission(State.SUBMITTING), a_submission(State.CLAIMED)):
        assert ledger.dead_call(other, NOW) is None


def test_an_overdue_purchase_is_repeated_at_most_so_often() -> None:
    """Only while it still stands for the task that is overdue."""
    bought = a_submission(State.SUBMITTED)
    change = ledger.bought_again(bought, "t", a_wish(), 1)
    assert change.submission is not None
    assert (change.decision, change.submission.state, change.submission.queue_round) == (
        True,
        State.CLAIMED,
        1,
    )
    again = replace(change.submission, state=State.SUBMITTED, task_id="u")
    assert ledger.bought_again(again, "u", a_wish(), 1).decision is False
    assert ledger.bought_again(again, "u", a_wish(), 2).decision is True
    for other in (None, change.submission, a_submission(State.SUBMITTED, task_id="x")):
        assert ledger.bought_again(other, "t", a_wish(), 1).decision is False


def test_the_steps_of_an_upload() -> None:
    """Before any byte, once the asset is known, once every byte is there."""
    held = a_submission(State.CLAIMED, claim_id="me", asset_id=None, filename="a.mp4")
    begun = steps.prepare_upload(held, "me", NOW)
    assert (begun.state, begun.asset_id, begun.uploads) == (State.UPLOADING, None, 1)
    assert steps.upload_not_tried(begun, "me", NOW).uploads == 0
    known = steps.begin_upload(begun, "me", NOW, "re_9")
    assert (known.asset_id, known.uploads, known.sent_at) == ("re_9", 1, NOW)
    done = steps.end_upload(known, "me", NOW, "re_9")
    assert (done.state, done.asset_id) == (State.UPLOADED, "re_9")
    calling = steps.begin_call(done, "me", NOW)
    assert steps.call_bought_nothing(calling, "me", NOW).state is State.UPLOADED
    assert steps.forget_upload(done, "me", NOW).asset_id is None


@pytest.mark.parametrize("state", [State.CLAIMED, State.UPLOADING, State.UPLOADED])
def test_a_call_that_bought_nothing_goes_back_to_where_it_came_from(state: State) -> None:
    """An asset is known before its bytes are there, so what is on record does not tell."""
    held = a_submission(state, claim_id="me", filename="a.mp4")
    calling = steps.begin_call(steps.begin_call(held, "me", NOW), "me", NOW)
    assert calling.state is State.SUBMITTING
    for back in (steps.call_bought_nothing, steps.hand_back):
        left = back(calling, "me", NOW)
        assert (left.state, left.called_from) == (state, None)


def test_the_same_job_is_remembered_once() -> None:
    """However often its record is repeated after a lost acknowledgement."""
    claimed = a_submission(State.SUBMITTING, claim_id="me")
    other = a_submission(State.CLAIMED, claim_id="other")
    once = steps.accept(other, claimed, NOW, "task-9")
    assert [attempt.task_id for attempt in once.earlier] == ["task-9"]
    assert steps.accept(once, claimed, NOW, "task-9") == once


def test_who_hands_back_leaves_the_work_where_it_stands() -> None:
    """Open at once for another; a call that was not sent is no call."""
    later = NOW + timedelta(seconds=1)
    uploaded = a_submission(State.UPLOADED, claim_id="me", filename="a.mp4")
    back = steps.hand_back(uploaded, "me", later)
    assert (back.state, back.lease_expires_at, back.updated_at) == (State.UPLOADED, None, later)
    calling = a_submission(State.SUBMITTING, claim_id="me")
    assert steps.hand_back(calling, "me", later).state is State.CLAIMED
    with pytest.raises(ClaimLost):
        steps.hand_back(a_submission(State.SUBMITTED, claim_id="me"), "me", later)


def test_a_lease_is_renewed_by_its_holder_only() -> None:
    """Without that counting as progress."""
    later = NOW + timedelta(minutes=1)
    held = a_submission(State.UPLOADING, claim_id="me")
    renewed = steps.renew(held, "me", later)
    assert (renewed.lease_expires_at, renewed.updated_at) == (later + LEASE, NOW)
    with pytest.raises(ClaimLost):
        steps.renew(held, "other", later)


@pytest.mark.parametrize("state", [State.SUBMITTED, State.SUBMIT_UNKNOWN])
def test_a_refused_repetition_goes_back_one_step_only(state: State) -> None:
    """Recording it again, after a lost acknowledgement, is not another step back."""
    attempts = [Attempt(State.SUBMITTED, "first", None, NOW), Attempt(state, "second", None, NOW)]
    held = a_submission(State.SUBMITTING, claim_id="me", earlier=attempts, budget_day="2026-01-02")
    restored = steps.reject(held, "me", NOW, "provider_no_credit")
    assert (restored.state, restored.task_id, restored.earlier) == (state, "second", attempts[:1])
    assert (restored.budget_day, restored.lease_expires_at) == (None, None)
    with pytest.raises(ClaimLost):
        steps.reject(restored, "me", NOW, "provider_no_credit")
