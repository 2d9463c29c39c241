"""Lists, newest first, by pages, and the tokens of their pages.

A page token says where the next page begins, and is bound to the query that it belongs to. It is
opaque and needs no secret: whoever can send one may read every page anyway. Its checksum tells an
altered token, and the token of another query, from a usable one (https://google.aip.dev/158).
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace
from starlette.datastructures import QueryParams

from transcripts.errors import RequestError
from transcripts.ids import usable_id
from transcripts.ports import Documents, Query
from transcripts.results.filters import ORDER, Filter, Parser
from transcripts.results.requests import (
    bad_parameters,
    moment,
    moment_before,
    page_size,
    read_parameters,
)
from transcripts.retry import Retrier

S = TypeVar("S", bound=msgspec.Struct)

DEFAULT_PAGE_SIZE: Final = 50
MIN_BEGINNING_CHARS: Final = 4
MAX_IDS: Final = 10
"""So many ids that begin alike are named."""

MAX_PAGE_SIZE: Final = 200
"""A larger size is reduced."""


class ListPage(NamedTuple, Generic[S]):
    """Some documents, and the token of the next page; without a token this is the last page."""

    items: Sequence[S]
    next_page_token: str | None


@dataclass(frozen=True)
class Listing(Generic[S]):
    """A collection as a list: ``fields`` are read of each document, ``id_field`` is its id."""

    documents: Documents
    retrier: Retrier
    collection: str
    type: type[S]
    id_field: str
    fields: tuple[str, ...]
    filters: Mapping[str, Filter]

    async def page(self, parameters: QueryParams) -> ListPage[S]:
        """Return one page, in one query.

        Raises ``RequestError`` (``bad_parameter``, ``bad_page_token``) and ``StoreUnavailable``.
        """
        query = self._query(parameters)
        found = await self.retrier.run(lambda: self.documents.query(query))
        items = [snapshot.value for snapshot in found]
        if len(items) < query.limit:
            return ListPage(items, None)
        # The query asks for one more than the page holds, so the last page has no token.
        page = items[:-1]
        return ListPage(page, self._token(query, page[-1]))

    async def ids_from(self, beginning: str) -> list[str]:
        """Return the first ids that begin so, none for a beginning that says too little."""
        if len(beginning) < MIN_BEGINNING_CHARS or not usable_id(beginning):
            return []
        ids = await self.retrier.run(
            lambda: self.documents.ids(self.collection, after=beginning, limit=MAX_IDS)
        )
        return [each for each in ids if each.startswith(beginning)]

    def token_after(self, parameters: QueryParams, item: S) -> str:
        """Return the token of the page that begins after a document of this list."""
        return self._token(self._query(parameters), item)

    def _token(self, query: Query[S], last: Any) -> str:
        return encode_token(query, (getattr(last, ORDER), getattr(last, self.id_field)))

    def _query(self, parameters: QueryParams) -> Query[S]:
        parsers = {name: each.parse for name, each in self.filters.items()} | dict(_COMMON)
        values = read_parameters(parsers, parameters)
        given = [name for name in values if name in self.filters]
        if len(given) > 1:
            problem = f"can't be combined with {', '.join(given[1:])}; use one filter and the times"
            raise bad_parameters({given[0]: problem}, parsers)
        since, until = values.get("created_after"), values.get("created_before")
        if since is not None and until is not None and since > until:
            raise bad_parameters({"created_after": "must be before created_before"}, parsers)
        query = Query(
            self.collection,
            self.type,
            order_by=ORDER,
            descending=True,
            since=since,
            until=until,
            limit=min(values.get("page_size", DEFAULT_PAGE_SIZE), MAX_PAGE_SIZE) + 1,
            fields=self.fields,
        )
        for name in given:
            condition = (self.filters[name].field, values[name])
            if self.filters[name].of_list:
                query = replace(query, contains=condition)
            else:
                query = replace(query, where=(condition,))
        if "page_token" in values:
            query = replace(query, after=decode_token(query, values["page_token"]))
        return query


_COMMON: Final[Mapping[str, Parser]] = {
    "created_after": moment,
    "created_before": moment_before,
    "page_size": page_size,
    "page_token": str,
}
"""The times are a half-open range: from ``created_after`` on, and before ``created_before``."""


Cursor = tuple[datetime, str]
"""The time and the id of the last document of a page."""

_CHECKSUM_BYTES: Final = 12
_MAX_TOKEN_CHARS: Final = 400


def encode_token(query: Query[Any], cursor: Cursor) -> str:
    """Return the token of the page after ``cursor``."""
    content = msgspec.msgpack.encode(cursor)
    return urlsafe_b64encode(_checksum(query, content) + content).rstrip(b"=").decode()


def decode_token(query: Query[Any], token: str) -> Cursor:
    """Return where the page of a token begins.

    Raises ``RequestError`` (``bad_page_token``) if it is altered, or belongs to another query.
    """
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4)) if token.isascii() else b""
        checksum, content = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
        canonical = urlsafe_b64encode(data).rstrip(b"=").decode() == token
        if len(token) <= _MAX_TOKEN_CHARS and canonical and checksum == _checksum(query, content):
            moment, document_id = msgspec.msgpack.decode(content, type=Cursor)
            return moment.astimezone(UTC), document_id
    except (ValueError, msgspec.MsgspecError):
        pass
    raise RequestError(
        "page_token is altered or belongs to another query. Repeat the parameters of the query that"
        " returned it, or begin without it.",
        code="bad_page_token",
    )


def _checksum(query: Query[Any], content: bytes) -> bytes:
    asked = (query.collection, query.where, query.contains, query.since, query.until)
    return hashlib.sha256(msgspec.msgpack.encode((asked, content))).digest()[:_CHECKSUM_BYTES]
