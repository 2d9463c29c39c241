"""Fakes of the ports that keep or record, for tests of the code that calls the ports."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from transcripts.errors import (
    Conflict,
    DocumentRefused,
    ObjectNotFound,
    PublishUnavailable,
    QueueUnavailable,
    StoreUnavailable,
)
from transcripts.logs import Log
from transcripts.mavi.answers import (
    Accepted,
    AssetState,
    Sent,
    SignedUrl,
    SubmitAnswer,
    UploadAnswer,
    Uploaded,
)
from transcripts.mavi.client import File
from transcripts.mavi.rate_limit import RateLimitTimeout
from transcripts.ports import Count, Delete, Message, Query, Read, Snapshot, T, Write
from transcripts.retry import Retrier
from transcripts.uploads.stored_object import StoredObject

R = TypeVar("R")

Hook = Callable[..., object]
"""A function that a test gives to a fake; the fake awaits the result if it is awaitable."""


def nothing(*_: object) -> None:
    """Do nothing: the default of every hook."""


async def _awaited(result: object) -> None:
    if isinstance(result, Awaitable):
        await result


NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Clock:
    """A clock that moves only when a test advances it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **how_long: float) -> None:
        self.now += timedelta(**how_long)


class Sleeper:
    """Sleeps by advancing a clock, and records how long."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.clock is not None:
            self.clock.advance(seconds=seconds)
        await asyncio.sleep(0)


class LogLines:
    """The events that a function logged."""

    def __init__(self, function: str = "test") -> None:
        self.raw: list[bytes] = []
        self.log = Log(function, self.raw.append, lambda: NOW, project="p")

    @property
    def events(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.raw]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["message"] == name]


class TryOnce(Retrier):
    """A retrier that never retries, so that the speed of a machine does not matter."""

    async def run(self, operation: Callable[[], Awaitable[R]]) -> R:
        return await operation()


class MemoryDocuments:
    """Documents in a dict.

    The hooks ``before`` and ``after`` get the name of each operation, before and after its effect;
    ``before_commit`` gets the writes. Each may raise.
    """

    def __init__(self) -> None:
        self.content: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.reads = 0
        self.queries: list[Query[Any]] = []
        self.commits: list[tuple[Write, ...]] = []
        self.deleted: list[str] = []
        self.before: Callable[[str], None] = nothing
        self.after: Callable[[str], None] = nothing
        self.before_commit: Hook = nothing

    async def read(self, *reads: Read[T]) -> Sequence[Snapshot[T] | None]:
        self.reads += 1
        await asyncio.sleep(0)
        self.before("read")
        return [self._snapshot(read) for read in reads]

    def _snapshot(self, read: Read[T]) -> Snapshot[T] | None:
        content = self.content.get(read.path)
        if content is None:
            return None
        if read.fields is not None:
            content = {name: content[name] for name in read.fields if name in content}
        return Snapshot(msgspec.convert(content, read.type), str(self.versions[read.path]).encode())

    async def ids(self, collection: str, *, limit: int, after: str = "") -> Sequence[str]:
        await asyncio.sleep(0)
        self.before("ids")
        paths = [path.rpartition("/") for path in self.content]
        found = [name for parent, _, name in paths if parent == collection and name > after]
        return sorted(found)[:limit]

    async def commit(self, *writes: Write | Delete) -> None:
        await asyncio.sleep(0)
        await _awaited(self.before_commit(*writes))
        self.before("commit")
        for write in writes:
            version = str(self.versions[write.path]).encode() if write.path in self.content else b""
            if write.expect is not None and write.expect != version:
                raise Conflict("changed meanwhile")
        encoded: dict[str, dict[str, Any]] = {}
        for write in writes:
            if isinstance(write, Delete):
                continue
            content = msgspec.to_builtins(write.value, builtin_types=(bytes, datetime))
            if write.fields is not None:
                old = encoded.get(write.path, self.content.get(write.path, {}))
                content = old | {name: content[name] for name in write.fields}
            if len(msgspec.msgpack.encode(content)) > 1024 * 1024:
                raise DocumentRefused("too large")
            encoded[write.path] = content
        for path in [write.path for write in writes if isinstance(write, Delete)]:
            self.content.pop(path, None)
            self.deleted.append(path)
        self.content |= encoded
        for path in encoded:
            self.versions[path] = self.versions.get(path, 0) + 1
        self.commits.append(tuple(write for write in writes if isinstance(write, Write)))
        self.after("commit")

    async def query(self, query: Query[T]) -> Sequence[Snapshot[T]]:
        await asyncio.sleep(0)
        self.queries.append(query)
        self.before("query")
        found = [
            (moment, path)
            for path in self._matching(query.collection, query.where)
            if (moment := self.content[path].get(query.order_by)) is not None
            and (query.contains is None or query.contains[1] in self._list(path, query.contains[0]))
            and (query.since is None or query.since <= moment)
            and (query.until is None or moment <= query.until)
        ]
        found.sort(reverse=query.descending)
        if query.after is not None:
            last = (query.after[0], f"{query.collection}/{query.after[1]}")
            found = [each for each in found if (each < last if query.descending else each > last)]
        reads = [Read(path, query.type, query.fields) for _, path in found[: query.limit]]
        return [found for found in map(self._snapshot, reads) if found is not None]

    def _matching(self, collection: str, where: Sequence[tuple[str, str | None]]) -> list[str]:
        return [
            path
            for path, content in self.content.items()
            if path.startswith(f"{collection}/")
            and path.count("/") == 1
            and all(_field(content, name) == wanted for name, wanted in where)
        ]

    def _list(self, path: str, name: str) -> list[str]:
        return _field(self.content[path], name) or []

    async def count(self, *counts: Count) -> Sequence[int]:
        await asyncio.sleep(0)
        self.before("count")
        return [len(self._matching(count.collection, count.where)) for count in counts]

    def paths(self, under: str = "") -> list[str]:
        return sorted(path for path in self.content if path.startswith(under))


def _field(content: Any, name: str) -> Any:
    for part in name.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


@dataclass
class Outage:
    """Fails the next ``times`` calls of a ``MemoryDocuments``."""

    times: int
    error: type[StoreUnavailable] = StoreUnavailable
    only: str | None = None
    seen: int = 0

    def __call__(self, operation: str) -> None:
        if self.only in (None, operation) and self.seen < self.times:
            self.seen += 1
            raise self.error("no store")


class RecordingPublisher:
    """Keeps the published messages; refuses while ``down``."""

    def __init__(self) -> None:
        self.published: list[tuple[str, Message]] = []
        self.down = False

    async def publish(self, topic: str, message: Message) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise PublishUnavailable("no broker")
        self.published.append((topic, message))

    def on(self, topic: str) -> list[Message]:
        return [message for where, message in self.published if where == topic]


@dataclass
class ScriptedProvider:
    """Gives the prepared answers, then accepts every call with a new task.

    ``busy_s`` is the wait for a slot; ``held`` has the received bytes of each asset. The hooks get
    the asset's id: ``on_slot`` before the intent of a submission is recorded, ``on_submit`` after
    it, ``on_poll`` before the state of the asset is read. ``on_send`` gets the address and the file
    before the bytes are read.
    """

    answers: list[SubmitAnswer] = field(default_factory=list)
    states: list[AssetState | None] = field(default_factory=list)
    signed: list[UploadAnswer] = field(default_factory=list)
    uploads: list[UploadAnswer] = field(default_factory=list)
    sends: list[Sent] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    held: dict[str, bytes] = field(default_factory=dict)
    busy_s: float = 0.0
    on_slot: Hook = nothing
    on_submit: Hook = nothing
    on_poll: Hook = nothing
    on_send: Hook = nothing

    def _slot(self, max_wait_s: float) -> None:
        if self.busy_s > max_wait_s:
            raise RateLimitTimeout(self.busy_s)

    async def submit(
        self, asset_id: str, max_wait_s: float, before_send: Callable[[], Awaitable[object]]
    ) -> SubmitAnswer:
        self._slot(max_wait_s)
        await _awaited(self.on_slot(asset_id))
        await before_send()
        self.submitted.append(asset_id)
        await asyncio.sleep(0)
        await _awaited(self.on_submit(asset_id))
        if self.answers:
            return self.answers.pop(0)
        return Accepted(f"task-{len(self.submitted)}")

    async def asset_state(self, asset_id: str, max_wait_s: float) -> AssetState | None:
        self._slot(max_wait_s)
        await _awaited(self.on_poll(asset_id))
        self.asked.append(asset_id)
        await asyncio.sleep(0)
        return self.states.pop(0) if self.states else AssetState.READY

    async def signed_url(self, filename: str, max_wait_s: float) -> UploadAnswer:
        self._slot(max_wait_s)
        await asyncio.sleep(0)
        if self.signed:
            return self.signed.pop(0)
        asset_id = f"re_{len(self.held) + 1}"
        self.held[asset_id] = b""
        return SignedUrl(asset_id, f"https://signed/{asset_id}")

    async def send(self, url: str, file: File) -> Sent:
        await asyncio.sleep(0)
        await _awaited(self.on_send(url, file))
        content = file.open().read(file.size + 1)
        sent = self.sends.pop(0) if self.sends else Sent.ACCEPTED
        if sent is Sent.ACCEPTED:
            self.held[url.rpartition("/")[2]] = content
        return sent

    async def upload(self, file: File, max_wait_s: float) -> UploadAnswer:
        self._slot(max_wait_s)
        await asyncio.sleep(0)
        if self.uploads:
            return self.uploads.pop(0)
        asset_id = f"re_{len(self.held) + 1}"
        self.held[asset_id] = file.open().read(file.size + 1)
        return Uploaded(asset_id)


class MemoryQueue:
    """Keeps tasks by name, in order; ``down`` refuses them. ``before`` gets the submission's id."""

    def __init__(self) -> None:
        self.tasks: dict[str, str] = {}
        self.asked = 0
        self.down = False
        self.before: Hook = nothing

    async def enqueue(self, name: str, submission_id: str) -> None:
        await asyncio.sleep(0)
        await _awaited(self.before(submission_id))
        if self.down:
            raise QueueUnavailable("no queue")
        self.asked += 1
        self.tasks.setdefault(name, submission_id)


