"""What each status of Firestore means: it depends on the call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import grpc
import pytest
from grpc import StatusCode

from cli.local.processes import free_port
from tests.functional.framework import load
from tests.grpc_server import GrpcServer, grpc_server
from transcripts.errors import (
    Conflict,
    DocumentRefused,
    StoreMisconfigured,
    StoreUnavailable,
    TranscriptsError,
)
from transcripts.google.documents import FirestoreDocuments
from transcripts.ports import ABSENT, Count, Delete, Query, Read, Write
from transcripts.retry import STORE, Retrier
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Task

LINK = "https://console.firebase.google.com/v1/r/project/p/firestore/indexes?create_composite="
EXPLANATION = f"The query requires an index. You can create it here: {LINK}{'x' * 400}"
TASK = Task(task_id="t")

Call = Callable[[FirestoreDocuments], Awaitable[object]]
READS: dict[str, Call] = {
    "read": lambda documents: documents.read(Read("tasks/t", Task)),
    "query": lambda documents: documents.query(Query("tasks", Task, order_by="at", limit=1)),
    "ids": lambda documents: documents.ids("tasks", limit=1),
    "count": lambda documents: documents.count(Count("tasks"), Count("submissions")),
}
WRITES: dict[str, Call] = {
    "any": lambda documents: documents.commit(Write("tasks/t", TASK), Delete("tasks/u")),
    "absent": lambda documents: documents.commit(Write("tasks/t", TASK, expect=ABSENT)),
    "version": lambda documents: documents.commit(
        Write("tasks/u", TASK), Delete("tasks/t", expect=b"\x08\x01")
    ),
}
MISCONFIGURED = (StatusCode.FAILED_PRECONDITION, StatusCode.NOT_FOUND, StatusCode.PERMISSION_DENIED)


@pytest.fixture
async def service() -> AsyncIterator[GrpcServer]:
    async with grpc_server() as service:
        yield service


@pytest.fixture
def documents(service: GrpcServer) -> FirestoreDocuments:
    return FirestoreDocuments("p", "(default)", service.host)


async def error_of(call: Call, documents: FirestoreDocuments) -> TranscriptsError:
    with pytest.raises(TranscriptsError) as raised:
        await call(documents)
    assert EXPLANATION in raised.value.log_text
    assert LINK not in raised.value.message
    return raised.value


@pytest.mark.parametrize("status", [each for each in StatusCode if each is not StatusCode.OK])
@pytest.mark.parametrize("name", READS)
async def test_status_of_a_read_tells_what_is_missing_or_that_it_is_an_outage(
    service: GrpcServer, documents: FirestoreDocuments, name: str, status: StatusCode
) -> None:
    """A read has no conflicts."""
    service.refuse(status, EXPLANATION)
    expected = StoreMisconfigured if status in MISCONFIGURED else StoreUnavailable
    if status is StatusCode.INVALID_ARGUMENT:
        assert type(await error_of(READS[name], documents)) is DocumentRefused
    else:
        assert type(await error_of(READS[name], documents)) is expected


@pytest.mark.parametrize(
    ("status", "of_any", "of_expecting"),
    [
        (StatusCode.ABORTED, Conflict, Conflict),
        (StatusCode.ALREADY_EXISTS, StoreUnavailable, Conflict),
        (StatusCode.FAILED_PRECONDITION, StoreMisconfigured, Conflict),
        (StatusCode.NOT_FOUND, StoreMisconfigured, Conflict),
        (StatusCode.PERMISSION_DENIED, StoreMisconfigured, StoreMisconfigured),
        (StatusCode.INVALID_ARGUMENT, DocumentRefused, DocumentRefused),
        (StatusCode.UNAVAILABLE, StoreUnavailable, StoreUnavailable),
        (StatusCode.RESOURCE_EXHAUSTED, StoreUnavailable, StoreUnavailable),
    ],
)
@pytest.mark.parametrize("name", WRITES)
async def test_status_of_a_commit_tells_a_conflict_only_if_a_write_expects_a_version(
    service: GrpcServer,
    documents: FirestoreDocuments,
    name: str,
    status: StatusCode,
    of_any: type[TranscriptsError],
    of_expecting: type[TranscriptsError],
) -> None:
    """Otherwise nothing but the database can be missing."""
    service.refuse(status, EXPLANATION)
    expected = of_any if name == "any" else of_expecting
    assert type(await error_of(WRITES[name], documents)) is expected


@pytest.mark.parametrize("status", MISCONFIGURED)
async def test_operation_of_a_misconfigured_store_is_not_retried(
    service: GrpcServer, documents: FirestoreDocuments, status: StatusCode
) -> None:
    """The first answer tells; 16 tries in 19 s would tell the same."""
    service.refuse(status, EXPLANATION, times=1_000)
    with pytest.raises(StoreMisconfigured):
        await TaskStore(documents, Retrier()).read_task("t")
    assert len(service.requests) == 1


async def test_operation_after_an_outage_is_retried(
    service: GrpcServer, documents: FirestoreDocuments
) -> None:
    """So is one whose token was refused."""
    for status in (StatusCode.UNAVAILABLE, StatusCode.UNAUTHENTICATED):
        service.refuse(status, times=2)
        assert await TaskStore(documents, Retrier()).read_task("t") is None


@pytest.mark.parametrize("path", ["/tasks", "/accounting", "/tasks/t", "/submissions"])
async def test_answer_of_a_misconfigured_store_says_what_to_do(
    service: GrpcServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    path: str,
) -> None:
    """The log has Google's whole link; the answer has nothing that Google said."""
    environ = {"GOOGLE_CLOUD_PROJECT": "p", "FIRESTORE_EMULATOR_HOST": service.host}
    loaded = load("results", environ, monkeypatch)
    service.refuse(grpc.StatusCode.FAILED_PRECONDITION, EXPLANATION, times=100)
    async with loaded.client() as client:
        answer = await client.get(path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (503, "store_misconfigured")
    assert "Deploy again" in error["message"]
    assert LINK not in answer.text
    (line,) = [json.loads(each) for each in capfd.readouterr().out.splitlines()]
    assert EXPLANATION in line["reason"]


async def test_read_without_a_server_is_unavailable() -> None:
    """The error comes within the time limit."""
    documents = FirestoreDocuments("local", "(default)", f"127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable):
        await documents.read(Read("tasks/t", Task))
    with pytest.raises(StoreUnavailable):
        await documents.commit(Write("tasks/t", Task(task_id="t")))
    with pytest.raises(StoreUnavailable):
        await TaskStore(documents, Retrier(replace(STORE, timeout_s=0.3))).read_task("t")


async def test_read_without_an_identity_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next call looks for an identity again."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    documents = FirestoreDocuments("local", "(default)", None)
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as raised:
            await documents.read(Read("tasks/t", Task))
        assert "DefaultCredentialsError" in raised.value.log_text
