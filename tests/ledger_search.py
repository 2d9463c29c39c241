"""Every possible change of a submission's state: an exhaustive search over the pure decisions.

The search starts without an entry. In each situation it tries every request, every run of the
sweep, and every record that the holder of the lease may make next. Times, counts and task ids are
reduced to what the decisions read, so the search ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

from msgspec.structs import replace as changed

from tests.fakes import NOW
from transcripts.submissions import claims
from transcripts.submissions.claims import LeaseGranted, PurchaseRequest
from transcripts.submissions.submission import State, Submission
from transcripts.submissions.transitions import (
    LEASE,
    Event,
    Facts,
    LeaseLost,
    accept,
    apply,
)

NEW: Final = "[*]"
"""The state before an entry exists, as a mermaid diagram writes it."""

LATER: Final = NOW + timedelta(days=1)
"""A time at which every lease of ``NOW`` has expired and every entry is idle."""

MAX_ATTEMPTS: Final = 1
"""How many previous attempts the search follows; two lead to the same changes."""
FACTS: Final = Facts(asset_id="re_1", reason="why")

Edge = tuple[str, str]


class At(StrEnum):
    """The progress of a holder in ``service``, ``uploader`` and ``submitter``."""

    NO_HOLDER = "no holder"
    GRANTED = "granted"
    RESERVED = "reserved"
    SENDING = "sending"
    LEAVING = "leaving"
    PROCESSING = "processing"
    CALLING = "calling"
    REFUSED = "refused"


_END: Final = {Event.RELEASED: At.NO_HOLDER, Event.REJECTED: At.NO_HOLDER}
_BEFORE_BYTES: Final = {Event.OBJECT_FORBIDDEN: At.LEAVING, **_END}
_SENDING: Final = {
    Event.OBJECT_FORBIDDEN: At.LEAVING,
    Event.UPLOAD_STARTED: At.SENDING,
    Event.UPLOAD_UNREACHABLE: At.LEAVING,
    **_END,
}
RECORDS: Final[Mapping[At, Mapping[Event, At]]] = {
    At.NO_HOLDER: {},
    At.GRANTED: {Event.CALL_STARTED: At.CALLING, **_BEFORE_BYTES},
    At.RESERVED: _SENDING,
    At.SENDING: {Event.UPLOAD_FINISHED: At.PROCESSING, **_SENDING},
    At.LEAVING: {Event.RELEASED: At.NO_HOLDER},
    At.PROCESSING: {
        Event.LEASE_RENEWED: At.PROCESSING,
        Event.UPLOAD_DISCARDED: At.LEAVING,
        Event.CALL_STARTED: At.CALLING,
        **_END,
    },
    At.CALLING: {Event.CALL_REFUSED: At.REFUSED, Event.ANSWER_LOST: At.NO_HOLDER, **_END},
    At.REFUSED: {Event.CALL_STARTED: At.CALLING, **_END},
}
"""The records that a holder may make next, and how far it is after each. A holder releases an entry
in ``submitting`` if the commit of ``call started`` was not acknowledged: nothing was sent."""


@dataclass(frozen=True)
class Situation:
    """An entry, its holder, and whether a call of a former holder may still be answered."""

    entry: Submission | None
    holder: At = At.NO_HOLDER
    late_answer: bool = False


def _reduced(entry: Submission | None) -> Submission | None:
    """Return an entry with times and counts that do not grow."""
    if entry is None:
        return None
    return changed(
        entry,
        created_at=NOW,
        updated_at=NOW,
        submitted_at=None,
        sent_at=None,
        lease_expires_at=NOW + LEASE if entry.lease_expires_at else None,
        enqueue_count=0,
        uploads=0,
        reason=None,
        previous_attempts=[
            changed(each, reason=None, ended_at=NOW) for each in entry.previous_attempts
        ],
    )


def _requests(situation: Situation, filename: str | None) -> Iterator[PurchaseRequest]:
    lease_id = "b" if situation.entry and situation.entry.lease_id == "a" else "a"
    for now in (NOW, LATER):
        for force in (False, True):
            for retry_rejected in (False, True):
                yield PurchaseRequest(
                    "s",
                    now,
                    lease_id,
                    asset_id=None if filename else "re_1",
                    filename=filename,
                    force=force,
                    retry_rejected=retry_rejected,
                )


def _requested(situation: Situation, filename: str | None) -> Iterator[Situation]:
    """Yield the situations after a request, an upload event or a run of the queue."""
    entry = situation.entry
    for request in _requests(situation, filename):
        claimed = claims.claim(entry, None, request)
        late_answer = situation.late_answer or situation.holder is At.CALLING
        if isinstance(claimed.decision, LeaseGranted):
            yield Situation(claimed.submission, At.GRANTED, late_answer)
        elif claimed.submission is not None:
            yield replace(situation, entry=claimed.submission)
        enqueued = claims.enqueue(entry, request)
        if enqueued.submission is not None:
            yield _changed_by_another(situation, enqueued.submission)
        rejected = claims.reject(entry, request, "not_media")
        if rejected.submission is not None:
            yield Situation(rejected.submission)


def _swept(situation: Situation) -> Iterator[Situation]:
    """Yield the situations after a run of the sweep."""
    entry = situation.entry
    yield from (
        _changed_by_another(situation, found)
        for found in (
            claims.requeue(entry, LATER, timedelta(hours=2)).submission,
            claims.expire_call(entry, LATER).submission,
        )
        if found is not None
    )
    if entry is not None and entry.task_id is not None:
        again = claims.resubmit(entry, entry.task_id, NOW, 1).submission
        if again is not None:
            yield _changed_by_another(situation, again)


def _changed_by_another(situation: Situation, entry: Submission) -> Situation:
    """Return the situation after another writer; a holder that has the lease continues."""
    before = situation.entry
    if before is not None and before.lease_id == entry.lease_id:
        return replace(situation, entry=entry)
    late_answer = situation.late_answer or situation.holder is At.CALLING
    return Situation(entry, At.NO_HOLDER, late_answer)


def _next_task_id(entry: Submission) -> str:
    used = {entry.task_id, *(each.task_id for each in entry.previous_attempts)}
    return next(name for name in ("t1", "t2", "t3", "t4") if name not in used)


def _records(entry: Submission, holder: At) -> dict[Event, At]:
    """Return the records that the holder may make next; after a grant the entry decides."""
    records = dict(RECORDS[holder])
    if holder is At.GRANTED and entry.filename is not None:
        if entry.asset_id is None:
            del records[Event.CALL_STARTED]
        else:
            records |= RECORDS[At.PROCESSING]
        if entry.state is not State.UPLOADED:
            records[Event.UPLOAD_RESERVED] = At.RESERVED
    return records


def _recorded(situation: Situation) -> Iterator[Situation]:
    """Yield the situations after a record of the holder, and after its process ended."""
    entry, holder = situation.entry, situation.holder
    if entry is None:
        return
    task_id = _next_task_id(entry)
    if situation.late_answer:
        former = changed(entry, lease_id="former")
        yield replace(situation, entry=accept(entry, former, NOW, task_id), late_answer=False)
    if holder is At.NO_HOLDER:
        return
    ended = replace(situation, holder=At.NO_HOLDER)
    yield ended
    for event, then in _records(entry, holder).items():
        with suppress(LeaseLost):
            after = apply(entry, entry.lease_id, event, NOW, FACTS)
            yield replace(situation, entry=after, holder=then)
    if holder is At.CALLING:
        yield replace(ended, entry=accept(entry, entry, NOW, task_id))
        # A holder continues after a refused call even if it could not record the refusal.
        yield replace(situation, holder=At.REFUSED)
    with suppress(LeaseLost):
        if holder is At.REFUSED:
            yield replace(ended, entry=apply(entry, entry.lease_id, Event.DEFERRED, NOW, FACTS))
        if holder is At.GRANTED and entry.replaces_task_id is not None:
            facts = Facts(task_id=entry.replaces_task_id)
            after = apply(entry, entry.lease_id, Event.LATE_RESULT_FOUND, NOW, facts)
            yield replace(ended, entry=after)


def possible_changes() -> set[Edge]:
    """Return every pair of different states of which the second may follow the first."""
    edges: set[Edge] = set()
    for filename in (None, "talk.mp4"):
        todo = [Situation(None)]
        seen = {repr(todo[0])}
        while todo:
            before = todo.pop()
            for after in (
                *_requested(before, filename),
                *_swept(before),
                *_recorded(before),
            ):
                edges.add((_state(before), _state(after)))
                reduced = replace(after, entry=_reduced(after.entry))
                attempts = reduced.entry.previous_attempts if reduced.entry else []
                if len(attempts) <= MAX_ATTEMPTS and (key := repr(reduced)) not in seen:
                    seen.add(key)
                    todo.append(reduced)
    return {(before, after) for before, after in edges if before != after}


def _state(situation: Situation) -> str:
    return str(situation.entry.state) if situation.entry else NEW
