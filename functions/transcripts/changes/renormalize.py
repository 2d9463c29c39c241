"""Making a task's result again, from the bodies that are stored, with the present code.

Every stored body takes part, and the same rule as in ``tasks.merge`` chooses among the results. So
the end does not depend on whether a new result arrives before or after, and a body that only the
present code understands counts as if it arrived now. People's names and the submission's fields
stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.message import decompress
from transcripts.errors import Conflict, RequestError, TaskNotFound
from transcripts.logs import Log
from transcripts.ports import Snapshot
from transcripts.results.answers import Summary
from transcripts.results.transcript_pages import TranscriptReader
from transcripts.results.views import SUMMARY_FIELDS, summary
from transcripts.retry import Retrier
from transcripts.tasks.merge import precedence
from transcripts.tasks.normalize import normalize, without_faces
from transcripts.tasks.store import StoredBody, TaskStore
from transcripts.tasks.task import Task

CONCURRENCY: Final = 1
"""A body of 32 MiB may take 270 MiB while it is normalized."""

MAX_ROUNDS: Final = 10
"""Each round that begins again has met another change of the task."""


class Renormalizer:
    """Normalizes stored bodies again."""

    def __init__(
        self,
        store: TaskStore,
        retrier: Retrier,
        log: Log,
        clock: Callable[[], datetime],
        *,
        redact_faces: bool = False,
    ) -> None:
        self._store = store
        self._retrier = retrier
        self._log = log
        self._clock = clock
        self._redact_faces = redact_faces
        self._working = asyncio.Semaphore(CONCURRENCY)

    async def renormalize(self, task_id: str) -> Summary:
        """Replace the result of a task, and return its new summary; repeating is safe.

        Raises ``RequestError`` (404 ``task_not_found``, 409 ``no_raw_body``), ``PoisonMessage`` for
        a body that the present code cannot read, and ``StoreUnavailable``.
        """
        # Normalizing may take longer than a store's retries, which only repeat reads and writes.
        for _ in range(MAX_ROUNDS):
            current = await self._retrier.run(lambda: self._store.read_head(task_id))
            if current is None:
                raise TaskNotFound
            revisions = await self._retrier.run(lambda: self._store.revisions(task_id))
            result = await self._best_result(current.value, revisions)
            if await self._stored(result, current, revisions):
                break
        else:
            raise Conflict("New results of the task keep coming.")
        found = await self._store.read_fields(task_id, SUMMARY_FIELDS)
        if found is None:
            raise TaskNotFound
        self._log.info(
            "renormalized",
            task_id=task_id,
            status=result.status,
            revision=result.revision,
            segments=result.segment_count,
        )
        speakers = await TranscriptReader(self._store.documents, self._retrier).speakers(
            found.value
        )
        return summary(found.value, speakers)

    async def _stored(self, result: Task, current: Snapshot[Task], revisions: list[str]) -> bool:
        """Store ``result`` unless the task, or the set of its bodies, has changed meanwhile."""

        async def attempt() -> bool:
            try:
                await self._store.replace_result(result, current)
            except Conflict:
                # Contention looks like this too, and is worth no new result.
                latest = await self._store.read_head(result.task_id)
                if latest is not None and latest.version == current.version:
                    raise
                return False
            return await self._store.revisions(result.task_id) == revisions

        return await self._retrier.run(attempt)

    async def _best_result(self, task: Task, revisions: list[str]) -> Task:
        best: Task | None = None
        for revision in revisions:
            if revision in task.deleted_revisions:
                continue
            body = await self._retrier.run(partial(self._store.read_body, task.task_id, revision))
            if body is None:
                continue
            async with self._working:
                result = await asyncio.to_thread(self._normalized, task, revision, body)
            if best is None or precedence(result) > precedence(best):
                best = result
        if best is None:
            raise RequestError(
                "No callback of this task is stored: it has not come yet, or has expired.",
                code="no_raw_body",
                status=409,
            )
        return best

    def _normalized(self, task: Task, revision: str, body: StoredBody) -> Task:
        result = normalize(
            read_envelope(decompress(body.data)),
            revision=revision,
            received_at=body.received_at or task.received_at or self._clock(),
            stored_at=self._clock(),
            expires_at=body.expires_at,
        )
        return without_faces(result) if self._redact_faces else result
