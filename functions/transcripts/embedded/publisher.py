"""Topics in SQLite: a published message is kept until its subscriptions have acknowledged it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import Final

from transcripts.embedded.database import Database
from transcripts.errors import PublishUnavailable
from transcripts.logs import rfc3339, utc_now
from transcripts.ports import Message
from transcripts.traces import with_trace

ACKNOWLEDGE_WITHIN_S: Final = 10.0
"""The limit of a commit: one waits up to ``BUSY_TIMEOUT_S`` for another process, and for others."""


class SqlitePublisher:
    """Publishes into an embedded database; acknowledged means synced to disk."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    async def publish(self, topic: str, message: Message) -> None:
        """Return once ``message`` is durable; see ``ports.Publisher``."""
        now = self._clock()
        message = Message(message.data, with_trace(message.attributes))
        try:
            async with asyncio.timeout(ACKNOWLEDGE_WITHIN_S):
                await self._database.run(
                    lambda connection: insert_message(connection, topic, message, now)
                )
        except TimeoutError as error:
            raise PublishUnavailable("SQLite: not in time.") from error
        except sqlite3.Error as error:
            raise PublishUnavailable(f"SQLite: {error}.") from error


def insert_message(
    connection: sqlite3.Connection, topic: str, message: Message, now: datetime
) -> None:
    """Store a message, due at once for every subscription of its topic."""
    cursor = connection.execute(
        "INSERT INTO message (topic, data, attributes, published_at) VALUES (?, ?, ?, ?)",
        (topic, message.data, json.dumps(message.attributes), rfc3339(now)),
    )
    connection.execute(
        "INSERT INTO delivery SELECT name, ?, 0, 0 FROM subscription WHERE topic = ?",
        (cursor.lastrowid, topic),
    )
