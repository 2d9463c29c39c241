"""The events that the holder of a lease records: allowed states, new states, lease."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.fakes import NOW
from tests.unit.test_claims import a_submission
from transcripts.submissions.submission import OPEN, Attempt, State, Submission
from transcripts.submissions.transitions import (
    LEASE,
    TRANSITIONS,
    Event,
    Facts,
    LeaseAction,
    LeaseLost,
    Target,
    accept,
    apply,
)

LATER = NOW + timedelta(minutes=1)
FACTS = Facts(asset_id="re_9", reason="why")


def held(state: State, **changes: object) -> Submission:
    """Return an entry under the lease ``me``."""
    return a_submission(state, lease_id="me", lease_expires_at=NOW + LEASE, **changes)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(
    "event", [each for each in TRANSITIONS if each is not Event.LATE_RESULT_FOUND]
)
def test_apply_each_event_in_each_state_follows_the_table(event: Event, state: State) -> None:
    """The event is applied where the table allows it, and raises ``LeaseLost`` elsewhere."""
    entry = held(state, state_before_call=State.UPLOADED if state is State.SUBMITTING else None)
    row = TRANSITIONS[event]
    if state not in row.allowed:
        with pytest.raises(LeaseLost):
            apply(entry, "me", event, LATER, FACTS)
        return
    after = apply(entry, "me", event, LATER, FACTS)
    before_call = State.UPLOADED if state is State.SUBMITTING else state
    expected = {Target.SAME: state, Target.BEFORE_CALL: before_call}
    assert after.state is (expected[row.target] if isinstance(row.target, Target) else row.target)
    assert (
        after.lease_expires_at
        == {
            LeaseAction.EXTEND: LATER + LEASE,
            LeaseAction.KEEP: NOW + LEASE,
            LeaseAction.RELEASE: None,
        }[row.lease]
    )
    assert after.updated_at == LATER
    assert (after.state_before_call is not None) == (after.state is State.SUBMITTING)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("current", [None, a_submission(State.SUBMITTING)])
def test_apply_without_the_lease_raises(current: Submission | None, event: Event) -> None:
    """An entry that is gone, or has another holder, is not changed."""
    with pytest.raises(LeaseLost):
        apply(current, "me", event, NOW)


def test_apply_upload_events_records_asset_time_and_tries() -> None:
    """The events come before any byte, when the asset is known, and after the last byte."""
    reserved = apply(held(State.PENDING, asset_id="old"), "me", Event.UPLOAD_RESERVED, NOW)
    assert (reserved.asset_id, reserved.uploads, reserved.sent_at) == (None, 1, None)
    unreachable = apply(reserved, "me", Event.UPLOAD_UNREACHABLE, NOW)
    assert unreachable.uploads == 0
    assert apply(unreachable, "me", Event.UPLOAD_UNREACHABLE, NOW).uploads == 0
    started = apply(reserved, "me", Event.UPLOAD_STARTED, NOW, FACTS)
    assert (started.asset_id, started.uploads, started.sent_at) == ("re_9", 1, NOW)
    finished = apply(started, "me", Event.UPLOAD_FINISHED, LATER, FACTS)
    assert (finished.asset_id, finished.sent_at) == ("re_9", LATER)
    discarded = apply(finished, "me", Event.UPLOAD_DISCARDED, NOW)
    assert (discarded.asset_id, discarded.sent_at, discarded.uploads) == (None, None, 1)


@pytest.mark.parametrize("state", [State.PENDING, State.UPLOADING, State.UPLOADED])
@pytest.mark.parametrize("event", [Event.CALL_REFUSED, Event.RELEASED])
def test_apply_after_a_repeated_call_returns_to_the_state_before_it(
    event: Event, state: State
) -> None:
    """A half-finished upload whose call is refused is ``uploading`` again."""
    calling = apply(held(state), "me", Event.CALL_STARTED, NOW)
    calling = apply(calling, "me", Event.CALL_STARTED, NOW)
    back = apply(calling, "me", event, NOW)
    assert (back.state, back.state_before_call) == (state, None)


def test_apply_rejected_records_the_reason_and_frees_the_spend() -> None:
    """An entry without previous attempts ends as rejected."""
    rejected = apply(
        held(State.SUBMITTING, spend_day="2026-01-02"), "me", Event.REJECTED, NOW, FACTS
    )
    assert (rejected.reason, rejected.spend_day) == ("why", None)


def test_apply_answer_lost_records_the_reason_and_keeps_the_spend() -> None:
    """The job may have been bought, so it counts."""
    lost = apply(
        held(State.SUBMITTING, spend_day="2026-01-02"), "me", Event.ANSWER_LOST, NOW, FACTS
    )
    assert (lost.reason, lost.spend_day) == ("why", "2026-01-02")


PREVIOUS = [
    Attempt(State.SUBMITTED, "first", None, NOW),
    Attempt(State.SUBMIT_UNKNOWN, None, "http_500", NOW),
    Attempt(State.SUBMITTED, "third", None, LATER),
]


@pytest.mark.parametrize("state", sorted(OPEN))
def test_apply_rejected_repetition_restores_the_last_attempt_once(state: State) -> None:
    """Applying it again after a lost acknowledgement does not go back one more attempt."""
    entry = held(
        state,
        previous_attempts=PREVIOUS,
        spend_day="2026-01-02",
        replaces_task_id="third",
        state_before_call=State.PENDING if state is State.SUBMITTING else None,
    )
    restored = apply(entry, "me", Event.REJECTED, NOW, Facts(reason="provider_no_credit"))
    assert (restored.state, restored.task_id, restored.submitted_at) == (
        State.SUBMITTED,
        "third",
        LATER,
    )
    assert restored.reason == "repetition: provider_no_credit"
    assert restored.previous_attempts == PREVIOUS[:2]
    assert (restored.spend_day, restored.lease_expires_at) == (None, None)
    assert (restored.state_before_call, restored.replaces_task_id) == (None, None)
    with pytest.raises(LeaseLost):
        apply(restored, "me", Event.REJECTED, NOW, FACTS)


def test_apply_rejected_repetition_of_an_unknown_purchase_keeps_its_reason() -> None:
    """The answer of the previous attempt stays lost."""
    entry = held(State.SUBMITTING, previous_attempts=PREVIOUS[:2])
    restored = apply(entry, "me", Event.REJECTED, NOW, FACTS)
    assert (restored.state, restored.reason, restored.submitted_at) == (
        State.SUBMIT_UNKNOWN,
        "http_500",
        None,
    )


@pytest.mark.parametrize("queued", [True, False])
def test_apply_released_repetition_is_restored_unless_it_is_queued(*, queued: bool) -> None:
    """If nothing will run a repetition again, the previous attempt is restored."""
    entry = held(State.SUBMITTING, previous_attempts=PREVIOUS, queued=queued)
    released = apply(entry, "me", Event.RELEASED, NOW)
    assert (released.state, len(released.previous_attempts)) == (
        (State.PENDING, 3) if queued else (State.SUBMITTED, 2)
    )


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("queued", [True, False])
def test_apply_deferred_releases_only_an_open_queued_entry(state: State, *, queued: bool) -> None:
    """A caller that gives up does not reject an entry that the queue will retry."""
    entry = held(state, queued=queued)
    if state is State.SUBMITTED:
        with pytest.raises(LeaseLost):
            apply(entry, "me", Event.DEFERRED, NOW, FACTS)
        return
    deferred = apply(entry, "me", Event.DEFERRED, NOW, FACTS)
    released = queued and state in OPEN
    assert (deferred.state is State.REJECTED) is not released
    assert deferred.lease_expires_at is None
    with pytest.raises(LeaseLost):
        apply(entry, "other", Event.DEFERRED, NOW, FACTS)


def test_apply_late_result_found_returns_to_the_task_that_has_its_result() -> None:
    """The other previous attempts stay on record."""
    entry = held(State.PENDING, previous_attempts=PREVIOUS, replaces_task_id="third")
    first = Facts(task_id="first")
    restored = apply(entry, "me", Event.LATE_RESULT_FOUND, NOW, first)
    assert (restored.state, restored.task_id) == (State.SUBMITTED, "first")
    assert [each.task_id for each in restored.previous_attempts] == [None, "third"]
    for lost in (None, a_submission(State.PENDING), held(State.SUBMITTED)):
        with pytest.raises(LeaseLost):
            apply(lost, "me", Event.LATE_RESULT_FOUND, NOW, first)


def test_accept_records_the_job_of_the_holder() -> None:
    """The job is recorded even if the call was declared lost meanwhile."""
    mine = held(State.SUBMITTING)
    for current in (mine, None, replace(mine, state=State.SUBMIT_UNKNOWN, reason="expired")):
        found = accept(current, mine, LATER, "t")
        assert (found.state, found.task_id, found.submitted_at) == (State.SUBMITTED, "t", LATER)
        assert (found.reason, found.state_before_call, found.lease_expires_at) == (
            None,
            None,
            None,
        )


def test_accept_after_the_lease_is_lost_adds_a_previous_attempt_once() -> None:
    """The job that was bought is never forgotten, however often its record is repeated."""
    mine = held(State.SUBMITTING)
    other = a_submission(State.SUBMITTED, lease_id="other", task_id="theirs")
    both = accept(other, mine, NOW, "task-9")
    assert (both.task_id, [each.task_id for each in both.previous_attempts]) == (
        "theirs",
        ["task-9"],
    )
    assert accept(both, mine, NOW, "task-9") == both


def test_accept_after_a_restored_unknown_purchase_records_its_task() -> None:
    """The call expired, another repetition was refused, and then the late answer arrives."""
    mine = held(State.SUBMITTING)
    unknown = a_submission(State.SUBMIT_UNKNOWN, lease_id="", reason="process_ended")
    known = accept(unknown, mine, LATER, "task-9")
    assert (known.state, known.task_id, known.submitted_at) == (State.SUBMITTED, "task-9", LATER)
    assert (known.reason, known.previous_attempts) == (None, [])
    assert accept(known, mine, LATER, "task-9") == known


def test_accept_after_another_unknown_purchase_keeps_that_one_as_an_attempt() -> None:
    """The entry shows the known task, and keeps the lost answer as a previous attempt."""
    other = a_submission(State.SUBMIT_UNKNOWN, lease_id="other", reason="timeout")
    known = accept(other, held(State.SUBMITTING), LATER, "task-9")
    assert (known.state, known.task_id) == (State.SUBMITTED, "task-9")
    assert [(each.state, each.reason) for each in known.previous_attempts] == [
        (State.SUBMIT_UNKNOWN, "timeout")
    ]
