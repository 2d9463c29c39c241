"""The state machine of a submission: one table of what the holder of a lease records. Pure.

The holder records its intent before every effect and the outcome after it, so the state of an entry
always tells what may have happened when a process dies:

* ``pending``: nothing was sent
* ``uploading``: bytes may be at Mavi, as ``asset_id``; the next holder looks for them first
* ``uploaded``: the asset is there; it is never uploaded again
* ``submitting``: a request may be on its way; when the lease expires, the answer is lost
* ``submitted``, ``rejected``, ``submit_unknown``: ended

``claims`` decides who gets a lease. ``docs/submissions.md`` shows this table and the diagram of all
states; ``tests/unit/test_docs.py`` and ``tests/unit/test_state_diagram.py`` compare them with the
code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from transcripts.submissions.submission import OPEN, Attempt, State, Submission

LEASE: Final = timedelta(minutes=5)
"""Longer than one call with its time-outs (70 s) and the longest pause before it (32 s)."""

RENEW_EVERY: Final = timedelta(minutes=1)

PROCESSING_TIMEOUT: Final = timedelta(hours=24)
"""How long Mavi may process an uploaded asset before the submission is rejected."""

MAX_PREVIOUS_ATTEMPTS: Final = 20
"""A document has a size limit."""


class LeaseLost(Exception):
    """The entry belongs to another holder, or has ended; the caller must stop its work."""


class Event(StrEnum):
    """The events that the holder of a lease records.

    ``DEFERRED`` counts as ``RELEASED`` for a queued entry, which the queue runs again, and as
    ``REJECTED`` for any other, so it has no row of its own.
    """

    LEASE_RENEWED = "lease renewed"
    OBJECT_FORBIDDEN = "object forbidden"
    UPLOAD_RESERVED = "upload reserved"
    UPLOAD_STARTED = "upload started"
    UPLOAD_UNREACHABLE = "upload unreachable"
    UPLOAD_FINISHED = "upload finished"
    UPLOAD_DISCARDED = "upload discarded"
    CALL_STARTED = "call started"
    CALL_REFUSED = "call refused"
    RELEASED = "released"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    ANSWER_LOST = "answer lost"
    LATE_RESULT_FOUND = "late result found"


class Target(StrEnum):
    """A state that depends on the entry."""

    SAME = "same"
    BEFORE_CALL = "state before the call"
    PREVIOUS = "state of the previous attempt"


class LeaseAction(StrEnum):
    """The effect of an event on the lease."""

    EXTEND = "extend"
    KEEP = "keep"
    RELEASE = "release"


class Facts(msgspec.Struct, frozen=True):
    """The facts that an event carries; ``task_id`` is the previous task that has its result."""

    asset_id: str | None = None
    reason: str | None = None
    task_id: str | None = None


NO_FACTS: Final = Facts()

Changes = Callable[[Submission, datetime, Facts], Mapping[str, Any]]


def _nothing(_entry: Submission, _now: datetime, _facts: Facts) -> Mapping[str, Any]:
    return {}


class Transition(msgspec.Struct, frozen=True):
    """One row: the new state, the lease, and in which states the event may be recorded.

    ``changes`` gives the other fields that change. ``restores`` tells that a repetition ends here:
    the entry returns to its previous attempt if it has one.
    """

    target: State | Target
    lease: LeaseAction
    changes: Changes = _nothing
    allowed: frozenset[State] = OPEN
    restores: bool = False


TRANSITIONS: Final[Mapping[Event, Transition]] = {
    Event.LEASE_RENEWED: Transition(Target.SAME, LeaseAction.EXTEND),
    Event.OBJECT_FORBIDDEN: Transition(
        Target.SAME,
        LeaseAction.KEEP,
        lambda entry, now, _facts: {"forbidden_since": entry.forbidden_since or now},
    ),
    Event.UPLOAD_RESERVED: Transition(
        State.UPLOADING,
        LeaseAction.EXTEND,
        lambda entry, _now, _facts: {
            "asset_id": None,
            "uploads": entry.uploads + 1,
            "forbidden_since": None,
        },
    ),
    Event.UPLOAD_STARTED: Transition(
        State.UPLOADING,
        LeaseAction.EXTEND,
        lambda _entry, now, facts: {"asset_id": facts.asset_id, "sent_at": now},
    ),
    Event.UPLOAD_UNREACHABLE: Transition(
        Target.SAME,
        LeaseAction.KEEP,
        lambda entry, _now, _facts: {"uploads": max(entry.uploads - 1, 0)},
    ),
    Event.UPLOAD_FINISHED: Transition(
        State.UPLOADED,
        LeaseAction.EXTEND,
        lambda _entry, now, facts: {"asset_id": facts.asset_id, "sent_at": now},
    ),
    Event.UPLOAD_DISCARDED: Transition(
        State.PENDING,
        LeaseAction.KEEP,
        lambda _entry, _now, _facts: {"asset_id": None, "sent_at": None},
    ),
    Event.CALL_STARTED: Transition(
        State.SUBMITTING,
        LeaseAction.EXTEND,
        lambda entry, _now, _facts: {"state_before_call": _state_before_call(entry)},
    ),
    Event.CALL_REFUSED: Transition(
        Target.BEFORE_CALL, LeaseAction.EXTEND, allowed=frozenset({State.SUBMITTING})
    ),
    Event.RELEASED: Transition(Target.BEFORE_CALL, LeaseAction.RELEASE, restores=True),
    Event.REJECTED: Transition(
        State.REJECTED,
        LeaseAction.RELEASE,
        lambda _entry, _now, facts: {"reason": facts.reason, "spend_day": None},
        allowed=frozenset(State) - {State.SUBMITTED},
        restores=True,
    ),
    Event.ANSWER_LOST: Transition(
        State.SUBMIT_UNKNOWN,
        LeaseAction.RELEASE,
        lambda _entry, _now, facts: {"reason": facts.reason},
        allowed=frozenset({State.SUBMITTING}),
    ),
    Event.LATE_RESULT_FOUND: Transition(Target.PREVIOUS, LeaseAction.RELEASE),
}


def apply(
    current: Submission | None,
    lease_id: str,
    event: Event,
    now: datetime,
    facts: Facts = NO_FACTS,
) -> Submission:
    """Return the entry after ``event``; ``now`` is in UTC.

    Raises ``LeaseLost`` if the lease is not the caller's or the table does not allow the event.
    """
    if current is None or current.lease_id != lease_id:
        raise LeaseLost
    if event is Event.DEFERRED:
        waits = current.queued and current.state in OPEN
        event = Event.RELEASED if waits else Event.REJECTED
    transition = TRANSITIONS[event]
    if current.state not in transition.allowed:
        raise LeaseLost
    # A queued repetition is released to be run again.
    runs_again = event is Event.RELEASED and current.queued
    ends_repetition = transition.restores and current.previous_attempts and not runs_again
    state = transition.target
    if state is Target.PREVIOUS or ends_repetition:
        return _restore_previous(current, now, facts)
    if state is Target.BEFORE_CALL:
        state = _state_before_call(current)
    elif state is Target.SAME:
        state = current.state
    changes: dict[str, Any] = {
        "state": state,
        "updated_at": now,
        "state_before_call": current.state_before_call if state is State.SUBMITTING else None,
        **transition.changes(current, now, facts),
    }
    if transition.lease is LeaseAction.EXTEND:
        changes["lease_expires_at"] = now + LEASE
    elif transition.lease is LeaseAction.RELEASE:
        changes["lease_expires_at"] = None
    return replace(current, **changes)


def _state_before_call(entry: Submission) -> State:
    if entry.state is not State.SUBMITTING:
        return entry.state
    return entry.state_before_call or State.PENDING


def _restore_previous(entry: Submission, now: datetime, facts: Facts) -> Submission:
    """Return to the previous attempt that has the task of ``facts``, or else to the last one.

    The entry has no holder then: applying this twice raises ``LeaseLost`` instead of going back
    one more attempt.
    """
    *previous, last = sorted(
        entry.previous_attempts,
        key=lambda each: each.task_id is not None and each.task_id == facts.task_id,
    )
    return replace(
        entry,
        state=last.state,
        task_id=last.task_id,
        reason=last.reason or (f"repetition: {facts.reason}" if facts.reason else None),
        lease_id="",
        updated_at=now,
        submitted_at=last.ended_at if last.state is State.SUBMITTED else None,
        lease_expires_at=None,
        spend_day=None,
        state_before_call=None,
        replaces_task_id=None,
        previous_attempts=previous,
    )


def accept(
    current: Submission | None, leased: Submission, now: datetime, task_id: str
) -> Submission:
    """Record the job that was bought for ``leased``, even if the lease is lost by now.

    An entry whose purchase is unknown becomes this known one; any other keeps it as an attempt.
    """
    if current is None or current.lease_id == leased.lease_id:
        return _submitted(current or leased, now, task_id)
    if current.task_id == task_id:
        return current
    if current.state is State.SUBMIT_UNKNOWN:
        # A restored entry has no holder: its unknown purchase is most likely this very one.
        attempts = current.previous_attempts
        if current.lease_id:
            attempts = add_attempt(current, current.state, None, current.reason, current.updated_at)
        return _submitted(replace(current, previous_attempts=attempts), now, task_id)
    attempts = add_attempt(current, State.SUBMITTED, task_id, None, now)
    return replace(current, previous_attempts=attempts)


def _submitted(entry: Submission, now: datetime, task_id: str) -> Submission:
    return replace(
        entry,
        state=State.SUBMITTED,
        task_id=task_id,
        reason=None,
        state_before_call=None,
        updated_at=now,
        submitted_at=now,
        lease_expires_at=None,
    )


def add_attempt(
    entry: Submission, state: State, task_id: str | None, reason: str | None, now: datetime
) -> list[Attempt]:
    """Return the previous attempts with one more; a task is in the list once."""
    if task_id is not None and any(each.task_id == task_id for each in entry.previous_attempts):
        return entry.previous_attempts
    attempts = [*entry.previous_attempts, Attempt(state, task_id, reason, now)]
    return attempts[-MAX_PREVIOUS_ATTEMPTS:]
