"""The function that people read from, on the embedded backend; what it reads, on fakes."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from cli.fake_mavi.server import FakeMavi
from cli.local.processes import free_port, function_process
from tests.builders import callback_body
from tests.contracts.changes import ChangesContract
from tests.contracts.changing import Changing, code
from tests.contracts.results import ResultsContract
from tests.fakes import MemoryDocuments, Outage, TryOnce
from tests.functional.framework import load
from tests.functional.provider import KEY
from tests.results import LONG, Results, a_submission, a_task
from transcripts.embedded.database import FILE_NAME, Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.ports import Query
from transcripts.results.filters import FILTERS, INDEXES
from transcripts.tasks.task import page_path

ENVIRON = {"GOOGLE_CLOUD_PROJECT": "p"}


@pytest.fixture
def memory() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture
def on_fakes(memory: MemoryDocuments, monkeypatch: pytest.MonkeyPatch) -> Results:
    loaded = load("results", ENVIRON, monkeypatch)

    async def remove(path: str) -> None:
        del memory.content[path]

    return Results(loaded, memory, remove)


def remover(folder: Path) -> Any:
    """Return what removes a document from the file in a folder."""

    async def remove(path: str) -> None:
        with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
            connection.execute("DELETE FROM document WHERE path = ?", (path,))
            connection.commit()

    return remove


@pytest.fixture
def on_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Results]:
    environ = {"TRANSCRIPTS_BACKEND": "embedded", "TRANSCRIPTS_DATA_DIR": str(tmp_path)}
    loaded = load("results", environ, monkeypatch)
    database = Database(tmp_path)
    yield Results(loaded, SqliteDocuments(database), remover(tmp_path))
    database.close()


class TestOnEmbedded(ResultsContract):
    @pytest.fixture
    def results(self, on_embedded: Results) -> Results:
        return on_embedded


class TestChangesOnEmbedded(ChangesContract):
    @pytest.fixture
    def results(self, on_embedded: Results) -> Results:
        return on_embedded


async def test_list_costs_one_query_and_no_read(on_fakes: Results, memory: MemoryDocuments) -> None:
    """The query names the fields of a summary, without segments."""
    await on_fakes.put_result()
    memory.reads = 0
    await on_fakes.get("/tasks")
    await on_fakes.get("/submissions")
    assert (memory.reads, len(memory.queries)) == (0, 2)
    for query in memory.queries:
        assert query.fields is not None
        assert not {"segments", "faces"} & set(query.fields)


async def test_usual_transcript_costs_one_read(on_fakes: Results, memory: MemoryDocuments) -> None:
    """As a task, as an export, and as 304."""
    await on_fakes.put_result()
    for path in ("/tasks/t", "/tasks/t.srt", "/tasks/t.docx"):
        memory.reads = 0
        assert (await on_fakes.get(path)).status_code == 200
        assert memory.reads == 1


@pytest.mark.parametrize("path", ["/tasks/t", "/tasks/t.srt"])
async def test_long_transcript_is_read_a_page_at_a_time(
    on_fakes: Results, memory: MemoryDocuments, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """No read asks for the segments of two pages."""
    await on_fakes.put_result(count=LONG)
    read, asked = memory.read, []

    async def recording(*reads: Any) -> Any:
        asked.append([each.path for each in reads if each.fields is None])
        return await read(*reads)

    monkeypatch.setattr(memory, "read", recording)
    assert (await on_fakes.get(path)).status_code == 200
    monkeypatch.undo()
    pages = (await on_fakes.stored("t")).pages
    whole = [page_path("t", "r1", index) for index in range(pages)]
    assert [paths for paths in asked if paths] == [["tasks/t"], *([each] for each in whole)]


def index_of(query: Query[Any]) -> tuple[Any, ...] | None:
    """Return the composite index that a query needs; None if an automatic one does."""
    direction = "DESCENDING" if query.descending else "ASCENDING"
    equal = [(name, "ASCENDING") for name, _ in query.where]
    if query.contains is not None:
        equal.append((query.contains[0], "CONTAINS"))
    return (query.collection, *equal, (query.order_by, direction)) if equal else None


async def test_every_filter_has_its_index(on_fakes: Results, memory: MemoryDocuments) -> None:
    """Firestore refuses a query without its composite index, and the emulator does not."""
    for path, filters in FILTERS.items():
        for times in ("", "&created_after=2026-01-01T00:00:00Z&page_size=1"):
            for name, row in filters.items():
                answer = await on_fakes.get(f"/{path}?{name}={quote(row.example)}{times}")
                assert answer.status_code == 200
    assert {index_of(query) for query in memory.queries} == set(INDEXES)
    assert len(INDEXES) == len(set(INDEXES))


@pytest.mark.parametrize(
    "path", ["/tasks", "/tasks/t", "/tasks/t.srt", "/submissions", "/submissions/s", "/accounting"]
)
async def test_outage_of_the_store_returns_503(
    on_fakes: Results, memory: MemoryDocuments, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """With ``Retry-After``; a short outage is not seen."""
    await on_fakes.put_result()
    await on_fakes.put_submissions(a_submission("s"))
    memory.before = Outage(1)
    assert (await on_fakes.get(path)).status_code == 200
    on_fakes.compose(retrier=TryOnce())
    memory.before = Outage(10**6)
    answer = await on_fakes.get(path)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "store_unavailable"
    assert answer.headers["Retry-After"]


async def test_renormalize_of_a_task_that_is_deleted_meanwhile_returns_404(
    on_fakes: Results, memory: MemoryDocuments
) -> None:
    """Its result was written, and is gone when it is read."""
    changing = Changing(on_fakes)
    await changing.receive(callback_body(2, task_id="t"))

    def lose(operation: str) -> None:
        if operation == "commit":
            del memory.content["tasks/t"]

    memory.after = lose
    assert code(await changing.renormalize()) == (404, "task_not_found")


async def test_defect_while_streaming_breaks_the_connection(
    on_fakes: Results, memory: MemoryDocuments
) -> None:
    """It is logged with its stack, and without what a speaker said."""
    await on_fakes.put_result(count=LONG)
    stored = await on_fakes.stored("t")
    last = page_path("t", "r1", stored.pages - 1)

    async def spoil() -> None:
        memory.content[last] = {"segments": "no list", "expires_at": None}

    stream = on_fakes.stream("/tasks/t.vtt")
    await stream.run(on_start=spoil)
    assert not stream.complete
    (line,) = [line for line in on_fakes.log if line["severity"] == "ERROR"]
    assert line["message"] == "unexpected_error"
    assert line["stack"]


@pytest.mark.parametrize("path", ["/tasks/t", "/tasks/t.srt"])
async def test_client_that_disconnects_ends_the_reading(
    on_fakes: Results, memory: MemoryDocuments, path: str
) -> None:
    """The other pages are not read for it, and nothing is logged."""
    await on_fakes.put_result(count=4 * LONG)
    pages = (await on_fakes.stored("t")).pages
    memory.reads = 0
    stream = on_fakes.stream(path)

    async def leave() -> None:
        stream.disconnected.set()

    await stream.run(on_start=leave)
    assert not stream.complete
    # The task, the heads of its pages, the first page, and what was on its way.
    assert memory.reads <= 4 < pages
    assert [line for line in on_fakes.log if line["severity"] != "INFO"] == []


async def test_list_continues_after_its_last_item(on_embedded: Results) -> None:
    """A page in the middle begins after the last one, whatever was added at the top."""
    await on_embedded.put(*(a_task(f"t{number}", number) for number in range(5)))
    first = (await on_embedded.get("/tasks?page_size=2")).json()
    await on_embedded.put(a_task("new", 99))
    path = f"/tasks?page_size=2&page_token={first['next_page_token']}"
    assert [task["task_id"] for task in (await on_embedded.get(path)).json()["tasks"]] == [
        "t2",
        "t1",
    ]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[str, SqliteDocuments]]:
    """Serve the function as it is deployed, on the embedded backend."""
    environ = {"TRANSCRIPTS_BACKEND": "embedded", "TRANSCRIPTS_DATA_DIR": str(tmp_path)}
    process = function_process("results", free_port(), environ, tmp_path / "results.log")
    await process.start()
    database = Database(tmp_path)
    yield process.url, SqliteDocuments(database)
    database.close()
    await process.stop()


@pytest.mark.parametrize("path", ["/tasks/t", "/tasks/t.srt"])
async def test_client_of_a_broken_transcript_sees_an_error(
    served: tuple[str, SqliteDocuments], tmp_path: Path, path: str, on_fakes: Results
) -> None:
    """Through the real server, a part of a transcript never looks whole."""
    url, documents = served
    results = Results(on_fakes.loaded, documents, remover(tmp_path))
    await results.put_result(count=4 * LONG)
    stored = await results.stored("t")
    # A small window, so that the server can't send everything before the page is removed.
    window = (socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    transport = httpx.AsyncHTTPTransport(socket_options=[window])
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=60) as client:
        async with client.stream("GET", path) as answer:
            assert answer.status_code == 200
            chunks = answer.aiter_raw()
            await anext(chunks)
            await results.remove(page_path("t", "r1", stored.pages - 1))
            with pytest.raises(httpx.RemoteProtocolError):
                async for _ in chunks:
                    pass
        assert (await client.get(path)).status_code == 410


async def test_delete_with_the_asset_reaches_mavi(
    fake: FakeMavi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key the entry deletes Mavi's copy; the second time it is gone already."""
    environ = {
        "TRANSCRIPTS_BACKEND": "embedded",
        "TRANSCRIPTS_DATA_DIR": str(tmp_path),
        "MAVI_API_KEY": KEY,
        "MAVI_BASE_URL": fake.url,
        "MAVI_REQUESTS_PER_SECOND": "1000",
    }
    loaded = load("results", environ, monkeypatch)
    database = Database(tmp_path)
    module: Any = loaded.module
    deleter = {"assets": module.open_assets(module.settings)}
    results = Results(loaded, SqliteDocuments(database), remover(tmp_path), deleter)
    asset_id = fake.add_asset("talk.mp4").asset_id
    await results.put(a_task("t", asset_id=asset_id))
    for _ in range(2):
        answer = await results.request("DELETE", "/tasks/t?asset=true")
        assert (answer.status_code, answer.content) == (204, b"")
        assert asset_id not in fake.account.assets
    database.close()


async def test_renormalize_redacts_faces_if_told(
    memory: MemoryDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The raw body has the faces, and they do not come back from there."""
    loaded = load("results", ENVIRON | {"REDACT_FACES": "true"}, monkeypatch)

    async def remove(path: str) -> None:
        del memory.content[path]

    results = Results(loaded, memory, remove)
    await results.put_result()
    assert (await results.stored("t")).faces
    assert (await results.request("POST", "/tasks/t/renormalize")).status_code == 200
    task = await results.stored("t")
    assert task.faces == []
    assert [face for speaker in task.speakers for face in speaker.face_ids] == []
