"""The purchase ledger: each call reads an entry, decides, and writes the decision as one step.

The decisions are the pure functions of ``claims`` and ``transitions``. One commit writes everything
that changes together: the entry, the owner of its asset, the spend counters, and the submission's
side of a task. A commit that meets another writer is decided again on the new state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from transcripts.errors import Conflict, StoreUnavailable
from transcripts.ids import label_pairs
from transcripts.ports import ABSENT, Documents, Read, Snapshot, T, Version, Write
from transcripts.retention import expiry
from transcripts.retry import Retrier
from transcripts.submissions import claims, transitions
from transcripts.submissions.submission import (
    OPEN,
    AssetOwner,
    RecordingOwner,
    SpendCounter,
    State,
    Submission,
    asset_owner_path,
    recording_owner_path,
    search_keys,
    spend_counter_path,
    submission_id_of_asset,
    submission_path,
)
from transcripts.submissions.transitions import NO_FACTS, Event, Facts
from transcripts.tasks.merge import DECIDING_FIELDS, merge
from transcripts.tasks.task import Status, Task, task_path

D = TypeVar("D")

PERSIST_PAUSE_S: Final = 1.0

_Decide = Callable[[Submission | None, SpendCounter | None], claims.Change[D]]


class DuplicateSubmission(Exception):
    """The asset or recording belongs to the submission ``submission_id``, which is another one."""

    def __init__(self, submission_id: str) -> None:
        super().__init__(submission_id)
        self.submission_id = submission_id


class Ledger:
    """The purchase ledger in a store of documents.

    Every method raises ``StoreUnavailable`` when the time of ``retrier`` is used up. Ended entries
    are kept for ``retention_days`` days, 0 for ever.
    """

    def __init__(
        self,
        documents: Documents,
        retrier: Retrier,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        retention_days: int = 0,
    ) -> None:
        self._documents = documents
        self._retrier = retrier
        self._clock = clock
        self._sleep = sleep
        self._retention_days = retention_days

    async def submission_id_of(self, asset_id: str) -> str:
        """Return the id of the submission that an asset belongs to."""
        read = Read(asset_owner_path(asset_id), AssetOwner)
        found = await self._retrier.run(lambda: self._read(read))
        return found.value.submission_id if found else submission_id_of_asset(asset_id)

    async def claim(self, request: claims.PurchaseRequest) -> claims.ClaimDecision:
        """Give the request the lease of its entry, if it may buy now."""
        return await self._change(
            request.submission_id,
            lambda current, counter: claims.claim(current, counter, request),
            spend_day=request.day if request.cap_per_day else None,
        )

    async def enqueue(self, request: claims.PurchaseRequest) -> claims.EnqueueDecision:
        """Record that a purchase is queued, unless there is nothing to buy.

        Raises ``DuplicateSubmission`` instead of beginning a second purchase of a recording.
        """
        return await self._change(
            request.submission_id, lambda current, _: claims.enqueue(current, request)
        )

    async def reject(
        self, request: claims.PurchaseRequest, reason: str, duplicate_of: str | None = None
    ) -> bool:
        """Record a rejected purchase that has no entry yet; tells whether it had none."""
        return await self._change(
            request.submission_id,
            lambda current, _: claims.reject(current, request, reason, duplicate_of),
        )

    async def requeue(self, submission_id: str, idle: timedelta) -> Submission | None:
        """Record that an entry that was idle for ``idle`` is queued again; None if it was not idle.

        A forced repetition without a caller returns as the previous attempt instead.
        """
        now = self._clock()
        return await self._change(
            submission_id, lambda current, _: claims.requeue(current, now, idle)
        )

    async def expire_call(self, submission_id: str) -> bool:
        """Record a lost answer if the lease ended during the call; tells whether it did."""
        return await self._change(
            submission_id, lambda current, _: claims.expire_call(current, self._clock())
        )

    async def redact(self, submission_id: str, task_id: str) -> bool:
        """Remove what is personal from the entry of a deleted task.

        Returns False while the asset is bought again: then nothing is removed.
        """
        return await self._change(
            submission_id, lambda current, _: claims.redact(current, task_id, self._clock())
        )

    async def erase(self, submission_id: str, deleted: Collection[str]) -> claims.EraseDecision:
        """Remove what is personal from an entry, of whose tasks ``deleted`` are deleted."""
        return await self._change(
            submission_id, lambda current, _: claims.erase(current, deleted, self._clock())
        )

    async def mark_overdue(
        self, late: Snapshot[Task], resubmit_limit: int
    ) -> tuple[bool, Submission | None]:
        """Mark a task overdue, and record that its asset is bought again, below the limit.

        Both are one commit against the task as it was found, so a result that comes now wins.
        Returns whether the task is marked, and the entry that is bought again.
        """
        task = replace(late.value, status=Status.OVERDUE)
        writes = [Write(task_path(task.task_id), task, ("status",), expect=late.version)]
        again: Submission | None = None
        if resubmit_limit and task.submission_id is not None:
            found = await self._read(Read(submission_path(task.submission_id), Submission))
            change = claims.resubmit(_value(found), task.task_id, self._clock(), resubmit_limit)
            again = change.decision
            if change.submission is not None:
                writes += await self._writes_of(found, change.submission)
        try:
            await self._documents.commit(*writes)
        except Conflict:
            return False, None
        return True, again

    async def record(
        self,
        submission_id: str,
        lease_id: str,
        event: Event,
        facts: Facts = NO_FACTS,
        *,
        within: timedelta = timedelta(0),
    ) -> Submission:
        """Record an event of the holder of a lease, once, and return the entry.

        After ``StoreUnavailable`` it is tried again for ``within``. Raises ``LeaseLost`` and
        ``DuplicateSubmission``.
        """
        written: Submission | None = None

        def decide(current: Submission | None, _: SpendCounter | None) -> claims.Change[Submission]:
            nonlocal written
            if written is not None and current is not None and _same(current, written):
                # The commit happened although its acknowledgement was lost.
                return claims.Change(current)
            written = transitions.apply(current, lease_id, event, self._clock(), facts)
            # A purchase that no longer counts on its day is uncounted.
            day = current.spend_day if current and not written.spend_day else None
            return claims.Change(written, written, uncounted_day=day)

        return await self._persist(lambda: self._change(submission_id, decide), within)

    async def record_purchase(
        self, leased: Submission, task: Task, *, within: timedelta
    ) -> Submission:
        """Record the job that was bought for ``leased``, even if the lease is lost by now.

        ``task`` is the submission's side of the task, merged in the same commit.
        """

        def decide(current: Submission | None, _: SpendCounter | None) -> claims.Change[Submission]:
            moment = task.submitted_at or self._clock()
            entry = transitions.accept(current, leased, moment, task.task_id)
            return claims.Change(entry, entry)

        return await self._persist(
            lambda: self._change(leased.submission_id, decide, task=task), within
        )

    async def first_with_result(self, task_ids: Sequence[str]) -> str | None:
        """Return the first of these tasks whose result is stored, or None.

        A deleted task counts: its result had been stored.
        """
        fields = ("task_id", "status", "revision")
        reads = [Read(task_path(task_id), Task, fields) for task_id in task_ids]
        found = await self._retrier.run(lambda: self._documents.read(*reads))
        tasks = [each.value for each in found if each]
        has = (task.task_id for task in tasks if task.revision or task.status is Status.DELETED)
        return next(has, None)

    async def _persist(
        self, change: Callable[[], Awaitable[Submission]], within: timedelta
    ) -> Submission:
        deadline = self._clock() + within
        while True:
            try:
                return await change()
            except StoreUnavailable:
                if self._clock() >= deadline:
                    raise
                await self._sleep(PERSIST_PAUSE_S)

    async def _change(
        self,
        submission_id: str,
        decide: _Decide[D],
        *,
        spend_day: str | None = None,
        task: Task | None = None,
    ) -> D:
        """Read the entry, decide, and write the decision, as one step.

        ``decide`` may run several times, each time on the entry as it is stored then, and with the
        counter of ``spend_day``. After a lost acknowledgement it gets the entry that it has written
        itself. ``task`` is merged in the same commit.
        """
        return await self._retrier.run(
            lambda: self._change_once(submission_id, decide, spend_day, task)
        )

    async def _change_once(
        self, submission_id: str, decide: _Decide[D], spend_day: str | None, task: Task | None
    ) -> D:
        current, counter, known = await asyncio.gather(
            self._read(Read(submission_path(submission_id), Submission)),
            self._read(Read(spend_counter_path(spend_day), SpendCounter) if spend_day else None),
            self._read(Read(task_path(task.task_id), Task, DECIDING_FIELDS) if task else None),
        )
        change = decide(_value(current), _value(counter))
        writes: list[Write] = []
        if change.submission is not None:
            writes += await self._writes_of(current, change.submission)
        if change.counter is not None and spend_day:
            writes.append(
                Write(spend_counter_path(spend_day), change.counter, expect=_version(counter))
            )
        if change.uncounted_day is not None:
            path = spend_counter_path(change.uncounted_day)
            counted = await self._read(Read(path, SpendCounter))
            if counted is not None:
                fewer = claims.uncounted(counted.value)
                writes.append(Write(path, fewer, expect=counted.version))
        if task is not None:
            if change.submission is not None:
                # Labels may have been added since the lease was granted.
                labels = change.submission.labels
                task = replace(task, labels=labels, label_pairs=label_pairs(labels))
            merged = merge(_value(known), task)
            if merged.changed != ():
                path = task_path(task.task_id)
                writes.append(Write(path, merged.task, merged.changed, expect=_version(known)))
        if writes:
            await self._documents.commit(*writes)
        return change.decision

    async def _writes_of(
        self, before: Snapshot[Submission] | None, after: Submission
    ) -> list[Write]:
        """Return the writes that record an entry, and the owners of its asset and recording.

        An open entry never expires. A submission must own the asset that it is about to buy or to
        send bytes to, and the recording that it begins to buy. It writes its ownership even if it
        has it already, so that of two submissions one meets a conflict. Raises
        ``DuplicateSubmission``.
        """
        if after.state in OPEN:
            entry = replace(after, expires_at=None)
        else:
            entry = replace(after, expires_at=expiry(after.updated_at, self._retention_days))
        earlier = sum(each.task_id is not None for each in entry.previous_attempts)
        entry = replace(
            entry,
            earlier_tasks=str(earlier) if earlier else None,
            search_keys=search_keys(entry.source) or entry.search_keys,
        )
        writes = [Write(submission_path(entry.submission_id), entry, expect=_version(before))]
        old = _value(before)
        is_open = entry.state in OPEN
        lasts = old is not None and old.expires_at != entry.expires_at
        if entry.asset_id is not None:
            calls = entry.state is State.SUBMITTING and (
                old is None or old.state is not State.SUBMITTING
            )
            uploads = entry.filename is not None and (old is None or old.asset_id != entry.asset_id)
            needs = is_open and (calls or uploads)
            if needs or lasts:
                path = asset_owner_path(entry.asset_id)
                writes += await self._owner_writes(path, AssetOwner, entry, needs=needs)
        if entry.recording_id is not None:
            begins = entry.queued and (old is None or old.state is State.REJECTED)
            needs = is_open and begins
            if needs or lasts:
                path = recording_owner_path(entry.recording_id)
                writes += await self._owner_writes(path, RecordingOwner, entry, needs=needs)
        if old is not None and old.labels != entry.labels and entry.task_id is not None:
            writes += await self._label_writes(entry, entry.task_id)
        return writes

    async def _owner_writes(
        self, path: str, kind: type[AssetOwner | RecordingOwner], entry: Submission, *, needs: bool
    ) -> list[Write]:
        """Return the write that makes an entry the owner; a rejected owner yields to a need."""
        known = await self._read(Read(path, kind))
        if known is not None and known.value.submission_id != entry.submission_id:
            if not needs:
                return []
            other = await self._read(Read(submission_path(known.value.submission_id), Submission))
            if other is not None and other.value.state is not State.REJECTED:
                raise DuplicateSubmission(known.value.submission_id)
        owner = kind(entry.submission_id, entry.expires_at)
        return [Write(path, owner, expect=_version(known))]

    async def _label_writes(self, entry: Submission, task_id: str) -> list[Write]:
        """Return the write that gives the entry's labels to its task."""
        fields = ("task_id", "status", "submission_id")
        known = await self._read(Read(task_path(task_id), Task, fields))
        if (
            known is None
            or known.value.status is Status.DELETED
            or known.value.submission_id != entry.submission_id
        ):
            return []
        pairs = label_pairs(entry.labels)
        task = replace(known.value, labels=entry.labels, label_pairs=pairs)
        return [Write(task_path(task_id), task, ("labels", "label_pairs"), expect=known.version)]

    async def _read(self, read: Read[T] | None) -> Snapshot[T] | None:
        if read is None:
            return None
        (found,) = await self._documents.read(read)
        return found


def _same(current: Submission, written: Submission) -> bool:
    """Compare what a step decides; the ledger adds the rest."""
    added: dict[str, Any] = {"expires_at": None, "earlier_tasks": None, "search_keys": []}
    return replace(current, **added) == replace(written, **added)


def _value(snapshot: Snapshot[T] | None) -> T | None:
    return snapshot.value if snapshot else None


def _version(snapshot: Snapshot[T] | None) -> Version:
    return snapshot.version if snapshot else ABSENT
