"""Documents in Firestore: one RPC for a read, one for a commit.

Concurrency control is optimistic: a commit names the ``update_time`` that each document must still
have, so it needs neither a transaction nor a lock
(https://cloud.google.com/firestore/docs/transaction-data-contention).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import grpc
import msgspec

from transcripts.errors import Conflict, DocumentRefused, StoreUnavailable
from transcripts.google.channel import Connection, open_channel, translate_errors
from transcripts.google.messages import Messages
from transcripts.google.values import decode_fields, encode_fields, encode_value
from transcripts.ports import ABSENT, Count, Delete, Query, Read, Snapshot, T, Write

HOST: Final = "firestore.googleapis.com"
RPC_TIMEOUT_S: Final = 10.0

_MESSAGES: Final = Messages("firestore", "google.firestore.v1")
_READ_REQUEST: Final = _MESSAGES.type("BatchGetDocumentsRequest")
_READ_RESPONSE: Final = _MESSAGES.type("BatchGetDocumentsResponse")
_QUERY_REQUEST: Final = _MESSAGES.type("RunQueryRequest")
_QUERY_RESPONSE: Final = _MESSAGES.type("RunQueryResponse")
_COUNT_REQUEST: Final = _MESSAGES.type("RunAggregationQueryRequest")
_COUNT_RESPONSE: Final = _MESSAGES.type("RunAggregationQueryResponse")
_COMMIT_REQUEST: Final = _MESSAGES.type("CommitRequest")
_COMMIT_RESPONSE: Final = _MESSAGES.type("CommitResponse")

_QUERY: Final = _MESSAGES.type("StructuredQuery")
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

_ERRORS: Final = {
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.NOT_FOUND: Conflict,
    grpc.StatusCode.INVALID_ARGUMENT: DocumentRefused,
}
"""Every other status is an outage: ``StoreUnavailable``."""


class _Calls(NamedTuple):
    """The four RPCs this adapter uses, over one channel."""

    batch_get: Any
    run_query: Any
    run_aggregation_query: Any
    commit: Any


class FirestoreDocuments:
    """The documents of one Firestore database."""

    def __init__(self, project: str, database: str, emulator_host: str | None) -> None:
        """Name the database; the first call connects."""
        self._database = f"projects/{project}/databases/{database}"
        self._emulator_host = emulator_host
        self._connection: Connection[_Calls] = Connection(self._connect)
        self._metadata = (
            ("google-cloud-resource-prefix", self._database),
            ("x-goog-request-params", f"project_id={project}&database_id={database}"),
            *((("authorization", "Bearer owner"),) if emulator_host else ()),
        )

    def _name(self, path: str) -> str:
        return f"{self._database}/documents/{path}"

    async def _connect(self) -> _Calls:
        channel = await open_channel(HOST, self._emulator_host)
        service = "/google.firestore.v1.Firestore"
        return _Calls(
            batch_get=channel.unary_stream(
                f"{service}/BatchGetDocuments",
                request_serializer=_READ_REQUEST.SerializeToString,
                response_deserializer=_READ_RESPONSE.FromString,
            ),
            run_query=channel.unary_stream(
                f"{service}/RunQuery",
                request_serializer=_QUERY_REQUEST.SerializeToString,
                response_deserializer=_QUERY_RESPONSE.FromString,
            ),
            run_aggregation_query=channel.unary_stream(
                f"{service}/RunAggregationQuery",
                request_serializer=_COUNT_REQUEST.SerializeToString,
                response_deserializer=_COUNT_RESPONSE.FromString,
            ),
            commit=channel.unary_unary(
                f"{service}/Commit",
                request_serializer=_COMMIT_REQUEST.SerializeToString,
                response_deserializer=_COMMIT_RESPONSE.FromString,
            ),
        )

    async def read(self, *reads: Read[T]) -> Sequence[Snapshot[T] | None]:
        """Return each document, or None if it does not exist; one RPC for each set of fields."""
        found: dict[str, Any] = {}
        with _translate_errors():
            calls = await self._connection.calls(RPC_TIMEOUT_S)
            for fields in {read.fields for read in reads}:
                names = [self._name(read.path) for read in reads if read.fields == fields]
                request = _READ_REQUEST(database=self._database, documents=names)
                if fields is not None:
                    request.mask.field_paths.extend(fields)
                call = calls.batch_get(request, timeout=RPC_TIMEOUT_S, metadata=self._metadata)
                async for response in call:
                    if response.WhichOneof("result") == "found":
                        found[response.found.name] = response.found
        documents = [(found.get(self._name(read.path)), read) for read in reads]
        return [_snapshot(each, read.type) if each else None for each, read in documents]

    async def query(self, query: Query[T]) -> Sequence[Snapshot[T]]:
        """Return the documents that match, in the order of their time, in one RPC."""
        request = encode_query(self._database, query)
        with _translate_errors():
            calls = await self._connection.calls(RPC_TIMEOUT_S)
            call = calls.run_query(request, timeout=RPC_TIMEOUT_S, metadata=self._metadata)
            found = [response.document async for response in call if response.HasField("document")]
        return [_snapshot(document, query.type) for document in found]

    async def count(self, *counts: Count) -> Sequence[int]:
        """Return each number, in one RPC for each; all read the database as the first one did."""
        if not counts:
            return []
        with _translate_errors():
            calls = await self._connection.calls(RPC_TIMEOUT_S)
            first, read_time = await self._count(calls, counts[0], None)
            others = [self._count(calls, count, read_time) for count in counts[1:]]
            return [first, *(number for number, _ in await asyncio.gather(*others))]

    async def _count(self, calls: _Calls, count: Count, read_time: Any) -> tuple[int, Any]:
        request = encode_count(self._database, count)
        if read_time is not None:
            request.read_time.CopyFrom(read_time)
        call = calls.run_aggregation_query(request, timeout=RPC_TIMEOUT_S, metadata=self._metadata)
        number, moment = 0, read_time
        async for response in call:
            number += response.result.aggregate_fields[_COUNT].integer_value
            moment = response.read_time
        return number, moment

    async def ids(self, collection: str, *, limit: int, after: str = "") -> Sequence[str]:
        """Return the ids of a collection's documents, in one RPC that reads no field."""
        request = encode_ids(self._database, collection, limit, after)
        with _translate_errors():
            calls = await self._connection.calls(RPC_TIMEOUT_S)
            call = calls.run_query(request, timeout=RPC_TIMEOUT_S, metadata=self._metadata)
            names = [
                response.document.name async for response in call if response.HasField("document")
            ]
        return [name.rpartition("/")[2] for name in names]

    async def commit(self, *writes: Write | Delete) -> None:
        """Write and delete all documents or none, in one RPC."""
        request = encode_commit(self._database, writes)
        with _translate_errors():
            calls = await self._connection.calls(RPC_TIMEOUT_S)
            await calls.commit(request, timeout=RPC_TIMEOUT_S, metadata=self._metadata)


def _translate_errors() -> AbstractContextManager[None]:
    return translate_errors("Firestore", StoreUnavailable, _ERRORS)


def encode_commit(database: str, writes: Sequence[Write | Delete]) -> Any:
    """Build the ``CommitRequest`` that makes ``writes``."""
    request = _COMMIT_REQUEST(database=database)
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
    request = _QUERY_REQUEST(parent=parent)
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
    request = _QUERY_REQUEST(parent=root)
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
    request = _COUNT_REQUEST(parent=f"{database}/documents")
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
