"""Documents on the Firestore emulator."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from google.cloud.firestore_v1.types import Document

from cli.local.processes import free_port
from tests.builders import callback_body, segment
from tests.contracts.documents import DocumentsContract, result_task, submission, unique
from tests.fakes import NOW, LogLines, MemoryObjects, ScriptedProvider
from tests.stored import read_raw
from tests.unit.test_merge import a_result
from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.message import compress
from transcripts.errors import StoreUnavailable
from transcripts.google.documents import FirestoreDocuments
from transcripts.google.values import decode_fields, encode_fields, encode_list
from transcripts.ports import Documents, Read, Write
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
from transcripts.tasks.task import Segment, Task

pytestmark = pytest.mark.emulators


@pytest.fixture
async def firestore(emulators: dict[str, str]) -> FirestoreDocuments:
    return FirestoreDocuments("local", "(default)", emulators["FIRESTORE_EMULATOR_HOST"])


class TestFirestore(DocumentsContract):
    @pytest.fixture
    def documents(self, firestore: FirestoreDocuments) -> Documents:
        return firestore


class Counting:
    """Counts the RPCs and the documents written, at the boundary to gRPC."""

    def __init__(self, documents: FirestoreDocuments) -> None:
        self.documents = documents
        self.reads = 0
        self.commits: list[list[str]] = []

    async def start(self) -> None:
        calls = await self.documents._connection.calls(10)

        def counted_read(request: Any, **options: Any) -> Any:
            self.reads += len(request.documents)
            return calls.batch_get(request, **options)

        def counted_commit(request: Any, **options: Any) -> Any:
            self.commits.append(
                [write.update.name.split("/documents/")[1] for write in request.writes]
            )
            return calls.commit(request, **options)

        self.documents._connection._calls = calls._replace(
            batch_get=counted_read, commit=counted_commit
        )


async def test_save_result_takes_one_read_and_one_commit(firestore: FirestoreDocuments) -> None:
    """A duplicate takes only the read."""
    counting = Counting(firestore)
    await counting.start()
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


async def test_read_without_a_server_is_unavailable() -> None:
    """The error comes within the time limit."""
    documents = FirestoreDocuments("local", "(default)", f"127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable, match="UNAVAILABLE"):
        await documents.read(Read("tasks/t", Task))
    with pytest.raises(StoreUnavailable, match="UNAVAILABLE"):
        await documents.commit(Write("tasks/t", Task(task_id="t")))
    with pytest.raises(StoreUnavailable):
        await TaskStore(documents, Retrier(0.3)).read_task("t")


async def test_read_without_an_identity_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next call looks for an identity again."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    documents = FirestoreDocuments("local", "(default)", None)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="DefaultCredentialsError"):
            await documents.read(Read("tasks/t", Task))


def plain(values: Sequence[Any]) -> list[Any]:
    document = Document.pb()()
    encode_list(document.fields["x"].array_value.values, values)
    return list(decode_fields(document.fields)["x"])


def test_fill_fields_of_segments_equals_the_general_way() -> None:
    """Segments have a loop of their own, for speed."""
    segments = result_task(5).segments
    long_way = Document.pb()()
    for part in segments:
        entry = long_way.fields["x"].array_value.values.add()
        encode_fields(entry.map_value.fields, part, part.__struct_fields__)
    quick = Document.pb()()
    encode_list(quick.fields["x"].array_value.values, segments)
    assert quick == long_way
    assert plain([1, "a", None]) == [1, "a", None]


def test_decode_of_segments_equals_the_general_way() -> None:
    """A whole number is a time too; a list with anything else is refused."""
    segments = [{"start_s": 0, "end_s": 1.5, "speaker": "s1", "text": "ä"}] * 3
    assert plain(segments) == segments
    assert all(msgspec.convert(each, Segment) for each in plain(segments))
    with_more = [{**segments[0], "more": 1}]
    assert plain(with_more) == with_more
    for other in ({}, {"start_s": 1.0}, with_more[0]):
        with pytest.raises(ValueError, match="something else"):
            plain([segments[0], other])


def test_fill_value_of_an_unknown_type_raises() -> None:
    """No value is left out silently."""
    with pytest.raises(TypeError):
        plain([object()])


async def test_commit_of_a_too_large_document_is_refused(firestore: FirestoreDocuments) -> None:
    """It is not retried."""
    from msgspec.structs import replace

    from transcripts.errors import DocumentRefused

    large = replace(submission("s"), labels={"a": "x" * 1_100_000})
    with pytest.raises(DocumentRefused):
        await firestore.commit(Write(unique("submissions"), large))
