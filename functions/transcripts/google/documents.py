"""Documents in Firestore: one RPC for a read, one for a commit.

Concurrency control is optimistic: a commit names the ``update_time`` that each document must still
have, so it needs neither a transaction nor a lock
(https://cloud.google.com/firestore/docs/transaction-data-contention).

This module uses Google's generated ``FirestoreAsyncClient``, not ``firestore.AsyncClient`` above
it. The latter can't replace a whole document against an update time (its ``set`` takes no
precondition), and storing a transcript through it takes 8 times the CPU time, because it builds
every value of a document in Python. Here the messages are filled directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
from google.cloud.firestore_v1 import types
from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient
from grpc import StatusCode

from transcripts.errors import (
    Conflict,
    DocumentRefused,
    StoreMisconfigured,
    StoreUnavailable,
    TranscriptsError,
)
from transcripts.google.channel import Connection, translate_errors
from transcripts.google.values import decode_fields, encode_fields, encode_value
from transcripts.ports import ABSENT, Count, Delete, Query, Read, Snapshot, T, Write

HOST: Final = "firestore.googleapis.com"
RPC_TIMEOUT_S: Final = 10.0

_QUERY: Final = types.StructuredQuery.pb()
_AND: Final = _QUERY.CompositeFilter.AND
_EQUAL: Final = _QUERY.FieldFilter.EQUAL
_CONTAINS: Final = _QUERY.FieldFilter.ARRAY_CONTAINS
_AT_LEAST: Final = _QUERY.FieldFilter.GREATER_THAN_OR_EQUAL
_AT_MOST: Final = _QUERY.FieldFilter.LESS_THAN_OR_EQUAL
_IS_NULL: Final = _QUERY.UnaryFilter.IS_NULL
_ASCENDING: Final = _QUERY.ASCENDING
_DESCENDING: Final = _QUERY.DESCENDING

_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_ID: Final = "__name__"
_COUNT: Final = "count"

_REPAIRS: Final = {
    StatusCode.FAILED_PRECONDITION: (
        "Firestore lacks an index for this query, or the database is not in native mode. Deploy"
        " again, which creates every index; the log of this function has Google's link."
    ),
    StatusCode.NOT_FOUND: (
        "The Firestore database does not exist. Check GOOGLE_CLOUD_PROJECT and FIRESTORE_DATABASE,"
        " and deploy again."
    ),
    StatusCode.PERMISSION_DENIED: (
        "Firestore refuses this function's service account. Grant it roles/datastore.user, and"
        " enable firestore.googleapis.com; both take some minutes."
    ),
}
"""What to do after each status that repeating the call does not change."""

_CONTENTION: Final = frozenset({StatusCode.ABORTED})
_PRECONDITION_FAILED: Final = _CONTENTION | {
    StatusCode.ALREADY_EXISTS,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.NOT_FOUND,
}
"""What a commit is answered if a document has not the version that a write expects. Some of these
also tell of a missing database; a conflict is followed by a read, which then tells."""


class FirestoreDocuments:
    """The documents of one Firestore database."""

    def __init__(self, project: str, database: str, emulator_host: str | None) -> None:
        """Name the database; the first call connects."""
        self._database = f"projects/{project}/databases/{database}"
        self._connection = Connection(HOST, emulator_host, FirestoreAsyncClient)
        self._metadata = (
            ("google-cloud-resource-prefix", self._database),
            *((("authorization", "Bearer owner"),) if emulator_host else ()),
        )

    def _name(self, path: str) -> str:
        return f"{self._database}/documents/{path}"

    async def read(self, *reads: Read[T]) -> Sequence[Snapshot[T] | None]:
        """Return each document, or None if it does not exist; one RPC for each set of fields."""
        found: dict[str, Any] = {}
        with _translate_errors():
            for fields in {read.fields for read in reads}:
                names = [self._name(read.path) for read in reads if read.fields == fields]
                request = types.BatchGetDocumentsRequest.pb()(
                    database=self._database, documents=names
                )
                if fields is not None:
                    request.mask.field_paths.extend(fields)
                wrapped = types.BatchGetDocumentsRequest.wrap(request)
                for response in await self._responses("batch_get_documents", wrapped):
                    if response.WhichOneof("result") == "found":
                        found[response.found.name] = response.found
        documents = [(found.get(self._name(read.path)), read) for read in reads]
        return [_snapshot(each, read.type) if each else None for each, read in documents]

    async def query(self, query: Query[T]) -> Sequence[Snapshot[T]]:
        """Return the documents that match, in the order of their time, in one RPC."""
        found = await self._run_query(encode_query(self._database, query))
        return [_snapshot(document, query.type) for document in found]

    async def ids(self, collection: str, *, limit: int, after: str = "") -> Sequence[str]:
        """Return the ids of a collection's documents, in one RPC that reads no field."""
        found = await self._run_query(encode_ids(self._database, collection, limit, after))
        return [document.name.rpartition("/")[2] for document in found]

    async def _run_query(self, request: Any) -> Sequence[Any]:
        with _translate_errors():
            responses = await self._responses("run_query", types.RunQueryRequest.wrap(request))
        return [response.document for response in responses if response.HasField("document")]

    async def count(self, *counts: Count) -> Sequence[int]:
        """Return each number, in one RPC for each; all read the database as the first one did."""
        if not counts:
            return []
        with _translate_errors():
            first, read_time = await self._count(counts[0], None)
            others = [self._count(count, read_time) for count in counts[1:]]
            return [first, *(number for number, _ in await asyncio.gather(*others))]

    async def _count(self, count: Count, read_time: Any) -> tuple[int, Any]:
        request = encode_count(self._database, count)
        if read_time is not None:
            request.read_time.CopyFrom(read_time)
        number, moment = 0, read_time
        wrapped = types.RunAggregationQueryRequest.wrap(request)
        for response in await self._responses("run_aggregation_query", wrapped):
            number += response.result.aggregate_fields[_COUNT].integer_value
            moment = response.read_time
        return number, moment

    async def _responses(self, method: str, request: Any) -> Sequence[Any]:
        """Return the messages of a streamed answer, without their wrappers."""
        async with self._connection.client(RPC_TIMEOUT_S) as client:
            stream = await getattr(client, method)(
                request=request, retry=None, timeout=RPC_TIMEOUT_S, metadata=self._metadata
            )
            return [type(response).pb(response) async for response in stream]

    async def commit(self, *writes: Write | Delete) -> None:
        """Write and delete all documents or none, in one RPC."""
        request = types.CommitRequest.wrap(encode_commit(self._database, writes))
        expecting = any(write.expect is not None for write in writes)
        with _translate_errors(_PRECONDITION_FAILED if expecting else _CONTENTION):
            async with self._connection.client(RPC_TIMEOUT_S) as client:
                await client.commit(
                    request=request, retry=None, timeout=RPC_TIMEOUT_S, metadata=self._metadata
                )


