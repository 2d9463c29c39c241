"""From a pushed message to the stored result."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from tests.builders import TASK_ID, callback_body, push_body, segment
from tests.fakes import NOW, LogLines, MemoryDocuments, Outage, Sleeper, TryOnce
from tests.polling import eventually
from transcripts.callbacks.message import decompress, pack
from transcripts.errors import DocumentRefused, PoisonMessage, StoreUnavailable
from transcripts.push import read_push
from transcripts.retry import Retrier
from transcripts.tasks.merge import Outcome
from transcripts.tasks.recorder import (
    INLINE_WORK_BYTES,
    LARGE_BYTES,
    LARGE_CONCURRENCY,
    MAX_CONTAINERS,
    Recorder,
    prepare,
)
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Task


class Office:
    def __init__(self, retention_days: int = 0, retrier: Retrier | None = None) -> None:
        self.documents = MemoryDocuments()
        self.lines = LogLines()
        self.store = TaskStore(self.documents, retrier or Retrier(20.0, Sleeper()))
        self.recorder = Recorder(self.store, retention_days, self.lines.log, lambda: NOW)


def pushed(body: bytes, **changes: str) -> bytes:
    message = pack(body, NOW - timedelta(seconds=9), {"task_id": TASK_ID, "kind": "unknown"})
    return push_body(message.data, message.attributes | changes)


async def test_a_pushed_callback_is_stored() -> None:
    """With the time it was received, its revision, its expiry and its body."""
    office = Office(retention_days=2)
    body = callback_body()
    assert await office.recorder.record(pushed(body)) is Outcome.STORED
    task = await office.store.read_task(TASK_ID)
    assert task is not None
    assert task.received_at == NOW - timedelta(seconds=9)
    assert task.stored_at == NOW
    assert task.expires_at == NOW - timedelta(seconds=9) + timedelta(days=2)
    assert task.revision is not None
    raw = await office.store.read_raw(TASK_ID, task.revision)
    assert raw is not None
    assert decompress(raw) == body


async def test_a_second_delivery_is_a_duplicate() -> None:
    """Acknowledged, and said so."""
    office = Office()
    await office.recorder.record(pushed(callback_body()))
    assert await office.recorder.record(pushed(callback_body())) is Outcome.DUPLICATE
    assert [event["message"] for event in office.lines.events] == [
        "result_stored",
        "result_duplicate",
    ]


async def test_a_large_push_is_worked_on_beside_the_others() -> None:
    """In a thread; the result is the same."""
    body = callback_body(30_000)
    push = pushed(body)
    assert len(read_push(push).message.data) > INLINE_WORK_BYTES
    office = Office()
    await office.recorder.record(push)
    task = await office.store.read_task(TASK_ID)
    assert task is not None
    assert task.segment_count == len(task.segments) == 30_000


async def test_few_large_ones_are_worked_on_at_once() -> None:
    """Each takes hundreds of MiB; all of them are stored in the end."""
    office = Office()
    working = 0
    go_on = asyncio.Event()

    class Slow(TaskStore):
        async def save_result(self, result: Task, raw: bytes) -> Outcome:
            nonlocal working
            working += 1
            await go_on.wait()
            return await super().save_result(result, raw)

    office.recorder._store = Slow(office.documents, Retrier(20.0, Sleeper()))
    noise = random.Random(7).randbytes(LARGE_BYTES).hex()
    pushes = [pushed(callback_body([segment(0, text=noise + str(n))])) for n in range(5)]
    lease = [asyncio.ensure_future(office.recorder.record(push)) for push in pushes]
    await eventually(lambda: working == LARGE_CONCURRENCY)
    assert office.recorder._large.locked()
    go_on.set()
    assert len(await asyncio.gather(*lease)) == working == 5


@pytest.mark.parametrize("item", [b"{},", b"[],"])
async def test_a_body_of_millions_of_objects_is_poison(item: bytes) -> None:
    """It would take more memory than there is, at every delivery, and its neighbors' too."""
    items = (item * (MAX_CONTAINERS + 1))[:-1]
    body = b'{"task_id": "%s", "data": {"data": {"audio_transcription": [%s]}}}'
    with pytest.raises(PoisonMessage, match="objects and lists"):
        await Office().recorder.record(pushed(body % (TASK_ID.encode(), items)))


@pytest.mark.parametrize(
    "push",
    [
        b"",
        pushed(callback_body(), received_at="9999-12-31T23:59:59Z"),
        b"{}",
        push_body(b"no callback", {}),
        push_body(b'{"task_id": "__no__"}', {}),
        pushed(callback_body(), task_id="another"),
        pushed(callback_body(), schema="9"),
        pushed(callback_body(), sha256="0" * 64),
    ],
)
async def test_poison_is_said_once_and_never_stored(push: bytes) -> None:
    """An error for the log; the broker moves the message to the dead letters."""
    office = Office(retention_days=1)
    with pytest.raises(PoisonMessage):
        await office.recorder.record(push)
    (event,) = office.lines.events
    assert (event["message"], event["severity"]) == ("callback_poisoned", "ERROR")
    assert office.documents.paths() == []


async def test_a_refused_document_is_poison_too() -> None:
    """It would be refused again."""
    office = Office()

    def refuse(operation: str) -> None:
        if operation == "commit":
            raise DocumentRefused("too large")

    office.documents.before = refuse
    with pytest.raises(DocumentRefused):
        await office.recorder.record(pushed(callback_body()))
    assert office.lines.named("callback_poisoned")


async def test_a_store_that_is_down_is_no_poison() -> None:
    """The message comes again."""
    office = Office(retrier=TryOnce())
    office.documents.before = Outage(10**6)
    with pytest.raises(StoreUnavailable):
        await office.recorder.record(pushed(callback_body()))
    assert office.lines.named("callback_poisoned") == []
    office.documents.before = lambda _: None
    assert await office.recorder.record(pushed(callback_body())) is Outcome.STORED


def test_a_message_without_attributes_is_stored() -> None:
    """Made by hand, or by another tool: received when it was published."""
    prepared = prepare(read_push(push_body(callback_body(), {})), NOW, 0)
    assert prepared.result.received_at is not None
    assert prepared.result.received_at.isoformat() == "2026-01-02T03:04:05.678000+00:00"


async def test_receive_logs_no_content() -> None:
    """Neither text nor names."""
    office = Office()
    await office.recorder.record(pushed(callback_body([{"speaker": "Ada", "text": "hello"}])))
    text = b"".join(office.lines.raw)
    assert b"missing_time" in text
    assert b"Ada" not in text
    assert b"hello" not in text
