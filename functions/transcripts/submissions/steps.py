"""What the holder of a claim records while it works. Pure.

The intent is recorded before every effect, the outcome after it. A process that dies in between
leaves a state that tells what may have happened::

    claimed ── nothing was done: after the lease another may go on
    uploading ── bytes may be at Mavi, as ``asset_id``: after the lease another looks for them
    uploaded ── the asset is there: it is never uploaded again
    submitting ── a request may be on its way: after the lease nobody knows, so nobody repeats it

Every holder has its own ``claim_id``. A step of one whose claim was taken over meanwhile changes
nothing (``ClaimLost``), but for one: a job that was bought is always recorded.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from transcripts.submissions.submission import OPEN, Attempt, State, Submission

LEASE: Final = timedelta(minutes=5)
"""Longer than one call with its time-outs (70 s) and the longest pause before it (32 s). What takes
longer renews it."""

MAX_EARLIER: Final = 20

RENEW_EVERY: Final = timedelta(minutes=1)

TAKEN_IN_WITHIN: Final = timedelta(hours=24)
"""What has all its bytes is waited for so long, whatever Mavi says; then somebody has to ask."""


class ClaimLost(Exception):
    """The claim was taken over by somebody else; nothing may be done in its name any more."""


def _held(current: Submission | None, claim_id: str) -> Submission:
    if current is None or current.claim_id != claim_id:
        raise ClaimLost
    return current


def _held_open(current: Submission | None, claim_id: str) -> Submission:
    held = _held(current, claim_id)
    if held.state not in OPEN:
        raise ClaimLost
    return held


def renew(current: Submission | None, claim_id: str, now: datetime) -> Submission:
    """Keep the claim while something takes long. Raises ``ClaimLost``."""
    return replace(_held_open(current, claim_id), lease_expires_at=now + LEASE)


def hand_back(current: Submission | None, claim_id: str, now: datetime) -> Submission:
    """Let another go on at once, from where this stands. Raises ``ClaimLost``.

    Only who has sent no request, or knows that it bought nothing, hands back. A repetition that
    nobody comes again for is as if it had never been asked for.
    """
    held = _held_open(current, claim_id)
    if held.earlier and not held.queued:
        return _restored(held, now, None)
    return replace(_before_call(held), updated_at=now, lease_expires_at=None)


def _before_call(held: Submission) -> Submission:
    if held.state is not State.SUBMITTING:
        return held
    return replace(held, state=held.called_from or State.CLAIMED, called_from=None)


def prepare_upload(current: Submission | None, claim_id: str, now: datetime) -> Submission:
    """Record that an asset will be made; one more try. Raises ``ClaimLost``."""
    held = _held_open(current, claim_id)
    return replace(
        held,
        state=State.UPLOADING,
        asset_id=None,
        uploads=held.uploads + 1,
        updated_at=now,
        lease_expires_at=now + LEASE,
    )


def upload_not_tried(current: Submission | None, claim_id: str, now: datetime) -> Submission:
    """Record that a try met nobody, and does not count. Raises ``ClaimLost``."""
    held = _held_open(current, claim_id)
    return replace(held, uploads=max(held.uploads - 1, 0), updated_at=now)


def begin_upload(
    current: Submission | None, claim_id: str, now: datetime, asset_id: str | None
) -> Submission:
    """Record that bytes will be sent, to an asset if it is known yet. Raises ``ClaimLost``."""
    held = _held_open(current, claim_id)
    return replace(
        held,
        state=State.UPLOADING,
        asset_id=asset_id,
        sent_at=now,
        updated_at=now,
        lease_expires_at=now + LEASE,
    )


def forget_upload(current: Submission | None, claim_id: str, now: datetime) -> Submission:
    """Record that what was uploaded is of no use. Raises ``ClaimLost``."""
    held = _held_open(current, claim_id)
    return replace(held, state=State.CLAIMED, asset_id=None, sent_at=None, updated_at=now)


def end_upload(
    current: Submission | None, claim_id: str, now: datetime, asset_id: str
) -> Submission:
    """Record that every byte is there. Raises ``ClaimLost``."""
    held = _held_open(current, claim_id)
    return replace(
        held,
        state=State.UPLOADED,
        asset_id=asset_id,
        sent_at=now,
        updated_at=now,
        lease_expires_at=now + LEASE,
    )


def begin_call(current: Submission | None, claim_id: str, now: datetime) -> Submission:
    """Record that a request to buy follows. Raises ``ClaimLost``."""
    held = _held_open(current, claim_id)
    return replace(
        held,
        state=State.SUBMITTING,
        called_from=held.called_from if held.state is State.SUBMITTING else held.state,
        updated_at=now,
        lease_expires_at=now + LEASE,
    )


def call_bought_nothing(current: Submission | None, claim_id: str, now: datetime) -> Submission:
    """Record that the request bought nothing and will be sent again. Raises ``ClaimLost``."""
    held = _held(current, claim_id)
    return replace(_before_call(held), updated_at=now, lease_expires_at=now + LEASE)


def reject(current: Submission | None, claim_id: str, now: datetime, reason: str) -> Submission:
    """Record that nothing was bought, and why. Raises ``ClaimLost``.

    What was bought before a repetition stays bought: it comes back, with the reason beside it.
    """
    held = _held(current, claim_id)
    if held.state in (State.REJECTED, State.SUBMITTED):
        # Ours already, by a commit whose acknowledgement was lost.
        return held
    if held.earlier:
        return _restored(held, now, reason)
    return replace(
        held,
        state=State.REJECTED,
        reason=reason,
        called_from=None,
        updated_at=now,
        lease_expires_at=None,
        budget_day=None,
    )


def not_now(current: Submission | None, claim_id: str, now: datetime, reason: str) -> Submission:
    """Reject what will be possible later, but leave the queue what is the queue's to do.

    Raises ``ClaimLost``.
    """
    held = _held(current, claim_id)
    if held.queued and held.state in OPEN:
        return hand_back(held, claim_id, now)
    return reject(held, claim_id, now, reason)


def keep_earlier(
    current: Submission | None, claim_id: str, now: datetime, task_id: str
) -> Submission:
    """Give a repetition up: the result of that earlier task is enough. Raises ``ClaimLost``."""
    held = _held_open(current, claim_id)
    # What is restored is the last one.
    earlier = sorted(held.earlier, key=lambda attempt: attempt.task_id == task_id)
    return _restored(replace(held, earlier=earlier), now, None)


def _restored(held: Submission, now: datetime, reason: str | None) -> Submission:
    """Return to what was bought, or may have been, before a repetition.

    Nobody holds it then, so that doing this twice is a lost claim and not another step back.
    """
    *earlier, last = held.earlier
    return replace(
        held,
        state=last.state,
        task_id=last.task_id,
        reason=last.reason or (f"repetition: {reason}" if reason else None),
        claim_id="",
        updated_at=now,
        submitted_at=last.ended_at if last.state is State.SUBMITTED else None,
        lease_expires_at=None,
        budget_day=None,
        called_from=None,
        instead_of=None,
        earlier=earlier,
    )


def lose_answer(
    current: Submission | None, claim_id: str, now: datetime, reason: str
) -> Submission:
    """Record that nobody knows whether it was bought. Raises ``ClaimLost``."""
    held = _held(current, claim_id)
    return replace(
        held,
        state=State.SUBMIT_UNKNOWN,
        reason=reason,
        called_from=None,
        updated_at=now,
        lease_expires_at=None,
    )


def accept(
    current: Submission | None, claimed: Submission, now: datetime, task_id: str
) -> Submission:
    """Record the job that was bought, whatever became of the claim meanwhile."""
    if current is None or current.claim_id == claimed.claim_id:
        return replace(
            current or claimed,
            state=State.SUBMITTED,
            task_id=task_id,
            reason=None,
            called_from=None,
            updated_at=now,
            submitted_at=now,
            lease_expires_at=None,
        )
    return replace(current, earlier=remembered(current, State.SUBMITTED, task_id, None, now))


def remembered(
    current: Submission, state: State, task_id: str | None, reason: str | None, now: datetime
) -> list[Attempt]:
    """Return the earlier purchases with one more, once; a document has a size."""
    if task_id is not None and any(attempt.task_id == task_id for attempt in current.earlier):
        return current.earlier
    return [*current.earlier, Attempt(state, task_id, reason, now)][-MAX_EARLIER:]
