"""Storing results: the reads and writes, their order, and faults."""

from __future__ import annotations

import asyncio
import itertools
from datetime import datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from tests.builders import callback_body, segment
from tests.fakes import NOW, MemoryDocuments, Outage, Sleeper, TryOnce
from tests.stored import read_raw
from tests.unit.test_merge import a_result, a_submission
from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.message import compress
from transcripts.errors import Conflict, StoreUnavailable
from transcripts.ports import Read, Write
from transcripts.retry import Retrier
from transcripts.tasks.merge import Outcome
from transcripts.tasks.normalize import normalize
from transcripts.tasks.paging import RAW_CHUNK_BYTES
from transcripts.tasks.store import IDS_AT_ONCE, WRITES_PER_COMMIT, TaskStore
from transcripts.tasks.task import (
    DeletedTask,
    RawChunk,
    SpeakerName,
    Status,
    Task,
    page_path,
    raw_path,
)


@pytest.fixture
def documents() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture
def store(documents: MemoryDocuments) -> TaskStore:
    return TaskStore(documents, Retrier(sleep=Sleeper()))


def a_long_result(revision: str = "a", segments: int = 20_000) -> Task:
    envelope = read_envelope(callback_body([segment(n) for n in range(segments)], task_id="t"))
    return normalize(envelope, revision=revision, received_at=NOW, stored_at=NOW, expires_at=NOW)


