"""Documents as JSON in SQLite, with the versions and limits of Firestore."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from transcripts.embedded.database import Database
from transcripts.errors import Conflict, DocumentRefused, StoreUnavailable
from transcripts.ids import usable_id, usable_key
from transcripts.ports import ABSENT, Query, Read, Snapshot, T, Write

MAX_DOCUMENT_BYTES: Final = 1024 * 1024


class SqliteDocuments:
    """The documents in an embedded database."""

    def __init__(self, database: Database) -> None:
        """Take the database; it is opened by the first call."""
        self._database = database

    async def read(self, *reads: Read[T]) -> Sequence[Snapshot[T] | None]:
        """Return each document, or None if it does not exist."""
        for each in reads:
            _check(each.path)

        def work(connection: sqlite3.Connection) -> list[Snapshot[T] | None]:
            return [_read(connection, read) for read in reads]

        try:
            return await self._database.run(work)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"SQLite: {error}.") from error

    async def query(self, query: Query[T]) -> Sequence[Snapshot[T]]:
        """Return the documents that match, in the order of their time."""

        def work(connection: sqlite3.Connection) -> list[tuple[str, str | None]]:
            return connection.execute(
                "SELECT path, json_extract(data, '$.' || ?) FROM document"
                " WHERE path GLOB ? AND path NOT GLOB ? AND json_extract(data, '$.' || ?) = ?",
                (
                    query.until[0],
                    f"{query.collection}/*",
                    f"{query.collection}/*/*",
                    *query.where,
                ),
            ).fetchall()

        try:
            rows = await self._database.run(work)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"SQLite: {error}.") from error
        # Times are text of varying length, so they are compared here.
        times = [(datetime.fromisoformat(time), path) for path, time in rows if time is not None]
        paths = [path for time, path in sorted(times) if time <= query.until[1]][: query.limit]
        found = await self.read(*(Read(path, query.type, query.fields) for path in paths))
        return [snapshot for snapshot in found if snapshot is not None]

    async def commit(self, *writes: Write) -> None:
        """Write all or nothing."""
        for each in writes:
            _check(each.path)

        def work(connection: sqlite3.Connection) -> None:
            (version,) = connection.execute(
                "UPDATE version SET last = last + 1 RETURNING last"
            ).fetchone()
            for write in writes:
                _write(connection, write, version)

        try:
            await self._database.run(work)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"SQLite: {error}.") from error


def _check(path: str) -> None:
    """Reject the paths that Firestore rejects, so that code that works here works there."""
    if not all(map(usable_id, path.split("/"))):
        raise DocumentRefused("SQLite: a part of the path may not name a document.")


def _read(connection: sqlite3.Connection, read: Read[T]) -> Snapshot[T] | None:
    row = connection.execute(
        "SELECT version, data FROM document WHERE path = ?", (read.path,)
    ).fetchone()
    if row is None:
        return None
    version, data = row
    if read.fields is not None:
        content: dict[str, msgspec.Raw] = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        data = msgspec.json.encode({k: v for k, v in content.items() if k in read.fields})
    return Snapshot(msgspec.json.decode(data, type=read.type), _token(version))


def _write(connection: sqlite3.Connection, write: Write, version: int) -> None:
    row = connection.execute(
        "SELECT version, data FROM document WHERE path = ?", (write.path,)
    ).fetchone()
    found = ABSENT if row is None else _token(row[0])
    if write.expect is not None and write.expect != found:
        raise Conflict(f"SQLite: {write.path.partition('/')[0]} changed meanwhile.")
    content: dict[str, Any] = msgspec.to_builtins(write.value, builtin_types=(bytes,))
    if write.fields is not None:
        before = msgspec.json.decode(row[1]) if row else {}
        content = before | {name: content[name] for name in write.fields}
    if not all(map(usable_key, _keys(content))):
        raise DocumentRefused("SQLite: a key is reserved.")
    if len(msgspec.msgpack.encode(content)) > MAX_DOCUMENT_BYTES:
        raise DocumentRefused(f"SQLite: the document is over {MAX_DOCUMENT_BYTES} bytes.")
    connection.execute(
        "INSERT OR REPLACE INTO document (path, version, data) VALUES (?, ?, ?)",
        (write.path, version, msgspec.json.encode(content).decode()),
    )


def _keys(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from _keys(value)
    elif isinstance(content, list):
        for value in content:
            yield from _keys(value)


def _token(version: int) -> bytes:
    return str(version).encode()