def _translate_errors(conflicts: Collection[StatusCode] = ()) -> AbstractContextManager[None]:
    return translate_errors(partial(_error, conflicts))


def _error(
    conflicts: Collection[StatusCode], status: StatusCode | None, explanation: str
) -> TranscriptsError:
    """Tell what a status means; ``conflicts`` are those that tell of another writer."""
    if status in conflicts:
        return Conflict("Another writer changed the document. Try again.", explanation=explanation)
    if status in _REPAIRS:
        return StoreMisconfigured(_REPAIRS[status], explanation=explanation)
    if status is StatusCode.INVALID_ARGUMENT:
        return DocumentRefused("Firestore refuses the document.", explanation=explanation)
    return StoreUnavailable("Firestore did not answer. Try again.", explanation=explanation)


def encode_commit(database: str, writes: Sequence[Write | Delete]) -> Any:
    """Build the ``CommitRequest`` that makes ``writes``."""
    request = types.CommitRequest.pb()(database=database)
    for write in writes:
        message = request.writes.add()
        if isinstance(write, Delete):
            message.delete = f"{database}/documents/{write.path}"
        else:
            _encode_update(message, f"{database}/documents/{write.path}", write)
        if write.expect == ABSENT:
            message.current_document.exists = False
        elif write.expect is not None:
            message.current_document.update_time.ParseFromString(write.expect)
    return request