async def test_store_usual_result_costs_one_read_and_one_commit(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """The commit holds one document and its raw block."""
    assert await store.save_result(a_result(), b"raw") is Outcome.STORED
    assert (documents.reads, len(documents.commits)) == (1, 1)
    assert documents.paths() == ["tasks/t", "tasks/t/raw/a-00000"]


async def test_store_duplicate_costs_one_read(documents: MemoryDocuments, store: TaskStore) -> None:
    """Nothing is written."""
    await store.save_result(a_result(), b"raw")
    assert await store.save_result(a_result(), b"raw") is Outcome.DUPLICATE
    assert (documents.reads, len(documents.commits)) == (2, 1)


async def test_store_superseded_result_keeps_its_body(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """The body is kept once; the same result again is a duplicate."""
    await store.save_result(a_result(), b"good")
    failure = a_result(Status.FAILED, 60, "b")
    assert await store.save_result(failure, b"bad") is Outcome.SUPERSEDED
    assert await store.save_result(failure, b"bad") is Outcome.DUPLICATE
    assert await read_raw(store, "t", "b") == b"bad"
    task = await store.read_task("t")
    assert task is not None
    assert task.status is Status.SUCCEEDED


async def test_store_superseded_result_keeps_its_body_under_contention(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """Contention looks like an existing block, but has written nothing."""
    await store.save_result(a_result(), b"good")
    documents.before = Outage(1, error=Conflict, only="commit")
    assert await store.save_result(a_result(Status.FAILED, 60, "b"), b"bad") is Outcome.SUPERSEDED
    assert await read_raw(store, "t", "b") == b"bad"


async def test_store_replaced_result_again_is_a_duplicate(store: TaskStore) -> None:
    """Its body is stored already, although the task shows another result."""
    first, second = a_result(revision="a"), a_result(seconds=60, revision="b")
    await store.save_result(first, b"1")
    assert await store.save_result(second, b"2") is Outcome.STORED
    assert await store.save_result(first, b"1") is Outcome.DUPLICATE
    assert await read_raw(store, "t", "a") == b"1"


async def test_store_result_keeps_human_edits_and_the_submission(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """The result's write touches only the result's fields."""
    edited = replace(a_submission(), speaker_names=[SpeakerName("Speaker 1", "Ada")])
    await documents.commit(Write("tasks/t", edited))
    await store.save_result(a_result(), b"raw")
    task = await store.read_task("t")
    assert task is not None
    assert (task.speaker_names, task.submission_id, task.labels) == (
        [SpeakerName("Speaker 1", "Ada")],
        "s",
        {"case": "7"},
    )
    assert task.status is Status.SUCCEEDED


async def test_store_long_result_is_paged_and_read_whole(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """The task's document names the pages, and reading joins them."""
    result = a_long_result()
    await store.save_result(result, compress(b"{}"))
    stored = documents.content["tasks/t"]
    assert stored["segments"] == []
    pages = documents.paths("tasks/t/segments/")
    assert pages == [page_path("t", "a", n) for n in range(stored["pages"])]
    assert documents.content[pages[0]]["expires_at"] == NOW
    task = await store.read_task("t")
    assert task is not None
    assert task.segments == result.segments


async def test_store_writes_pages_and_blocks_before_the_task(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """With any number of commits, the last one writes the task's document."""
    raw = bytes(RAW_CHUNK_BYTES * WRITES_PER_COMMIT + 1)
    await store.save_result(a_long_result(), raw)
    assert len(documents.commits) >= 2
    for commit in documents.commits[:-1]:
        assert "tasks/t" not in [write.path for write in commit]
    assert documents.commits[-1][-1].path == "tasks/t"
    assert await read_raw(store, "t", "a") == raw


async def test_read_raw_of_full_blocks_is_whole(store: TaskStore) -> None:
    """The end is a block that is not full, or a missing block."""
    raw = bytes(2 * RAW_CHUNK_BYTES)
    await store.save_result(a_result(), raw)
    assert await read_raw(store, "t", "a") == raw
    assert await read_raw(store, "t", "none") is None


async def test_store_superseded_body_of_many_blocks_is_whole(store: TaskStore) -> None:
    """The first block is written last: it tells that all are stored."""
    raw = bytes(RAW_CHUNK_BYTES * (WRITES_PER_COMMIT + 2))
    await store.save_result(a_result(), b"good")
    await store.save_result(a_result(Status.FAILED, revision="b"), raw)
    assert await read_raw(store, "t", "b") == raw


async def test_read_unknown_task_is_none(store: TaskStore) -> None:
    """An unknown task is no error."""
    assert await store.read_task("nobody") is None


async def test_store_after_an_outage_succeeds(documents: MemoryDocuments, store: TaskStore) -> None:
    """The store fails before the read or before the commit."""
    documents.before = Outage(3)
    assert await store.save_result(a_result(), b"raw") is Outcome.STORED


async def test_store_with_a_lost_acknowledgement_is_stored(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """The write happened, so the retry finds its own result."""
    documents.after = Outage(1)
    assert await store.save_result(a_result(), b"raw") is Outcome.STORED
    assert len(documents.commits) == 1


async def test_store_during_a_long_outage_raises(documents: MemoryDocuments) -> None:
    """The broker delivers the message again."""
    documents.before = Outage(10_000)
    with pytest.raises(StoreUnavailable):
        await TaskStore(documents, TryOnce()).save_result(a_result(), b"raw")


async def test_store_after_a_lost_race_decides_again(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """A submission recorded between read and write is merged, not overwritten."""
    joined = False

    def between(operation: str) -> None:
        nonlocal joined
        if operation == "commit" and not joined:
            joined = True
            documents.content["tasks/t"] = {
                "task_id": "t",
                "submission_id": "s",
                "claimed": True,
            }
            documents.versions["tasks/t"] = 1

    documents.before = between
    assert await store.save_result(a_result(), b"raw") is Outcome.STORED
    task = await store.read_task("t")
    assert task is not None
    assert (task.submission_id, task.status) == ("s", Status.SUCCEEDED)


async def test_read_with_a_missing_page_raises(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """A reader gets the whole task or an error."""
    await store.save_result(a_long_result(), b"raw")
    del documents.content[page_path("t", "a", 1)]
    with pytest.raises(Conflict):
        await TaskStore(documents, TryOnce()).read_task("t")


async def test_store_concurrent_deliveries_reach_the_same_end() -> None:
    """Four bodies for one task are each delivered twice, in every order."""
    results = [
        a_result(Status.SUCCEEDED, 0, "a"),
        a_result(Status.SUCCEEDED, 1, "b"),
        a_result(Status.FAILED, 2, "c"),
        a_result(Status.UNRECOGNIZED, 3, "d"),
    ]
    for order in itertools.permutations(results):
        documents = MemoryDocuments()
        store = TaskStore(documents, Retrier(sleep=Sleeper()))
        outcomes = await asyncio.gather(
            *(
                store.save_result(item, item.revision.encode())
                for item in order * 2
                if item.revision
            )
        )
        (found,) = await documents.read(Read("tasks/t", Task))
        assert found is not None
        assert found.value.revision == "b"
        assert [await read_raw(store, "t", r) for r in "abcd"] == [b"a", b"b", b"c", b"d"]
        assert outcomes.count(Outcome.DUPLICATE) == len(results)


async def test_read_during_a_replacement_is_one_of_both_results(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """While one long result replaces another, every read is one of the two."""
    old, new = a_long_result("a"), a_long_result("b")
    new = replace(
        new,
        received_at=NOW + timedelta(seconds=1),
        segments=[replace(part, text="new") for part in new.segments],
    )
    await store.save_result(old, b"old")
    writing = asyncio.ensure_future(store.save_result(new, bytes(20 * RAW_CHUNK_BYTES)))
    seen: set[str] = set()
    while not writing.done():
        task = await store.read_task("t")
        assert task is not None
        assert task.segments == (old if task.revision == "a" else new).segments
        seen.add(task.revision or "")
    await writing
    assert "a" in seen


def test_paths_are_those_of_the_contract() -> None:
    """Readers of the store use these paths."""
    assert page_path("t", "r", 7) == "tasks/t/segments/r-00007"
    assert raw_path("t", "r", 0) == "tasks/t/raw/r-00000"


async def test_superseded_result_is_decided_again_if_the_task_changed(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """The better result is deleted while the body of the worse one is kept."""
    await store.save_result(a_result(), b"good")
    left = DeletedTask(task_id="t", deleted_revisions=["a"], deleted_at=NOW)

    def between(operation: str) -> None:
        if operation == "commit":
            documents.after = lambda _: None
            documents.content["tasks/t"] = msgspec.to_builtins(left, builtin_types=(datetime,))
            documents.versions["tasks/t"] += 1

    documents.after = between
    failed = a_result(Status.FAILED, 60, "b")
    assert await store.save_result(failed, b"bad") is Outcome.STORED
    task = await store.read_task("t")
    assert task is not None
    assert (task.revision, task.deleted_revisions) == ("b", ["a"])


async def test_deleted_result_leaves_nothing_of_a_late_delivery(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """Another delivery may have written pages and raw blocks before it met the deletion."""
    result = a_long_result()
    raw = bytes(RAW_CHUNK_BYTES * (WRITES_PER_COMMIT + 1))
    deleted = False

    def between(operation: str) -> None:
        nonlocal deleted
        if operation == "commit" and not deleted:
            deleted = True
            left = DeletedTask(task_id="t", deleted_revisions=["a"], deleted_at=NOW)
            documents.content["tasks/t"] = msgspec.to_builtins(left, builtin_types=(datetime,))
            documents.versions["tasks/t"] = 1

    documents.after = between
    assert await store.save_result(result, raw) is Outcome.DELETED
    assert documents.paths() == ["tasks/t"]
    assert await store.read_task("t") is None


async def test_revisions_are_listed_in_batches(
    documents: MemoryDocuments, store: TaskStore
) -> None:
    """A task may have more bodies than one query returns."""
    count = IDS_AT_ONCE + 5
    for number in range(count):
        await documents.commit(Write(raw_path("t", f"r{number:03d}", 0), RawChunk(b"x", None)))
    assert await store.revisions("t") == [f"r{number:03d}" for number in range(count)]
    assert await store.revisions("none") == []


async def test_read_body_returns_its_times(store: TaskStore) -> None:
    """They are those of the result, which may be replaced."""
    result = a_result()
    await store.save_result(result, b"raw")
    body = await store.read_body("t", "a")
    assert body == (b"raw", result.received_at, result.expires_at)
    assert await store.read_body("t", "b") is None
