"""Storing the result of a pushed message."""

from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.builders import TASK_ID, callback_body, push_body, segment
from tests.fakes import NOW, LogLines, MemoryDocuments, Outage, Sleeper, TryOnce
from tests.polling import eventually
from tests.stored import read_raw
from transcripts.callbacks.message import INLINE_WORK_BYTES, MAX_CALLBACK_BYTES, decompress, pack
from transcripts.errors import DocumentRefused, PoisonMessage, StoreUnavailable
from transcripts.push import read_push
from transcripts.retry import Retrier
from transcripts.tasks import recorder
from transcripts.tasks.merge import Outcome
from transcripts.tasks.recorder import (
    LARGE_BYTES,
    LARGE_CONCURRENCY,
    Recorder,
    prepare,
)
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Task
from transcripts.tasks.values import MAX_ITEMS


class RecorderUnderTest:
    def __init__(self, retention_days: int = 0, retrier: Retrier | None = None) -> None:
        self.documents = MemoryDocuments()
        self.lines = LogLines()
        self.store = TaskStore(self.documents, retrier or Retrier(sleep=Sleeper()))
        self.recorder = Recorder(self.store, retention_days, self.lines.log, lambda: NOW)


def pushed(body: bytes, **changes: str) -> bytes:
    message = pack(body, NOW - timedelta(seconds=9), {"task_id": TASK_ID, "kind": "unknown"})
    return push_body(message.data, message.attributes | changes)


async def test_record_pushed_callback_stores_its_result() -> None:
    """The task has the time of receipt, its revision, its expiry and its body."""
    under_test = RecorderUnderTest(retention_days=2)
    body = callback_body()
    assert await under_test.recorder.record(pushed(body)) is Outcome.STORED
    task = await under_test.store.read_task(TASK_ID)
    assert task is not None
    assert task.received_at == NOW - timedelta(seconds=9)
    assert task.stored_at == NOW
    assert task.expires_at == NOW - timedelta(seconds=9) + timedelta(days=2)
    assert task.revision is not None
    raw = await read_raw(under_test.store, TASK_ID, task.revision)
    assert raw is not None
    assert decompress(raw) == body


async def test_record_second_delivery_is_a_duplicate() -> None:
    """The delivery is acknowledged, and logged as a duplicate."""
    under_test = RecorderUnderTest()
    await under_test.recorder.record(pushed(callback_body()))
    assert await under_test.recorder.record(pushed(callback_body())) is Outcome.DUPLICATE
    assert [event["message"] for event in under_test.lines.events] == [
        "result_stored",
        "result_duplicate",
    ]


WITHOUT: dict[str, str | None] = {"size": None}
FORGED: dict[str, str | None] = {"size": "100"}


def repeated(size: int) -> bytes:
    """Return a callback of about ``size`` bytes that compresses to a thousandth."""
    return callback_body([segment(0, text="a" * size)])


def repushed(body: bytes, changes: dict[str, str | None]) -> bytes:
    """Return the push of ``body``, with attributes changed or taken away."""
    message = pack(body, NOW, {"task_id": TASK_ID})
    attributes = {**message.attributes, **changes}
    return push_body(message.data, {k: v for k, v in attributes.items() if v is not None})


