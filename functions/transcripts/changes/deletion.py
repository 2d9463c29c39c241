"""Deleting tasks and submissions with everything personal that is stored of them.

A task's document turns into a ``DeletedTask`` first: from then on no reader sees the task, and no
redelivery or replay of a deleted body is stored. Pages and raw bodies are deleted next, then the
personal fields of the submission, then Mavi's copy of the media. Every step is found again by what
the steps before have left, so an interrupted deletion goes on where it stopped.

The ledger keeps the ids, the state and the times of the submission: an asset that was bought is not
bought again without ``force``, and the accounting counts the task as deleted. Deleting a submission
deletes the tasks of all its attempts; one that waits is rejected, so that nothing is bought for it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, Protocol

from msgspec.structs import replace

from transcripts.errors import SubmissionNotFound, TaskNotFound
from transcripts.logs import Log
from transcripts.mavi.answers import DeleteAnswer
from transcripts.mavi.rate_limit import RateLimitTimeout
from transcripts.ports import Delete, Documents, Read, Snapshot, Write
from transcripts.results.answers import Left, Part, Remaining, SubmissionDeleted
from transcripts.retention import deleted_expiry
from transcripts.retry import Retrier
from transcripts.submissions.claims import Erased, InProgress, NotFound, TasksRemain
from transcripts.submissions.ledger import Ledger
from transcripts.tasks.store import IDS_AT_ONCE, PARTS
from transcripts.tasks.task import (
    DeletedTask,
    Source,
    Status,
    Task,
    revision_of,
    task_path,
)

MAX_DELETED_REVISIONS: Final = 2_000
"""So many deleted bodies of one task are remembered, the last ones; a task usually has one."""

MAX_WAIT_S: Final = 30.0
"""How long a request may wait for its slot at Mavi."""

_FIELDS: Final = (
    "task_id",
    "status",
    "submission_id",
    "asset_id",
    "revision",
    "deleted_revisions",
)


class AssetDeleter(Protocol):
    """Deletes an asset at the provider."""

    async def delete(self, asset_id: str, max_wait_s: float) -> DeleteAnswer:
        """Delete an asset; raises ``RateLimitTimeout`` if its slot is too far away."""


_IN_PROGRESS: Final = Left(
    Part.SUBMISSION,
    "submission_in_progress",
    "The asset is being bought right now. Delete again when that has ended.",
)

_ASSET_LEFT: Final = {
    DeleteAnswer.REFUSED: "Mavi rejects the request. Check the API key and the account.",
    DeleteAnswer.UNAVAILABLE: "Mavi did not delete the asset now. Delete again later.",
}


_ASSET_REMAINS: Final = "Mavi has a copy of the media. Delete again with asset=true to delete it."


def _object(source: Source) -> Remaining:
    name = f"{source.uri}#{source.generation}"
    message = (
        f"Delete it with: gcloud storage rm {shlex.quote(name)}. Cloud Storage keeps a deleted"
        " object for the soft-delete period of its bucket, 7 days by default."
    )
    return Remaining(Part.OBJECT, name, message)


class _Batch(NamedTuple):
    """How many parts were deleted, and the last id that was looked at, None at the end."""

    deleted: int
    last: str | None


class Deletion:
    """Deletes tasks and submissions from a store of documents."""

    def __init__(
        self,
        documents: Documents,
        retrier: Retrier,
        log: Log,
        clock: Callable[[], datetime],
        *,
        retention_days: int = 0,
        assets: AssetDeleter | None = None,
    ) -> None:
        self._documents = documents
        self._retrier = retrier
        self._ledger = Ledger(documents, retrier, clock=clock, retention_days=retention_days)
        self._log = log
        self._clock = clock
        self._retention_days = retention_days
        self._assets = assets

    async def delete_task(self, task_id: str, *, asset: bool = False) -> list[Left]:
        """Delete a task, with ``asset`` also Mavi's copy; returns what is left. Repeating is safe.

        Raises ``TaskNotFound`` and ``StoreUnavailable``.
        """
        deleted = await self._delete_result(task_id)
        left: list[Left] = []
        if deleted.submission_id is not None:
            redacted = await self._ledger.redact(deleted.submission_id, task_id)
            left += [] if redacted else [_IN_PROGRESS]
        if asset and deleted.asset_id is not None:
            left += await self._delete_asset(deleted.asset_id)
        elif asset:
            message = "No submission of this task is known, so its asset is not known either."
            left.append(Left(Part.ASSET, "asset_unknown", message))
        self._log.info(
            "task_deleted", task_id=task_id, left={each.part: each.reason for each in left}
        )
        return left

    async def delete_submission(
        self, submission_id: str, *, asset: bool = False
    ) -> SubmissionDeleted:
        """Delete a submission with the tasks of all its attempts, as ``delete_task`` does.

        Raises ``SubmissionNotFound`` and ``StoreUnavailable``.
        """
        tasks: list[str] = []
        left: list[Left] = []
        remaining: list[Remaining] = []
        while isinstance(decision := await self._ledger.erase(submission_id, tasks), TasksRemain):
            for task_id in decision.task_ids:
                with suppress(TaskNotFound):
                    await self._delete_result(task_id)
                tasks.append(task_id)
        match decision:
            case NotFound():
                raise SubmissionNotFound
            case InProgress():
                left.append(_IN_PROGRESS)
            case Erased(before):
                if before.source is not None:
                    remaining.append(_object(before.source))
                if before.asset_id is not None and asset:
                    left += await self._delete_asset(before.asset_id)
                elif before.asset_id is not None:
                    remaining.append(Remaining(Part.ASSET, before.asset_id, _ASSET_REMAINS))
        self._log.info(
            "submission_deleted",
            submission_id=submission_id,
            tasks=len(tasks),
            left={each.part: each.reason for each in left},
        )
        return SubmissionDeleted(submission_id, tasks, left, remaining)

    async def _delete_result(self, task_id: str) -> Task:
        """Delete what is stored of a task but its submission, and return what it was."""
        deleted = await self._retrier.run(lambda: self._mark_deleted(task_id))
        # A result that arrives now may be replaced by the next one: then its parts are left over.
        while any([await self._delete_parts(task_id, part) for part in PARTS]):
            pass
        return deleted

    async def _mark_deleted(self, task_id: str) -> Task:
        """Turn the task into what is left of it, and return what that names."""
        found = await self._read(task_id)
        if found is None:
            raise TaskNotFound
        task = found.value
        if task.status is Status.DELETED:
            return task
        now = self._clock()
        deleted = DeletedTask(
            task_id=task_id,
            submission_id=task.submission_id,
            asset_id=task.asset_id,
            deleted_revisions=_with_revisions(
                task.deleted_revisions, [task.revision] if task.revision else []
            ),
            deleted_at=now,
            expires_at=deleted_expiry(now, self._retention_days),
        )
        await self._documents.commit(Write(task_path(task_id), deleted, expect=found.version))
        return task

    async def _read(self, task_id: str) -> Snapshot[Task] | None:
        (found,) = await self._documents.read(Read(task_path(task_id), Task, _FIELDS))
        return found

    async def _delete_parts(self, task_id: str, collection: str) -> int:
        """Delete the pages or the raw bodies of every revision, and return their number."""
        count, after = 0, ""
        while True:
            batch = await self._retrier.run(partial(self._delete_batch, task_id, collection, after))
            count += batch.deleted
            if batch.last is None:
                return count
            after = batch.last

    async def _delete_batch(self, task_id: str, collection: str, after: str) -> _Batch:
        """Delete the parts that follow ``after``, and remember their revisions, as one step.

        The parts of a result that was stored since stay: the commit is made against the task as it
        was read before the ids, so that result is there, or it is refused and decided on again.
        """
        path = task_path(task_id)
        found = await self._read(task_id)
        ids = await self._documents.ids(f"{path}/{collection}", after=after, limit=IDS_AT_ONCE)
        if found is None:
            raise TaskNotFound
        task = found.value
        gone = [each for each in ids if revision_of(each) != task.revision]
        if gone:
            revisions = _with_revisions(task.deleted_revisions, map(revision_of, gone))
            remembered = replace(task, deleted_revisions=revisions)
            await self._documents.commit(
                *(Delete(f"{path}/{collection}/{each}") for each in gone),
                Write(path, remembered, ("deleted_revisions",), expect=found.version),
            )
        return _Batch(len(gone), ids[-1] if len(ids) == IDS_AT_ONCE else None)

    async def _delete_asset(self, asset_id: str) -> list[Left]:
        if self._assets is None:
            message = "This function has no key of the Mavi account."
            return [Left(Part.ASSET, "no_api_key", message)]
        try:
            answer = await self._assets.delete(asset_id, MAX_WAIT_S)
        except RateLimitTimeout:
            answer = DeleteAnswer.UNAVAILABLE
        if answer is DeleteAnswer.GONE:
            return []
        return [Left(Part.ASSET, str(answer), _ASSET_LEFT[answer])]


def _with_revisions(known: Sequence[str], more: Sequence[str] | map[str]) -> list[str]:
    return list(dict.fromkeys([*known, *more]))[-MAX_DELETED_REVISIONS:]
