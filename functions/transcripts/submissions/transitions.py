"""What the holder of a claim records while it works. Pure.

The intent is recorded before every effect, the outcome after it. A process that dies in between
leaves a state that tells what may have happened::

    claimed ── nothing was done: after the lease another may go on
    uploading ── bytes may be at Mavi, as ``asset_id``: after the lease another looks for them
    uploaded ── the asset is there: it is never uploaded again
    submitting ── a request may be on its way: after the lease nobody knows, so nobody repeats it

Every holder has its own ``lease_id``. A step of one whose claim was taken over meanwhile changes
nothing (``LeaseLost``), but for one: a job that was bought is always recorded.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from transcripts.submissions.submission import OPEN, Attempt, State, Submission

LEASE: Final = timedelta(minutes=5)
"""Longer than one call with its time-outs (70 s) and the longest pause before it (32 s). What takes
longer renews it."""

MAX_PREVIOUS_ATTEMPTS: Final = 20

RENEW_EVERY: Final = timedelta(minutes=1)

PROCESSING_TIMEOUT: Final = timedelta(hours=24)
"""What has all its bytes is waited for so long, whatever Mavi says; then somebody has to ask."""


class LeaseLost(Exception):
    """The claim was taken over by somebody else; nothing may be done in its name any more."""


def _held(current: Submission | None, lease_id: str) -> Submission:
    if current is None or current.lease_id != lease_id:
        raise LeaseLost
    return current


def _held_open(current: Submission | None, lease_id: str) -> Submission:
    held = _held(current, lease_id)
    if held.state not in OPEN:
        raise LeaseLost
    return held


def renew(current: Submission | None, lease_id: str, now: datetime) -> Submission:
    """Keep the claim while something takes long. Raises ``LeaseLost``."""
    return replace(_held_open(current, lease_id), lease_expires_at=now + LEASE)


def release(current: Submission | None, lease_id: str, now: datetime) -> Submission:
    """Let another go on at once, from where this stands. Raises ``LeaseLost``.

    Only who has sent no request, or knows that it bought nothing, hands back. A repetition that
    nobody comes again for is as if it had never been asked for.
    """
    held = _held_open(current, lease_id)
    if held.previous_attempts and not held.queued:
        return _restore_previous(held, now, None)
    return replace(_before_call(held), updated_at=now, lease_expires_at=None)


def _before_call(held: Submission) -> Submission:
    if held.state is not State.SUBMITTING:
        return held
    return replace(held, state=held.state_before_call or State.PENDING, state_before_call=None)


def prepare_upload(current: Submission | None, lease_id: str, now: datetime) -> Submission:
    """Record that an asset will be made; one more try. Raises ``LeaseLost``."""
    held = _held_open(current, lease_id)
    return replace(
        held,
        state=State.UPLOADING,
        asset_id=None,
        uploads=held.uploads + 1,
        updated_at=now,
        lease_expires_at=now + LEASE,
    )


def uncount_upload(current: Submission | None, lease_id: str, now: datetime) -> Submission:
    """Record that a try met nobody, and does not count. Raises ``LeaseLost``."""
    held = _held_open(current, lease_id)
    return replace(held, uploads=max(held.uploads - 1, 0), updated_at=now)


def begin_upload(
    current: Submission | None, lease_id: str, now: datetime, asset_id: str | None
) -> Submission:
    """Record that bytes will be sent, to an asset if it is known yet. Raises ``LeaseLost``."""
    held = _held_open(current, lease_id)
    return replace(
        held,
        state=State.UPLOADING,
        asset_id=asset_id,
        sent_at=now,
        updated_at=now,
        lease_expires_at=now + LEASE,
    )


def discard_upload(current: Submission | None, lease_id: str, now: datetime) -> Submission:
    """Record that what was uploaded is of no use. Raises ``LeaseLost``."""
    held = _held_open(current, lease_id)
    return replace(held, state=State.PENDING, asset_id=None, sent_at=None, updated_at=now)


def end_upload(
    current: Submission | None, lease_id: str, now: datetime, asset_id: str
) -> Submission:
    """Record that every byte is there. Raises ``LeaseLost``."""
    held = _held_open(current, lease_id)
    return replace(
        held,
        state=State.UPLOADED,
        asset_id=asset_id,
        sent_at=now,
        updated_at=now,
        lease_expires_at=now + LEASE,
    )


def begin_call(current: Submission | None, lease_id: str, now: datetime) -> Submission:
    """Record that a request to buy follows. Raises ``LeaseLost``."""
    held = _held_open(current, lease_id)
    return replace(
        held,
        state=State.SUBMITTING,
        state_before_call=held.state_before_call if held.state is State.SUBMITTING else held.state,
        updated_at=now,
        lease_expires_at=now + LEASE,
    )


def call_refused(current: Submission | None, lease_id: str, now: datetime) -> Submission:
    """Record that the request bought nothing and will be sent again. Raises ``LeaseLost``."""
    held = _held(current, lease_id)
    return replace(_before_call(held), updated_at=now, lease_expires_at=now + LEASE)


def reject(current: Submission | None, lease_id: str, now: datetime, reason: str) -> Submission:
    """Record that nothing was bought, and why. Raises ``LeaseLost``.

    What was bought before a repetition stays bought: it comes back, with the reason beside it.
    """
    held = _held(current, lease_id)
    if held.state in (State.REJECTED, State.SUBMITTED):
        # Ours already, by a commit whose acknowledgement was lost.
        return held
    if held.previous_attempts:
        return _restore_previous(held, now, reason)
    return replace(
        held,
        state=State.REJECTED,
        reason=reason,
        state_before_call=None,
        updated_at=now,
        lease_expires_at=None,
        spend_day=None,
    )


def defer(current: Submission | None, lease_id: str, now: datetime, reason: str) -> Submission:
    """Reject what will be possible later, but leave the queue what is the queue's to do.

    Raises ``LeaseLost``.
    """
    held = _held(current, lease_id)
    if held.queued and held.state in OPEN:
        return release(held, lease_id, now)
    return reject(held, lease_id, now, reason)


def restore_previous(
    current: Submission | None, lease_id: str, now: datetime, task_id: str
) -> Submission:
    """Give a repetition up: the result of that earlier task is enough. Raises ``LeaseLost``."""
    held = _held_open(current, lease_id)
    # What is restored is the last one.
    previous = sorted(held.previous_attempts, key=lambda attempt: attempt.task_id == task_id)
    return _restore_previous(replace(held, previous_attempts=previous), now, None)


def _restore_previous(held: Submission, now: datetime, reason: str | None) -> Submission:
    """Return to what was bought, or may have been, before a repetition.

    Nobody holds it then, so that doing this twice is a lost claim and not another step back.
    """
    *previous, last = held.previous_attempts
    return replace(
        held,
        state=last.state,
        task_id=last.task_id,
        reason=last.reason or (f"repetition: {reason}" if reason else None),
        lease_id="",
        updated_at=now,
        submitted_at=last.ended_at if last.state is State.SUBMITTED else None,
        lease_expires_at=None,
        spend_day=None,
        state_before_call=None,
        replaces_task_id=None,
        previous_attempts=previous,
    )


def answer_lost_entry(
    current: Submission | None, lease_id: str, now: datetime, reason: str
) -> Submission:
    """Record that nobody knows whether it was bought. Raises ``LeaseLost``."""
    held = _held(current, lease_id)
    return replace(
        held,
        state=State.SUBMIT_UNKNOWN,
        reason=reason,
        state_before_call=None,
        updated_at=now,
        lease_expires_at=None,
    )


def accept(
    current: Submission | None, claimed: Submission, now: datetime, task_id: str
) -> Submission:
    """Record the job that was bought, whatever became of the claim meanwhile."""
    if current is None or current.lease_id == claimed.lease_id:
        return replace(
            current or claimed,
            state=State.SUBMITTED,
            task_id=task_id,
            reason=None,
            state_before_call=None,
            updated_at=now,
            submitted_at=now,
            lease_expires_at=None,
        )
    return replace(
        current, previous_attempts=remembered(current, State.SUBMITTED, task_id, None, now)
    )


def remembered(
    current: Submission, state: State, task_id: str | None, reason: str | None, now: datetime
) -> list[Attempt]:
    """Return the earlier purchases with one more, once; a document has a size."""
    if task_id is not None and any(
        attempt.task_id == task_id for attempt in current.previous_attempts
    ):
        return current.previous_attempts
    return [*current.previous_attempts, Attempt(state, task_id, reason, now)][
        -MAX_PREVIOUS_ATTEMPTS:
    ]