class MemorySigner:
    """Gives addresses of the host of Cloud Storage; ``open`` says what each one leads to."""

    def __init__(self, clock: Callable[[], datetime] = lambda: NOW) -> None:
        self.clock = clock
        self.signed: dict[str, tuple[StoredObject, str, datetime]] = {}
        self.before: Callable[[], None] = nothing

    def sign(self, stored: StoredObject, media_type: str, until: datetime) -> str:
        self.before()
        address = (
            f"https://storage.googleapis.com/signed/{len(self.signed)}?X-Goog-Signature=s3cr3t"
        )
        self.signed[address] = (stored, media_type, until)
        return address

    def open(self, address: str) -> tuple[StoredObject, str] | None:
        """Return the object and its type, None after the time."""
        stored, media_type, until = self.signed[address]
        return (stored, media_type) if self.clock() < until else None


class MemoryObjects:
    """Objects in memory. ``before`` gets ``stat`` or ``open`` and may raise; ``reader`` opens."""

    def __init__(self) -> None:
        self.content: dict[tuple[str, str], tuple[StoredObject, bytes]] = {}
        self.opened = 0
        self.before: Callable[[str], None] = nothing
        self.reader: Callable[[bytes], io.BytesIO] = io.BytesIO

    def put(
        self, name: str, content: bytes = b"media", *, generation: str = "1", **more: Any
    ) -> StoredObject:
        stored = StoredObject(
            bucket="uploads",
            name=name,
            generation=generation,
            size=len(content),
            **{"content_type": "video/mp4", **more},
        )
        self.content["uploads", name] = (stored, content)
        return stored

    def stat(self, bucket: str, name: str, generation: str | None) -> StoredObject:
        self.before("stat")
        return self._find(bucket, name, generation)

    def _find(self, bucket: str, name: str, generation: str | None) -> StoredObject:
        found = self.content.get((bucket, name))
        if found is None or generation not in (None, found[0].generation):
            raise ObjectNotFound("no such object")
        return found[0]

    def open(self, stored: StoredObject) -> io.BytesIO:
        self.opened += 1
        self.before("open")
        self._find(stored.bucket, stored.name, stored.generation)
        return self.reader(self.content[stored.bucket, stored.name][1])
