"""One SQLite file, used from one thread of its own in each process."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

FILE_NAME: Final = "transcripts.sqlite3"
BUSY_TIMEOUT_S: Final = 10.0
"""How long a process waits for another one's transaction."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS document (
    path    TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    data    TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS document_created_at
ON document (rtrim(json_extract(data, '$.created_at'), 'Z'), path) WHERE path NOT GLOB '*/*/*';
CREATE TABLE IF NOT EXISTS version (last INTEGER NOT NULL);
INSERT INTO version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM version);
CREATE TABLE IF NOT EXISTS subscription (
    name  TEXT PRIMARY KEY,
    topic TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    topic        TEXT NOT NULL,
    data         BLOB NOT NULL,
    attributes   TEXT NOT NULL,
    published_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS delivery (
    subscription TEXT NOT NULL,
    message_id   INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    due          REAL NOT NULL,
    PRIMARY KEY (subscription, message_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS queue_task (
    name          TEXT PRIMARY KEY,
    submission_id TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    due           REAL
);
CREATE TABLE IF NOT EXISTS queue_trace (
    name        TEXT PRIMARY KEY,
    traceparent TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS queue_task_due ON queue_task (due);
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (subscription, due);
"""


class Database:
    """The file in ``folder``, opened (and made) by the first call."""

    def __init__(self, folder: Path, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = folder / FILE_NAME
        self._busy_timeout_s = busy_timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` inside one write transaction, committed (and synced) if it returns.

        Raises whatever ``work`` raises, after a rollback, and ``sqlite3.Error``.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection or self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        # An acknowledgement must survive a power cut, as the services' do.
        connection.execute("PRAGMA synchronous = FULL")
        # SQLite overwrites deleted content with zeros, so that the file does not keep it.
        connection.execute("PRAGMA secure_delete = ON")
        connection.executescript(_SCHEMA)
        self._connection = connection
        return connection

    def close(self) -> None:
        """Close the file; the object may not be used again."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