@pytest.mark.parametrize(
    ("body", "changes", "in_a_thread"),
    [
        (repeated(INLINE_WORK_BYTES // 2), {}, False),
        (repeated(INLINE_WORK_BYTES), {}, True),
        (repeated(INLINE_WORK_BYTES // 2), WITHOUT, True),
        (repeated(INLINE_WORK_BYTES), WITHOUT, True),
    ],
)
async def test_record_over_inline_work_bytes_unpacked_works_in_a_thread(
    body: bytes,
    changes: dict[str, str | None],
    *,
    in_a_thread: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The unpacked size decides; a message without its size counts as large."""
    push = repushed(body, changes)
    assert len(read_push(push).message.data) < 1_000
    threads: list[int] = []

    def watched(*arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return prepare(*arguments)

    monkeypatch.setattr(recorder, "prepare", watched)
    under_test = RecorderUnderTest()
    await under_test.recorder.record(push)
    assert [each != threading.get_ident() for each in threads] == [in_a_thread]
    task = await under_test.store.read_task(TASK_ID)
    assert task is not None
    assert task.segment_count == len(task.segments) == 1


async def test_record_forged_size_is_poison_before_it_is_unpacked() -> None:
    """A message that holds more than its size is refused at that size."""
    under_test = RecorderUnderTest()
    with pytest.raises(PoisonMessage, match="more than 100 bytes"):
        await under_test.recorder.record(repushed(repeated(INLINE_WORK_BYTES), FORGED))
    assert under_test.documents.paths() == []


@pytest.mark.parametrize("changes", [{}, WITHOUT])
async def test_record_large_unpacked_works_on_few_at_once(changes: dict[str, str | None]) -> None:
    """Few large messages run at once, small ones do not wait for them, and all are stored."""
    under_test = RecorderUnderTest()
    working: list[int] = []
    go_on = asyncio.Event()

    class Slow(TaskStore):
        async def save_result(self, result: Task, raw: bytes) -> Outcome:
            working.append(result.character_count)
            await go_on.wait()
            return await super().save_result(result, raw)

    under_test.recorder._store = Slow(under_test.documents, Retrier(sleep=Sleeper()))
    large = [repushed(repeated(LARGE_BYTES + n), changes) for n in range(5)]
    recording = [asyncio.ensure_future(under_test.recorder.record(push)) for push in large]
    await eventually(lambda: len(working) == LARGE_CONCURRENCY)
    small = [pushed(repeated(LARGE_BYTES // 2 + n)) for n in range(3)]
    recording += [asyncio.ensure_future(under_test.recorder.record(push)) for push in small]
    await eventually(lambda: len(working) == LARGE_CONCURRENCY + 3)
    assert sum(count >= LARGE_BYTES for count in working) == LARGE_CONCURRENCY
    go_on.set()
    assert len(await asyncio.gather(*recording)) == len(working) == 8


def of_items(items: bytes) -> bytes:
    body = b'{"task_id": "%s", "data": {"data": {"audio_transcription": [%s]}}}'
    return body % (TASK_ID.encode(), items)


@pytest.mark.untraced
def test_prepare_hostile_body_needs_memory_in_proportion_to_it() -> None:
    """A body takes at most ten times its size, or 500 bytes a segment."""
    size = 512 * 1024
    strings = (b'"ab",' * (size // 5))[:-1]
    bodies = {
        "text": of_items(b'{"text": "%s"}' % (b"word, " * (size // 6))),
        "escapes": of_items(b'{"text": "%s"}' % (b"\\n" * (size // 2))),
        "emoji": of_items(b'{"text": "%s\xf0\x9f\x98\x80"}' % (b"a" * size)),
        "strings": of_items(strings),
        "numbers": of_items((b"1.5," * (size // 4))[:-1]),
        "structure as a text": of_items(b'{"text": [%s]}' % strings),
        "structure as a code": b'{"task_id": "a", "code": [%s]}' % strings,
        "structure as faces": of_items(b"").replace(
            b'{"audio', b'{"faces": [%s], "audio' % strings
        ),
        "unknown field": of_items(b'{"new": [%s]}' % strings),
        "objects": of_items((b"{}," * 5_000)[:-1]),
    }
    for name, body in bodies.items():
        push = read_push(repushed(body, {"task_id": None}))
        tracemalloc.start()
        try:
            prepared = prepare(push, NOW, 0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        allowed = max(10 * len(body), 500 * prepared.result.segment_count)
        assert peak < allowed, (name, peak / len(body))


async def test_record_millions_of_items_is_poison() -> None:
    """They would take more memory than the instance has, at every delivery."""
    body = of_items((b"[]," * (MAX_ITEMS + 1))[:-1])
    assert len(body) < MAX_CALLBACK_BYTES
    with pytest.raises(PoisonMessage, match="more than 600000 items"):
        await RecorderUnderTest().recorder.record(pushed(body))


async def test_record_large_does_not_block_the_event_loop() -> None:
    """Other requests run while 27 MB are decoded; CPU time is measured, not clock time."""
    blocked: list[float] = []

    async def beat() -> None:
        while True:
            started = time.process_time()
            await asyncio.sleep(0.005)
            blocked.append(time.process_time() - started)

    under_test = RecorderUnderTest()
    push = pushed(callback_body(200_000))
    beating = asyncio.ensure_future(beat())
    result, _ = await under_test.recorder._prepare(read_push(push), MAX_CALLBACK_BYTES)
    beating.cancel()
    assert result.segment_count == 200_000
    assert max(blocked) < 0.5


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
async def test_record_poison_logs_one_error_and_stores_nothing(push: bytes) -> None:
    """The broker moves the message to the dead-letter topic."""
    under_test = RecorderUnderTest(retention_days=1)
    with pytest.raises(PoisonMessage):
        await under_test.recorder.record(push)
    (event,) = under_test.lines.events
    assert (event["message"], event["severity"]) == ("callback_poisoned", "ERROR")
    assert event["reason"]
    assert under_test.documents.paths() == []


async def test_record_poison_logs_which_message_it_is() -> None:
    """An operator finds the message among the dead letters."""
    under_test = RecorderUnderTest()
    push = msgspec.json.decode(pushed(callback_body(), schema="9"))
    with pytest.raises(PoisonMessage):
        await under_test.recorder.record(msgspec.json.encode(push | {"deliveryAttempt": 3}))
    (event,) = under_test.lines.named("callback_poisoned")
    message = push["message"]
    assert (event["task_id"], event["message_id"], event["attempt"]) == (
        message["attributes"]["task_id"],
        message["messageId"],
        3,
    )


async def test_record_refused_document_is_a_permanent_error() -> None:
    """The store would refuse the document at every delivery."""
    under_test = RecorderUnderTest()

    def refuse(operation: str) -> None:
        if operation == "commit":
            raise DocumentRefused("too large")

    under_test.documents.before = refuse
    with pytest.raises(DocumentRefused):
        await under_test.recorder.record(pushed(callback_body()))
    assert under_test.lines.named("callback_poisoned")


async def test_record_without_a_store_is_a_transient_error() -> None:
    """The broker delivers the message again."""
    under_test = RecorderUnderTest(retrier=TryOnce())
    under_test.documents.before = Outage(10**6)
    with pytest.raises(StoreUnavailable):
        await under_test.recorder.record(pushed(callback_body()))
    assert under_test.lines.named("callback_poisoned") == []
    under_test.documents.before = lambda _: None
    assert await under_test.recorder.record(pushed(callback_body())) is Outcome.STORED


def test_record_message_without_attributes_is_stored() -> None:
    """A message made by hand counts as received when it was published."""
    prepared = prepare(read_push(push_body(callback_body(), {})), NOW, 0)
    assert prepared.result.received_at is not None
    assert prepared.result.received_at.isoformat() == "2026-01-02T03:04:05.678000+00:00"


async def test_receive_logs_no_content() -> None:
    """Neither text nor names."""
    under_test = RecorderUnderTest()
    await under_test.recorder.record(pushed(callback_body([{"speaker": "Ada", "text": "hello"}])))
    text = b"".join(under_test.lines.raw)
    assert b"missing_time" in text
    assert b"Ada" not in text
    assert b"hello" not in text
