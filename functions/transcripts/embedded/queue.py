"""The queue of submissions in SQLite.

Names of tasks are remembered, so a repetition adds nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime

from transcripts import traces
from transcripts.embedded.database import Database
from transcripts.errors import QueueUnavailable
from transcripts.logs import utc_now


class SqliteQueue:
    """Puts tasks on the queue of an embedded database."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    async def enqueue(self, name: str, submission_id: str) -> None:
        """Make the task; see ``ports.SubmitQueue``."""
        await self.add(name, submission_id, traces.traceparent())

    async def add(self, name: str, submission_id: str, traceparent: str) -> bool:
        """Make the task; ``traceparent`` is the header that its request has, if not empty.

        Tells whether the name was new. Raises ``QueueUnavailable``.
        """
        due = self._clock().timestamp()

        def work(connection: sqlite3.Connection) -> bool:
            made = connection.execute(
                "INSERT OR IGNORE INTO queue_task (name, submission_id, attempt, due)"
                " VALUES (?, ?, 0, ?)",
                (name, submission_id, due),
            )
            if traceparent and made.rowcount:
                connection.execute("INSERT INTO queue_trace VALUES (?, ?)", (name, traceparent))
            return made.rowcount > 0

        try:
            return await self._database.run(work)
        except sqlite3.Error as error:
            raise QueueUnavailable(f"SQLite: {error}.") from error