def _encode_update(message: Any, name: str, write: Write) -> None:
    message.update.name = name
    names = write.fields
    if names is None:
        names = write.value.__struct_fields__
    else:
        message.update_mask.field_paths.extend(names)
    encode_fields(message.update.fields, write.value, names)


def encode_ids(database: str, collection: str, limit: int, after: str) -> Any:
    """Build the ``RunQueryRequest`` of a collection's ids; every collection has that index."""
    parent, _, collection_id = f"{database}/documents/{collection}".rpartition("/")
    request = types.RunQueryRequest.pb()(parent=parent)
    structured = request.structured_query
    structured.from_.add(collection_id=collection_id)
    structured.select.fields.add(field_path="__name__")
    structured.order_by.add(field={"field_path": "__name__"}, direction=_ASCENDING)
    structured.limit.value = limit
    if after:
        name = f"{parent}/{collection_id}/{after}"
        structured.start_at.values.add(reference_value=name)
        # A cursor that is not before its document starts behind it.
        structured.start_at.before = False
    return request


def encode_query(database: str, query: Query[Any]) -> Any:
    """Build the ``RunQueryRequest``.

    A query with ``where`` or ``contains`` needs a composite index on that field and ``order_by``,
    in the direction of the query.
    """
    root = f"{database}/documents"
    request = types.RunQueryRequest.pb()(parent=root)
    structured = request.structured_query
    structured.from_.add(collection_id=query.collection)
    composite = structured.where.composite_filter
    composite.op = _AND
    _add_equal(composite, query.where)
    if query.contains is not None:
        _add_filter(composite, query.contains[0], _CONTAINS, query.contains[1])
    if query.until is not None:
        _add_filter(composite, query.order_by, _AT_MOST, query.until)
    if query.since is not None or query.until is None:
        # A range has values of one type only: without one, null would count as a time.
        _add_filter(composite, query.order_by, _AT_LEAST, query.since or _EARLIEST)
    direction = _DESCENDING if query.descending else _ASCENDING
    for name in (query.order_by, _ID):
        structured.order_by.add(field={"field_path": name}, direction=direction)
    if query.after is not None:
        moment, document_id = query.after
        encode_value(structured.start_at.values.add(), moment)
        reference = structured.start_at.values.add()
        reference.reference_value = f"{root}/{query.collection}/{document_id}"
        structured.start_at.before = False
    structured.limit.value = query.limit
    for name in query.fields or ():
        structured.select.fields.add(field_path=name)
    return request


def encode_count(database: str, count: Count) -> Any:
    """Build the ``RunAggregationQueryRequest``; it needs no composite index."""
    request = types.RunAggregationQueryRequest.pb()(parent=f"{database}/documents")
    aggregation = request.structured_aggregation_query
    aggregation.structured_query.from_.add(collection_id=count.collection)
    if count.where:
        composite = aggregation.structured_query.where.composite_filter
        composite.op = _AND
        _add_equal(composite, count.where)
    counted = aggregation.aggregations.add(alias=_COUNT)
    counted.count.SetInParent()
    return request


def _add_equal(composite: Any, where: Sequence[tuple[str, str | None]]) -> None:
    for name, value in where:
        if value is None:
            part = composite.filters.add().unary_filter
            part.field.field_path = name
            part.op = _IS_NULL
        else:
            _add_filter(composite, name, _EQUAL, value)


def _add_filter(composite: Any, name: str, operator: int, value: object) -> None:
    part = composite.filters.add().field_filter
    part.field.field_path = name
    part.op = operator
    encode_value(part.value, value)


def _snapshot(document: Any, kind: type[T]) -> Snapshot[T]:
    value = msgspec.convert(decode_fields(document.fields), kind)
    return Snapshot(value, document.update_time.SerializeToString())
