"""Documents as JSON in SQLite, with the versions and limits of Firestore."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from transcripts.embedded.database import Database
from transcripts.errors import Conflict, DocumentRefused, StoreUnavailable
from transcripts.ids import usable_id, usable_key
from transcripts.ports import ABSENT, Count, Delete, Query, Read, Snapshot, T, Version, Write

R = TypeVar("R")

MAX_DOCUMENT_BYTES: Final = 1024 * 1024

_FIELD: Final = re.compile(r"[a-z_]+(\.[a-z_]+)*")


class SqliteDocuments:
    """The documents in an embedded database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, *reads: Read[T]) -> Sequence[Snapshot[T] | None]:
        """Return each document, or None if it does not exist."""
        for each in reads:
            _check(each.path)

        return await self._run(lambda connection: [_read(connection, read) for read in reads])

    async def query(self, query: Query[T]) -> Sequence[Snapshot[T]]:
        """Return the documents that match, in the order of their time."""
        statement, values = _select(query)

        def work(connection: sqlite3.Connection) -> list[Snapshot[T]]:
            rows = connection.execute(statement, values).fetchall()
            return [_snapshot(version, data, query) for version, data in rows]

        return await self._run(work)

    async def count(self, *counts: Count) -> Sequence[int]:
        """Return each number, all in one transaction."""

        def work(connection: sqlite3.Connection) -> list[int]:
            numbers: dict[Count, int] = {}
            for collection in {count.collection for count in counts}:
                asked = [count for count in counts if count.collection == collection]
                row = connection.execute(*_select_counts(collection, asked)).fetchone()
                numbers |= zip(asked, row, strict=True)
            return [numbers[count] for count in counts]

        return await self._run(work)

    async def ids(self, collection: str, *, limit: int, after: str = "") -> Sequence[str]:
        """Return the ids of a collection's documents, in order."""
        _check(f"{collection}/id")
        start = f"{collection}/"

        def work(connection: sqlite3.Connection) -> list[tuple[str]]:
            # "0" follows "/": the range holds every path below the collection.
            return connection.execute(
                "SELECT path FROM document WHERE path > ? AND path < ?"
                " AND instr(substr(path, ?), '/') = 0 ORDER BY path LIMIT ?",
                (start + after, f"{collection}0", len(start) + 1, limit),
            ).fetchall()

        rows = await self._run(work)
        return [path.removeprefix(start) for (path,) in rows]

    async def commit(self, *writes: Write | Delete) -> None:
        """Write and delete all or nothing."""
        for each in writes:
            _check(each.path)

        def work(connection: sqlite3.Connection) -> None:
            (version,) = connection.execute(
                "UPDATE version SET last = last + 1 RETURNING last"
            ).fetchone()
            for write in writes:
                if isinstance(write, Delete):
                    _check_version(connection, write.path, write.expect)
                    connection.execute("DELETE FROM document WHERE path = ?", (write.path,))
                else:
                    _write(connection, write, version)

        await self._run(work)

    async def _run(self, work: Callable[[sqlite3.Connection], R]) -> R:
        try:
            return await self._database.run(work)
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
    return _snapshot(version, data, read)


def _snapshot(version: int, data: str, wanted: Read[T] | Query[T]) -> Snapshot[T]:
    content: str | bytes = data
    if wanted.fields is not None:
        fields: dict[str, msgspec.Raw] = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        content = msgspec.json.encode({k: v for k, v in fields.items() if k in wanted.fields})
    return Snapshot(msgspec.json.decode(content, type=wanted.type), _token(version))


def _select_counts(collection: str, counts: Sequence[Count]) -> tuple[str, list[Any]]:
    """Return the statement of all counts of a collection, which reads each document once."""
    columns: list[str] = []
    values: list[Any] = []
    for count in counts:
        condition, wanted = _equal(count.where)
        columns.append(f"count(CASE WHEN 1{condition} THEN 1 END)")
        values += wanted
    inside, path = _inside(collection)
    return f"SELECT {', '.join(columns)} FROM document WHERE {inside}", [*values, *path]  # noqa: S608 - see _column


def _select(query: Query[Any]) -> tuple[str, list[Any]]:
    """Return the statement of a query, and its values."""
    inside, path = _inside(query.collection)
    equal, wanted = _equal(query.where)
    # The + keeps SQLite from reading the whole collection by its path where the index of the time
    # gives the order (https://sqlite.org/optoverview.html#disqualifying_where_clause_terms_using_unary_).
    conditions, values = f"+{inside}{equal}", [*path, *wanted]
    moment = _sort_key(query.order_by)
    conditions += f" AND {moment} IS NOT NULL"
    if query.contains is not None:
        name, value = query.contains
        elements = f"json_each(data, '$.{_column(name)}')"
        conditions += f" AND ? IN (SELECT value FROM {elements})"  # noqa: S608 - see _column
        values.append(value)
    for bound, operator in ((query.since, ">="), (query.until, "<=")):
        if bound is not None:
            conditions += f" AND {moment} {operator} ?"
            values.append(_time(bound))
    if query.after is not None:
        time, document_id = query.after
        conditions += f" AND ({moment}, path) {'<' if query.descending else '>'} (?, ?)"
        values += [_time(time), f"{query.collection}/{document_id}"]
    direction = "DESC" if query.descending else "ASC"
    columns = "SELECT version, data FROM document"
    order = f"ORDER BY {moment} {direction}, path {direction}"
    return f"{columns} WHERE {conditions} {order} LIMIT ?", [*values, query.limit]


def _inside(collection: str) -> tuple[str, list[Any]]:
    return "path GLOB ? AND path NOT GLOB '*/*/*'", [f"{collection}/*"]


def _equal(where: Sequence[tuple[str, str | None]]) -> tuple[str, list[Any]]:
    conditions = [f" AND json_extract(data, '$.{_column(name)}') IS ?" for name, _ in where]
    return "".join(conditions), [value for _, value in where]


def _column(name: str) -> str:
    """Return the name of a field, which stands in the statement so that an index can be used."""
    if not _FIELD.fullmatch(name):
        raise ValueError(f"{name!r} names no field")
    return name


def _sort_key(name: str) -> str:
    """Return the expression that times are compared by.

    Their text has a fraction or none. Without the Z, the order of the text is that of the times.
    """
    return f"rtrim(json_extract(data, '$.{_column(name)}'), 'Z')"


def _time(moment: datetime) -> str:
    return str(msgspec.to_builtins(moment)).rstrip("Z")


def _check_version(connection: sqlite3.Connection, path: str, expect: Version | None) -> str | None:
    """Return the document's present content. Raises ``Conflict`` for another version."""
    row = connection.execute(
        "SELECT version, data FROM document WHERE path = ?", (path,)
    ).fetchone()
    found = ABSENT if row is None else _token(row[0])
    if expect is not None and expect != found:
        raise Conflict(f"SQLite: {path.partition('/')[0]} changed meanwhile.")
    return None if row is None else str(row[1])


def _write(connection: sqlite3.Connection, write: Write, version: int) -> None:
    present = _check_version(connection, write.path, write.expect)
    content: dict[str, Any] = msgspec.to_builtins(write.value, builtin_types=(bytes,))
    if write.fields is not None:
        before = msgspec.json.decode(present) if present else {}
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
