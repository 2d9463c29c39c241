"""Reading and writing the ledger: one read, one decision, one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from transcripts.ports import ABSENT, Documents, Read, Snapshot, T, Version, Write
from transcripts.retention import expiry
from transcripts.retry import Retrier
from transcripts.submissions.claims import Change
from transcripts.submissions.submission import (
    OPEN,
    AssetOwner,
    SpendCounter,
    State,
    Submission,
    asset_owner_path,
    spend_counter_path,
    submission_id_of_asset,
    submission_path,
)
from transcripts.tasks.merge import DECIDING_FIELDS, merge
from transcripts.tasks.task import Status, Task, task_path

D = TypeVar("D")

Decide = Callable[[Submission | None, SpendCounter | None], Change[D]]


class DuplicateAsset(Exception):
    """The asset belongs to another submission, whose id it names."""

    def __init__(self, submission_id: str) -> None:
        super().__init__(submission_id)
        self.submission_id = submission_id


class SubmissionStore:
    """The purchase ledger in a store of documents."""

    def __init__(self, documents: Documents, retrier: Retrier, retention_days: int = 0) -> None:
        self._documents = documents
        self._retrier = retrier
        self._retention_days = retention_days

    async def read(self, submission_id: str) -> Submission | None:
        """Return a submission, or None if it does not exist."""

        async def attempt() -> Submission | None:
            path = submission_path(submission_id)
            (found,) = await self._documents.read(Read(path, Submission))
            return found.value if found else None

        return await self._retrier.run(attempt)

    async def submission_id_of(self, asset_id: str) -> str:
        """Return the id of the submission that an asset belongs to."""

        async def attempt() -> str:
            (found,) = await self._documents.read(Read(asset_owner_path(asset_id), AssetOwner))
            return found.value.submission_id if found else submission_id_of_asset(asset_id)

        return await self._retrier.run(attempt)

    async def change(
        self,
        submission_id: str,
        decide: Decide[D],
        *,
        spend_day: str | None = None,
        task: Task | None = None,
    ) -> D:
        """Read the stored entry, decide, and write the decision, as one step.

        ``decide`` may run several times, each time on the entry as it is stored then. It gets the
        counter of ``spend_day`` if that exists. ``task`` is the submission's side of a task, merged
        in the same commit. After a lost acknowledgement ``decide`` gets the entry that it has
        written itself.

        Raises what ``decide`` raises, ``DuplicateAsset`` and ``StoreUnavailable``.
        """
        return await self._retrier.run(
            lambda: self._change_once(submission_id, decide, spend_day, task)
        )

    async def _change_once(
        self,
        submission_id: str,
        decide: Decide[D],
        spend_day: str | None,
        task: Task | None,
    ) -> D:
        current, counter, known = await asyncio.gather(
            self._read(Read(submission_path(submission_id), Submission)),
            self._read(Read(spend_counter_path(spend_day), SpendCounter) if spend_day else None),
            self._read(Read(task_path(task.task_id), Task, DECIDING_FIELDS) if task else None),
        )
        change = decide(_value(current), _value(counter))
        writes: list[Write] = []
        if change.submission is not None:
            writes += await self.writes_of(current, change.submission)
        if change.counter is not None and spend_day:
            writes.append(
                Write(spend_counter_path(spend_day), change.counter, expect=_version(counter))
            )
        if task is not None:
            merged = merge(_value(known), task)
            if merged.changed != ():
                path = task_path(task.task_id)
                writes.append(Write(path, merged.task, merged.changed, expect=_version(known)))
        if writes:
            await self._documents.commit(*writes)
        return change.decision

    async def writes_of(
        self, before: Snapshot[Submission] | None, after: Submission
    ) -> list[Write]:
        """Return the writes that record an entry and the owner of its asset.

        An open entry never expires. Raises ``DuplicateAsset``.
        """
        if after.state in OPEN:
            entry = replace(after, expires_at=None)
        else:
            entry = replace(after, expires_at=expiry(after.updated_at, self._retention_days))
        path = submission_path(entry.submission_id)
        return [
            Write(path, entry, expect=_version(before)),
            *await self._owner_writes(_value(before), entry),
        ]

    async def _owner_writes(self, before: Submission | None, entry: Submission) -> list[Write]:
        """Return the writes of the asset's owner, which is kept as long as the entry.

        A submission must own the asset that it is about to buy, or to send bytes to. It writes its
        ownership even if it has it already, so that of two submissions one meets a conflict.
        """
        if entry.asset_id is None:
            return []
        calls = entry.state is State.SUBMITTING and (
            before is None or before.state is not State.SUBMITTING
        )
        uploads = entry.filename is not None and (
            before is None or before.asset_id != entry.asset_id
        )
        wants = entry.state in OPEN and (calls or uploads)
        lasts = before is not None and before.expires_at != entry.expires_at
        if not (wants or lasts):
            return []
        path = asset_owner_path(entry.asset_id)
        known = await self._read(Read(path, AssetOwner))
        if known is not None and known.value.submission_id != entry.submission_id:
            if not wants:
                return []
            other = await self._read(Read(submission_path(known.value.submission_id), Submission))
            if other is not None and other.value.state is not State.REJECTED:
                raise DuplicateAsset(known.value.submission_id)
        return [
            Write(path, AssetOwner(entry.submission_id, entry.expires_at), None, _version(known))
        ]

    async def first_with_result(self, task_ids: Sequence[str]) -> str | None:
        """Return the first of these tasks whose result is stored, or None.

        A deleted task counts: its result had been stored.
        """

        async def attempt() -> str | None:
            reads = [
                Read(task_path(task_id), Task, ("task_id", "status", "revision"))
                for task_id in task_ids
            ]
            found = [each.value for each in await self._documents.read(*reads) if each]
            has = (task.task_id for task in found if task.revision or task.status is Status.DELETED)
            return next(has, None)

        return await self._retrier.run(attempt)

    async def _read(self, read: Read[T] | None) -> Snapshot[T] | None:
        if read is None:
            return None
        (found,) = await self._documents.read(read)
        return found


def _value(snapshot: Snapshot[T] | None) -> T | None:
    return snapshot.value if snapshot else None


def _version(snapshot: Snapshot[T] | None) -> Version:
    return snapshot.version if snapshot else ABSENT
