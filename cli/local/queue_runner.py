"""Sends the tasks of the embedded queue to submit, at the queue's rate, as Cloud Tasks does."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from cli.local.broker import Post, work_off
from cli.local.topics import PROJECT
from transcripts.embedded.database import Database
from transcripts.logs import Log, utc_now
from transcripts.retry import RetryPolicy
from transcripts.traces import TRACEPARENT

QUEUE: Final = f"projects/{PROJECT}/locations/local/queues/submissions"
RETRY: Final = RetryPolicy(first_pause_s=10.0, max_pause_s=600.0)
"""As ``infra/queue.tf`` sets it."""

DISPATCH_DEADLINE_S: Final = 1_800.0
"""A task without an answer after this time is sent again, as Cloud Tasks does."""


class _QueueTask(NamedTuple):
    name: str
    submission_id: str
    attempt: int
    traceparent: str | None


class QueueRunner:
    """Sends the tasks of the queue until it is cancelled."""

    def __init__(
        self,
        database: Database,
        url: str,
        post: Post,
        log: Log,
        *,
        per_second: float = 1.0,
        concurrent: int = 4,
        retry: RetryPolicy = RETRY,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._url = url
        self._post = post
        self._log = log
        self._interval_s = 1 / per_second if per_second else 0.0
        self._slots = asyncio.Semaphore(concurrent)
        self._retry = retry
        self._clock = clock
        self._taken_over = False

    async def run(self) -> None:
        """Send until cancelled; tasks that an earlier run left unanswered are sent at once."""
        await work_off(self._next, self._send, self._slots, self._log, self._interval_s)

    async def _next(self) -> _QueueTask | None:
        """Take the next task; it is due again later, in case this process ends before an answer."""
        now = self._clock().timestamp()

        def work(connection: sqlite3.Connection) -> _QueueTask | None:
            if not self._taken_over:
                connection.execute("UPDATE queue_task SET due = 0 WHERE due IS NOT NULL")
            row = connection.execute(
                "SELECT name, submission_id, attempt, traceparent"
                " FROM queue_task LEFT JOIN queue_trace USING (name)"
                " WHERE due <= ? ORDER BY due, queue_task.rowid LIMIT 1",
                (now,),
            ).fetchone()
            if row is None:
                return None
            task = _QueueTask(*row)
            connection.execute(
                "UPDATE queue_task SET attempt = attempt + 1, due = ? WHERE name = ?",
                (now + DISPATCH_DEADLINE_S, task.name),
            )
            return task

        task = await self._database.run(work)
        self._taken_over = True
        return task

    async def _send(self, task: _QueueTask) -> None:
        body = msgspec.json.encode({"submission_id": task.submission_id})
        headers = {TRACEPARENT: task.traceparent} if task.traceparent else {}
        status = await self._post(self._url, body, headers)
        # A finished task stays, never due again: its name is remembered.
        due = None
        if not 200 <= status < 300:
            self._log.info("task_refused", submission_id=task.submission_id, status=status)
            due = self._clock().timestamp() + self._retry.pause_s(task.attempt + 1)
        await self._database.run(
            lambda connection: connection.execute(
                "UPDATE queue_task SET due = ? WHERE name = ?", (due, task.name)
            )
        )
