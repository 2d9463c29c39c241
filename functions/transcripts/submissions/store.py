"""Reading and writing the ledger: one read, one decision, one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from transcripts.ports import ABSENT, Documents, Read, Snapshot, T, Version, Write
from transcripts.retry import Retrier
from transcripts.submissions.ledger import Change
from transcripts.submissions.submission import (
    AssetOwner,
    Budget,
    State,
    Submission,
    asset_owner_path,
    budget_path,
    submission_id_of_asset,
    submission_path,
)
from transcripts.tasks.merge import DECIDING_FIELDS, merge
from transcripts.tasks.task import Task, task_path

D = TypeVar("D")

Decide = Callable[[Submission | None, Budget | None], Change[D]]


class AssetTaken(Exception):
    """The asset belongs to another submission, whose id it names."""

    def __init__(self, submission_id: str) -> None:
        """Take the id of the other submission."""
        super().__init__(submission_id)
        self.submission_id = submission_id


class SubmissionStore:
    """The purchase ledger in a store of documents."""

    def __init__(self, documents: Documents, retrier: Retrier) -> None:
        """Take the documents, and how to try again."""
        self._documents = documents
        self._retrier = retrier

    async def read(self, submission_id: str) -> Submission | None:
        """Return a submission; None if there is none of that id."""

        async def attempt() -> Submission | None:
            path = submission_path(submission_id)
            (found,) = await self._documents.read(Read(path, Submission))
            return found.value if found else None

        return await self._retrier.run(attempt)

    async def submission_id_of(self, asset_id: str) -> str:
        """Return the submission an asset is bought under: that which brought it, or its own."""

        async def attempt() -> str:
            (found,) = await self._documents.read(Read(asset_owner_path(asset_id), AssetOwner))
            return found.value.submission_id if found else submission_id_of_asset(asset_id)

        return await self._retrier.run(attempt)

    async def change(
        self,
        submission_id: str,
        decide: Decide[D],
        *,
        budget_day: str | None = None,
        task: Task | None = None,
        owner: tuple[str, AssetOwner] | None = None,
    ) -> D:
        """Decide on what is stored and write what follows, as one step.

        ``decide`` may run several times, each time on what is stored by then. It is given the
        counter of ``budget_day`` if there is one. ``task`` is the submission's side of a task,
        joined in the same commit; ``owner`` is an asset and whose it is from now on. After a lost
        acknowledgement ``decide`` meets what it has written itself.

        Raises what ``decide`` raises, ``AssetTaken`` and ``StoreUnavailable``.
        """
        return await self._retrier.run(
            lambda: self._change_once(submission_id, decide, budget_day, task, owner)
        )

    async def _change_once(
        self,
        submission_id: str,
        decide: Decide[D],
        budget_day: str | None,
        task: Task | None,
        owner: tuple[str, AssetOwner] | None,
    ) -> D:
        path = submission_path(submission_id)
        current, budget, known = await asyncio.gather(
            self._read(Read(path, Submission)),
            self._read(Read(budget_path(budget_day), Budget) if budget_day else None),
            self._read(Read(task_path(task.task_id), Task, DECIDING_FIELDS) if task else None),
        )
        change = decide(_value(current), _value(budget))
        writes: list[Write] = []
        if change.submission is not None:
            writes.append(Write(path, change.submission, expect=_version(current)))
        if change.budget is not None and budget_day:
            writes.append(Write(budget_path(budget_day), change.budget, expect=_version(budget)))
        if task is not None:
            merged = merge(_value(known), task)
            if merged.changed != ():
                path = task_path(task.task_id)
                writes.append(Write(path, merged.task, merged.changed, expect=_version(known)))
        if owner is not None:
            writes += await self._owner_writes(*owner)
        if writes:
            await self._documents.commit(*writes)
        return change.decision

    async def _owner_writes(self, asset_id: str, owner: AssetOwner) -> list[Write]:
        """Return what makes an asset the owner's; raises ``AssetTaken`` if it is another's."""
        path = asset_owner_path(asset_id)
        by_id = submission_id_of_asset(asset_id)
        known, ordered = await asyncio.gather(
            self._read(Read(path, AssetOwner)),
            self._read(Read(submission_path(by_id), Submission)),
        )
        if known is None and ordered is not None and ordered.value.state is not State.REJECTED:
            raise AssetTaken(by_id)
        if known is None:
            return [Write(path, owner, expect=ABSENT)]
        if known.value.submission_id != owner.submission_id:
            raise AssetTaken(known.value.submission_id)
        return []

    async def has_result(self, task_id: str) -> bool:
        """Tell whether a result of that task is stored."""

        async def attempt() -> bool:
            found = await self._read(Read(task_path(task_id), Task, ("task_id", "revision")))
            return found is not None and found.value.revision is not None

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
