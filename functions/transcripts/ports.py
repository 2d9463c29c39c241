"""The few things a backend has to offer, as small protocols.

``google`` and ``embedded`` implement them, and so do the fakes of the tests; one contract suite
(``tests/contracts``) runs against all. Nothing outside a backend imports a vendor's library.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from transcripts.uploads.stored_object import StoredObject

T = TypeVar("T", bound=msgspec.Struct)
T_co = TypeVar("T_co", bound=msgspec.Struct, covariant=True)

Version = bytes
"""An opaque token of one state of one document; equal tokens mean an unchanged document."""

ABSENT: Final = b""
"""The version of a document that does not exist."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message to publish: ``data`` in bytes and string attributes."""

    data: bytes
    attributes: dict[str, str]


class Publisher(Protocol):
    """Takes messages for topics."""

    async def publish(self, topic: str, message: Message) -> None:
        """Return once the broker has made ``message`` durable.

        In a request, its attributes also get the trace of that. Raises ``PublishUnavailable`` if it
        was not within 10 s: the message may or may not be there then.
        """


Announce = Callable[[str], Awaitable[None]]
"""Tells others that the result of a task, by its id, is stored."""


class SubmitQueue(Protocol):
    """Runs submissions one after the other, at the pace of the provider."""

    async def enqueue(self, name: str, submission_id: str) -> None:
        """Return once a task that runs the submission is durable.

        The task's request belongs to the trace of this one. A ``name`` that the queue has, or had
        not long ago, adds nothing: repeating is safe. Raises ``QueueUnavailable``.
        """


class ObjectReader(Protocol):
    """One generation of an object, read from start to end; blocking."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most ``size``; nothing at the end.

        They are the bytes as they are stored, compressed ones too. The end tells that they were
        checked: until then they may be incomplete or wrong. Raises ``ObjectNotFound``,
        ``ObjectUnreadable``, ``ObjectForbidden``, ``ObjectUnavailable`` and, at the end,
        ``ObjectCorrupted``.
        """

    def close(self) -> None:
        """Release the connection or file, and end a read of another thread soon."""


class ObjectSource(Protocol):
    """The uploaded objects; its methods block, so they are called in threads."""

    def stat(self, bucket: str, name: str, generation: str | None) -> StoredObject:
        """Return what is known of a generation, None for the present one.

        Raises ``ObjectNotFound`` if there is no such object, ``ObjectUnreadable`` if it can never
        be read, ``ObjectForbidden`` if we may not read it, and ``ObjectUnavailable``.
        """

    def open(self, stored: StoredObject) -> ObjectReader:
        """Open just this generation; raises what ``stat`` raises."""


class MediaSigner(Protocol):
    """Signs addresses at which a browser reads an object; its method blocks."""

    def sign(self, stored: StoredObject, media_type: str, until: datetime) -> str:
        """Return an address that gives this generation to anybody who has it, until a time.

        It answers requests for a range of bytes, with ``media_type`` if the object has no type,
        and as an attachment: a browser that opens it shows no page. Whether the object exists is
        not checked. Raises ``ObjectForbidden`` and ``ObjectUnavailable``.
        """


class Snapshot(msgspec.Struct, Generic[T_co], frozen=True):
    """A document as read, with the version to write against."""

    value: T_co
    version: Version


class Read(msgspec.Struct, Generic[T], frozen=True):
    """One document to read: its path, its type and, if not all of it, the fields wanted."""

    path: str
    type: type[T]
    fields: tuple[str, ...] | None = None


class Write(msgspec.Struct, frozen=True):
    """One document to write.

    ``fields`` None replaces the whole document, else just these fields are set. ``expect`` is the
    version the document must still have (``ABSENT``: must not exist), None for any.
    """

    path: str
    value: msgspec.Struct
    fields: tuple[str, ...] | None = None
    expect: Version | None = None


class Delete(msgspec.Struct, frozen=True):
    """One document to delete; an absent one is no error.

    ``expect`` is the version that the document must still have, None for any.
    """

    path: str
    expect: Version | None = None


class Query(msgspec.Struct, Generic[T], frozen=True):
    """Documents of one collection, in the order of a time; those without that time are left out.

    * ``order_by`` names the field with the time. ``descending`` returns the newest first. Documents
      with one time are in the order of their ids, which is reversed too.
    * ``where``: each of these fields has this text, or is null if that is None. A dot in the name
      leads into a map.
    * ``contains``: this field is a list that has this text.
    * ``since`` and ``until`` are the earliest and the latest time.
    * ``after`` is the time and the id of the document after which the result begins.
    """

    collection: str
    type: type[T]
    order_by: str
    limit: int
    descending: bool = False
    where: tuple[tuple[str, str | None], ...] = ()
    contains: tuple[str, str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[datetime, str] | None = None
    fields: tuple[str, ...] | None = None


class Count(msgspec.Struct, frozen=True):
    """The number of documents of one collection for which ``where`` holds, as in ``Query``."""

    collection: str
    where: tuple[tuple[str, str | None], ...] = ()


class Documents(Protocol):
    """A store of documents by path, ``collection/id`` or ``collection/id/collection/id``."""

    async def query(self, query: Query[T]) -> Sequence[Snapshot[T]]:
        """Return the documents that match. Raises ``StoreUnavailable``."""

    async def count(self, *counts: Count) -> Sequence[int]:
        """Return each number, all as they were at one moment. Raises ``StoreUnavailable``."""

    async def read(self, *reads: Read[T]) -> Sequence[Snapshot[T] | None]:
        """Return each document, or None if it does not exist.

        Raises ``StoreUnavailable``.
        """

    async def ids(self, collection: str, *, limit: int, after: str = "") -> Sequence[str]:
        """Return at most ``limit`` ids of a collection, in order, without reading the documents.

        ``collection`` is a path, ``tasks`` or ``tasks/id/raw``. Only ids greater than ``after`` are
        returned. Raises ``StoreUnavailable``.
        """

    async def commit(self, *writes: Write | Delete) -> None:
        """Write and delete all or nothing.

        Raises ``Conflict`` if a document has not its expected version, ``DocumentRefused``, and
        ``StoreUnavailable`` if the answer was lost: the write may or may not have happened then.
        """
