"""Reading and writing tasks: what is read, what is decided, what is written in which order.

A usual result costs one read and one commit. Raw blocks and pages are named by the revision they
belong to and written first; the task's document turns to them last, against the version the
decision was made on. So a reader sees the old result or the new one, never half, and whoever lost
a race decides again on what is there now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from msgspec.structs import replace

from transcripts.errors import Conflict, StoreUnavailable
from transcripts.logs import bind
from transcripts.ports import ABSENT, Delete, Documents, Read, Snapshot, Version, Write
from transcripts.retry import Retrier
from transcripts.tasks.merge import DECIDING_FIELDS, Merge, Outcome, merge, renormalized
from transcripts.tasks.paging import RAW_CHUNK_BYTES, chunks, paginate
from transcripts.tasks.task import (
    Page,
    RawChunk,
    Segment,
    Status,
    Task,
    page_path,
    page_paths,
    raw_path,
    revision_of,
    task_path,
)

WRITES_PER_COMMIT: Final = 3
"""Of blocks and pages, up to 900 KiB each, beside the task. A request may have 10 MiB
(https://cloud.google.com/firestore/quotas#writes_and_transactions), but only 4 to the emulator."""

INLINE_SEGMENTS: Final = 10_000
"""A longer transcript is cut into pages in a thread, so that it does not delay other requests."""


IDS_AT_ONCE: Final = 200
"""Ids of pages or raw blocks that one query returns, and that one commit deletes."""

PARTS: Final = ("segments", "raw")
"""The collections below a task."""


class StoredBody(NamedTuple):
    """A compressed body, when it was received and when it expires, as its raw blocks say."""

    data: bytes
    received_at: datetime | None
    expires_at: datetime | None


@dataclass
class _EarlierAttempts:
    """Known effects of earlier attempts to save a result."""

    answer_lost: bool = False
    kept_raw: bool = False


class TaskStore:
    """The tasks in a store of documents."""

    def __init__(self, documents: Documents, retrier: Retrier) -> None:
        self.documents = documents
        self.retrier = retrier

    async def save_result(self, result: Task, raw: bytes) -> Outcome:
        """Store a result and its compressed body; every body is kept, whichever result wins.

        Raises ``StoreUnavailable`` when the time is used up; repeating the call is always safe.
        """
        earlier = _EarlierAttempts()

        async def attempt() -> Outcome:
            try:
                return await self._save_once(result, raw, earlier)
            except Conflict:
                raise
            except StoreUnavailable:
                earlier.answer_lost = True
                raise

        return await self.retrier.run(attempt)

    async def _save_once(self, result: Task, raw: bytes, earlier: _EarlierAttempts) -> Outcome:
        path = task_path(result.task_id)
        (found,) = await self.documents.read(Read(path, Task, DECIDING_FIELDS))
        merged = merge(found.value if found else None, result)
        bind(submission_id=merged.task.submission_id)
        if merged.outcome is Outcome.DELETED:
            await self._delete_revision(result)
            return Outcome.DELETED
        if merged.outcome is Outcome.DUPLICATE:
            # After a lost answer, what is found may be our own write.
            ours = earlier.answer_lost and merged.task.stored_at == result.stored_at
            return Outcome.STORED if ours else Outcome.DUPLICATE
        if merged.outcome is Outcome.SUPERSEDED:
            earlier.kept_raw |= await self._keep_raw(result, raw)
            await self._require_unchanged(path, found)
            ours = earlier.kept_raw or earlier.answer_lost
            return Outcome.SUPERSEDED if ours else Outcome.DUPLICATE
        arguments = (merged, raw, _version(found))
        if len(merged.task.segments) <= INLINE_SEGMENTS:
            commits = result_writes(*arguments)
        else:
            commits = await asyncio.to_thread(result_writes, *arguments)
        for writes in commits:
            await self.documents.commit(*writes)
        return Outcome.STORED

    async def _keep_raw(self, result: Task, raw: bytes) -> bool:
        """Keep the body of a result that lost; tells whether it was not there before."""
        head, *rest = _raw_writes(result, raw)
        first = Write(head.path, head.value, expect=ABSENT)
        for commit in _commits(rest) if rest else []:
            await self.documents.commit(*commit)
        try:
            await self.documents.commit(first)
        except Conflict:
            # Contention says the same as a block that is there, and has written nothing.
            (found,) = await self.documents.read(Read(head.path, RawChunk, ("expires_at",)))
            if found is None:
                raise
            return False
        return True

    async def _require_unchanged(self, path: str, decided_on: Snapshot[Task] | None) -> None:
        """Raise ``Conflict``, so that it is decided again, if the task has changed.

        Keeping a raw body does not touch the task: a deletion, or a result that is normalized
        again, may have come between.
        """
        (found,) = await self.documents.read(Read(path, Task, ("task_id",)))
        if _version(found) != _version(decided_on):
            raise Conflict("The task changed while a raw body was stored.")

    async def _delete_revision(self, result: Task) -> None:
        """Delete what a delivery of a deleted result may have written before it was decided on."""
        for collection in PARTS:
            under = f"{task_path(result.task_id)}/{collection}"
            ids = await self.documents.ids(under, after=f"{result.revision}-", limit=IDS_AT_ONCE)
            found = [part for part in ids if revision_of(part) == result.revision]
            if found:
                await self.documents.commit(*(Delete(f"{under}/{part}") for part in found))

    async def replace_result(self, result: Task, current: Snapshot[Task]) -> None:
        """Store the new result of a stored body; ``current`` is what ``read_head`` returned.

        Raises ``Conflict`` if the task has changed since.
        """
        merged = renormalized(current.value, result)
        task, pages = await asyncio.to_thread(paginate, merged.task)
        *earlier, last = _commits(_page_writes(task, pages))
        for writes in earlier:
            await self.documents.commit(*writes)
        task_write = Write(task_path(task.task_id), task, merged.changed, expect=current.version)
        await self.documents.commit(*last, task_write)

    async def read_head(self, task_id: str) -> Snapshot[Task] | None:
        """Return what decisions need of a task; None if it is absent or deleted."""
        (found,) = await self.documents.read(Read(task_path(task_id), Task, DECIDING_FIELDS))
        return None if found is None or found.value.status is Status.DELETED else found

    async def read_fields(self, task_id: str, fields: tuple[str, ...]) -> Snapshot[Task] | None:
        """Return some fields of a task, at least ``status``, as ``read_head`` does.

        Raises ``StoreUnavailable`` when the time is used up.
        """

        async def attempt() -> Snapshot[Task] | None:
            (found,) = await self.documents.read(Read(task_path(task_id), Task, fields))
            return None if found is None or found.value.status is Status.DELETED else found

        return await self.retrier.run(attempt)

    async def revisions(self, task_id: str) -> list[str]:
        """Return the revisions whose bodies are stored, in the order of their ids."""
        found: dict[str, None] = {}
        after = ""
        while True:
            ids = await self.documents.ids(
                f"{task_path(task_id)}/raw", after=after, limit=IDS_AT_ONCE
            )
            found |= dict.fromkeys(map(revision_of, ids))
            if len(ids) < IDS_AT_ONCE:
                return list(found)
            after = ids[-1]

    async def read_task(self, task_id: str) -> Task | None:
        """Return a task with all its segments; None if it is absent or deleted."""
        return await self.retrier.run(lambda: self._read_once(task_id))

    async def _read_once(self, task_id: str) -> Task | None:
        (found,) = await self.documents.read(Read(task_path(task_id), Task))
        if found is None or found.value.status is Status.DELETED:
            return None
        task = found.value
        paths = page_paths(task)
        if not paths:
            return task
        pages = await self.documents.read(*(Read(path, Page) for path in paths))
        if None in pages:
            raise Conflict("A page of the transcript is missing.")
        return replace(
            task, segments=[part for page in pages if page for part in page.value.segments]
        )

    async def read_body(self, task_id: str, revision: str) -> StoredBody | None:
        """Return the compressed body of a revision with its times, in one attempt."""
        blocks: list[RawChunk] = []
        while not blocks or len(blocks[-1].data) == RAW_CHUNK_BYTES:
            read = Read(raw_path(task_id, revision, len(blocks)), RawChunk)
            (found,) = await self.documents.read(read)
            if found is None:
                break
            blocks.append(found.value)
        if not blocks:
            return None
        data = b"".join(block.data for block in blocks)
        return StoredBody(data, blocks[0].received_at, blocks[0].expires_at)


def result_writes(merged: Merge, raw: bytes, version: Version) -> list[list[Write]]:
    """Return the commits that store a result: all but the last prepare, the last one turns to it.

    ``version`` is that of the task's document which ``merged`` was decided on.
    """
    task, pages = paginate(merged.task)
    *earlier, last = _commits([*_page_writes(task, pages), *_raw_writes(task, raw)])
    task_write = Write(task_path(task.task_id), task, merged.changed, expect=version)
    return [*earlier, [*last, task_write]]


def _raw_writes(result: Task, raw: bytes) -> list[Write]:
    return [
        Write(
            _named(raw_path, result, index),
            RawChunk(block, result.expires_at, result.received_at),
        )
        for index, block in enumerate(chunks(raw))
    ]


def _page_writes(result: Task, pages: Sequence[list[Segment]]) -> list[Write]:
    return [
        Write(_named(page_path, result, index), Page(page, result.expires_at))
        for index, page in enumerate(pages, result.first_page)
    ]


def _named(path: Callable[[str, str, int], str], result: Task, index: int) -> str:
    if result.revision is None:
        raise ValueError("only a result has pages and raw blocks")
    return path(result.task_id, result.revision, index)


def _commits(writes: Sequence[Write]) -> list[list[Write]]:
    """Group writes of at most ``RAW_CHUNK_BYTES`` each; at least one group, maybe an empty one."""
    return [
        list(writes[at : at + WRITES_PER_COMMIT])
        for at in range(0, max(len(writes), 1), WRITES_PER_COMMIT)
    ]


def _version(found: Snapshot[Task] | None) -> Version:
    return found.version if found else ABSENT
