"""Reading and writing tasks: what is read, what is decided, what is written in which order.

A usual result costs one read and one commit. Raw blocks and pages are named by the revision they
belong to and written first; the task's document turns to them last, against the version the
decision was made on. So a reader sees the old result or the new one, never half, and whoever lost
a race decides again on what is there now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from transcripts.errors import Conflict, StoreUnavailable
from transcripts.ports import ABSENT, Documents, Read, Version, Write
from transcripts.retry import Retrier
from transcripts.tasks.merge import DECIDING_FIELDS, Merge, Outcome, merge
from transcripts.tasks.paging import RAW_CHUNK_BYTES, chunks, paginate
from transcripts.tasks.task import Page, RawChunk, Segment, Task, page_path, raw_path, task_path

WRITES_PER_COMMIT: Final = 3
"""Of blocks and pages, up to 900 KiB each, beside the task. A request may have 10 MiB
(https://cloud.google.com/firestore/quotas#writes_and_transactions), but only 4 to the emulator."""

INLINE_SEGMENTS: Final = 10_000
"""A longer transcript is cut into pages in a thread, so that it does not delay other requests."""


class TaskStore:
    """The tasks in a store of documents."""

    def __init__(self, documents: Documents, retrier: Retrier) -> None:
        """Take the documents, and how to try again."""
        self._documents = documents
        self._retrier = retrier

    async def save_result(self, result: Task, raw: bytes) -> Outcome:
        """Store a result and its compressed body; every body is kept, whichever result wins.

        Raises ``StoreUnavailable`` when the time is used up; repeating the call is always safe.
        """
        answer_lost = False

        async def attempt() -> Outcome:
            nonlocal answer_lost
            try:
                return await self._save_once(result, raw, answer_lost=answer_lost)
            except Conflict:
                raise
            except StoreUnavailable:
                answer_lost = True
                raise

        return await self._retrier.run(attempt)

    async def _save_once(self, result: Task, raw: bytes, *, answer_lost: bool) -> Outcome:
        path = task_path(result.task_id)
        (found,) = await self._documents.read(Read(path, Task, DECIDING_FIELDS))
        merged = merge(found.value if found else None, result)
        if merged.outcome is Outcome.DUPLICATE:
            # After a lost answer, what is found may be our own write.
            ours = answer_lost and merged.task.stored_at == result.stored_at
            return Outcome.STORED if ours else Outcome.DUPLICATE
        if merged.outcome is Outcome.SUPERSEDED:
            kept_before = not await self._keep_raw(result, raw) and not answer_lost
            return Outcome.DUPLICATE if kept_before else Outcome.SUPERSEDED
        arguments = (merged, raw, found.version if found else ABSENT)
        if len(merged.task.segments) <= INLINE_SEGMENTS:
            commits = result_writes(*arguments)
        else:
            commits = await asyncio.to_thread(result_writes, *arguments)
        for writes in commits:
            await self._documents.commit(*writes)
        return Outcome.STORED

    async def _keep_raw(self, result: Task, raw: bytes) -> bool:
        """Keep the body of a result that lost; tells whether it was not there before."""
        head, *rest = _raw_writes(result, raw)
        first = Write(head.path, head.value, expect=ABSENT)
        for commit in _commits(rest) if rest else []:
            await self._documents.commit(*commit)
        try:
            await self._documents.commit(first)
        except Conflict:
            # Contention says the same as a block that is there, and has written nothing.
            (found,) = await self._documents.read(Read(head.path, RawChunk, ("expires_at",)))
            if found is None:
                raise
            return False
        return True

    async def read_task(self, task_id: str) -> Task | None:
        """Return a task with all its segments, or None if it does not exist."""
        return await self._retrier.run(lambda: self._read_once(task_id))

    async def _read_once(self, task_id: str) -> Task | None:
        (found,) = await self._documents.read(Read(task_path(task_id), Task))
        if found is None:
            return None
        task = found.value
        if not task.pages or task.revision is None:
            return task
        pages = await self._documents.read(
            *(Read(page_path(task_id, task.revision, index), Page) for index in range(task.pages))
        )
        if None in pages:
            raise Conflict("A page of the transcript is missing.")
        return replace(
            task, segments=[part for page in pages if page for part in page.value.segments]
        )

    async def read_raw(self, task_id: str, revision: str) -> bytes | None:
        """Return the compressed body of a revision; None if it was never there or has expired."""

        async def attempt() -> bytes | None:
            data: list[bytes] = []
            while not data or len(data[-1]) == RAW_CHUNK_BYTES:
                read = Read(raw_path(task_id, revision, len(data)), RawChunk)
                (found,) = await self._documents.read(read)
                if found is None:
                    break
                data.append(found.value.data)
            return b"".join(data) if data else None

        return await self._retrier.run(attempt)


def result_writes(merged: Merge, raw: bytes, version: Version) -> list[list[Write]]:
    """Return the commits that store a result: all but the last prepare, the last one turns to it.

    ``version`` is that of the task's document which ``merged`` was decided on.
    """
    task, pages = paginate(merged.task)
    *earlier, last = _commits([*_page_writes(task, pages), *_raw_writes(task, raw)])
    turn = Write(task_path(task.task_id), task, merged.changed, expect=version)
    return [*earlier, [*last, turn]]


def _raw_writes(result: Task, raw: bytes) -> list[Write]:
    return [
        Write(_named(raw_path, result, index), RawChunk(block, result.expires_at))
        for index, block in enumerate(chunks(raw))
    ]


def _page_writes(result: Task, pages: Sequence[list[Segment]]) -> list[Write]:
    return [
        Write(_named(page_path, result, index), Page(page, result.expires_at))
        for index, page in enumerate(pages)
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
