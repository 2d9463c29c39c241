"""Documents on the Firestore emulator."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from msgspec import structs

from tests.builders import callback_body, segment
from tests.contracts.documents import DocumentsContract, submission, unique
from tests.fakes import NOW, LogLines, MemoryObjects, ScriptedProvider
from tests.stored import read_raw
from tests.unit.test_merge import a_result
from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.message import compress
from transcripts.errors import DocumentRefused
from transcripts.google.documents import FirestoreDocuments
from transcripts.ports import Documents, Write
from transcripts.retry import Retrier
from transcripts.submissions.answers import Receipt
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.requests import SubmitAsset
from transcripts.submissions.service import SubmissionService
from transcripts.submissions.submitter import Submitter
from transcripts.submissions.uploader import Uploader
from transcripts.tasks.merge import Outcome
from transcripts.tasks.normalize import normalize
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Task

pytestmark = pytest.mark.emulators


@pytest.fixture
async def firestore(emulators: dict[str, str]) -> FirestoreDocuments:
    return FirestoreDocuments("local", "(default)", emulators["FIRESTORE_EMULATOR_HOST"])


class TestFirestore(DocumentsContract):
    @pytest.fixture
    def documents(self, firestore: FirestoreDocuments) -> Documents:
        return firestore


class Counting:
    """Counts the documents read and the documents written, at the boundary to Google's client."""

    def __init__(self, documents: FirestoreDocuments) -> None:
        self.documents = documents
        self.reads = 0
        self.commits: list[list[str]] = []

    async def start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with self.documents._connection.client(10) as client:
            read, commit = client.batch_get_documents, client.commit

        async def counted_read(request: Any, **options: Any) -> Any:
            self.reads += len(request.documents)
            return await read(request, **options)

        async def counted_commit(request: Any, **options: Any) -> Any:
            self.commits.append(
                [write.update.name.split("/documents/")[1] for write in request.writes]
            )
            return await commit(request, **options)

        monkeypatch.setattr(client, "batch_get_documents", counted_read)
        monkeypatch.setattr(client, "commit", counted_commit)


async def test_save_result_takes_one_read_and_one_commit(
    firestore: FirestoreDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A duplicate takes only the read."""
    counting = Counting(firestore)
    await counting.start(monkeypatch)
    task_id = uuid4().hex
    body = callback_body(600, task_id=task_id)
    result = normalize(
        read_envelope(body), revision="r", received_at=NOW, stored_at=NOW, expires_at=None
    )
    store = TaskStore(firestore, Retrier())
    assert await store.save_result(result, compress(body)) is Outcome.STORED
    assert counting.reads == 1
    assert counting.commits == [[f"tasks/{task_id}/raw/r-00000", f"tasks/{task_id}"]]
    assert await store.save_result(result, compress(body)) is Outcome.DUPLICATE
    assert (counting.reads, len(counting.commits)) == (2, 1)


async def test_save_result_of_many_segments_is_paged(firestore: FirestoreDocuments) -> None:
    """Firestore accepts the pages, and they are read back."""
    task_id = uuid4().hex
    body = callback_body([segment(n, text="ä" * 40) for n in range(20_000)], task_id=task_id)
    result = normalize(
        read_envelope(body), revision="r", received_at=NOW, stored_at=NOW, expires_at=None
    )
    store = TaskStore(firestore, Retrier())
    await store.save_result(result, compress(body))
    found = await store.read_task(task_id)
    assert found is not None
    assert found.pages > 1
    assert found.segments == result.segments


async def test_save_result_of_the_largest_body_takes_several_commits(
    firestore: FirestoreDocuments,
) -> None:
    """The body has nearly 10 MB compressed."""
    raw = bytes(9_900_000)
    store = TaskStore(firestore, Retrier())
    task_id = uuid4().hex
    result = Task(
        **{name: getattr(a_result(), name) for name in ("status", "revision")}, task_id=task_id
    )
    await store.save_result(result, raw)
    assert await read_raw(store, task_id, "a") == raw


async def test_save_result_concurrently_reaches_one_end(firestore: FirestoreDocuments) -> None:
    """Twenty deliveries of five bodies of one task reach the same result."""
    store = TaskStore(firestore, Retrier())
    task_id = uuid4().hex
    results = [
        Task(
            **{
                name: getattr(a_result(seconds=n, revision=f"r{n}"), name)
                for name in ("status", "received_at", "revision")
            },
            task_id=task_id,
        )
        for n in range(5)
    ]
    outcomes = await asyncio.gather(*(store.save_result(result, b"raw") for result in results * 4))
    found = await store.read_task(task_id)
    assert found is not None
    assert found.revision == "r4"
    assert outcomes.count(Outcome.DUPLICATE) == 15


async def test_submit_concurrently_buys_once(firestore: FirestoreDocuments) -> None:
    """A hundred requests run in one instance and ten in others."""
    provider = ScriptedProvider()
    order = SubmitAsset(f"re_{uuid4().int}"[:100], {})

    def instance() -> SubmissionService:
        log = LogLines().log
        return SubmissionService(
            Ledger(firestore, Retrier(), clock=lambda: NOW),
            Submitter(provider, log, clock=lambda: NOW),
            Uploader(MemoryObjects(), provider, log, clock=lambda: NOW),
            log,
            clock=lambda: NOW,
            new_lease_id=lambda: uuid4().hex,
        )

    one = instance()
    results = await asyncio.gather(
        *(one.submit(order) for _ in range(100)),
        *(instance().submit(order) for _ in range(10)),
        return_exceptions=True,
    )
    assert provider.submitted == [order.asset_id]
    receipts = [result for result in results if isinstance(result, Receipt)]
    assert [receipt.duplicate for receipt in receipts].count(False) == 1
    assert {receipt.task_id for receipt in receipts} == {"task-1"}
    codes = {getattr(r, "code", None) for r in results if not isinstance(r, Receipt)}
    assert codes <= {"submission_in_progress"}


async def test_commit_of_a_too_large_document_is_refused(firestore: FirestoreDocuments) -> None:
    """It is not retried."""
    large = structs.replace(submission("s"), labels={"a": "x" * 1_100_000})
    with pytest.raises(DocumentRefused):
        await firestore.commit(Write(unique("submissions"), large))
