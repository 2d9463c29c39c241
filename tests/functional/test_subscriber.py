"""The function ``subscriber``, through the framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.builders import TASK_ID, callback_body, push_body
from tests.fakes import NOW, LogLines, MemoryDocuments, Outage, TryOnce
from tests.functional.framework import Loaded, load
from tests.pubsub import stored_messages
from transcripts.callbacks.message import pack
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.errors import PublishUnavailable
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Status

ENVIRON = {"GOOGLE_CLOUD_PROJECT": "p", "RETENTION_DAYS": "30"}


class SubscriberClient:
    """The subscriber with fakes inside."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.documents = MemoryDocuments()
        self.store = TaskStore(self.documents, TryOnce())
        self.lines = LogLines("subscriber")
        loaded.compose(
            documents=self.documents,
            log=self.lines.log,
            retrier=TryOnce(),
            clock=lambda: NOW,
        )

    async def push(self, body: bytes, **options: Any) -> Any:
        async with self.loaded.client() as http:
            return await http.request(options.pop("method", "POST"), "/", content=body, **options)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> SubscriberClient:
    return SubscriberClient(load("subscriber", ENVIRON, monkeypatch))


def pushed(body: bytes) -> bytes:
    message = pack(body, NOW, {"task_id": TASK_ID, "kind": "multi_speaker"})
    return push_body(message.data, message.attributes)


async def test_push_stored_returns_204(client: SubscriberClient) -> None:
    """A repeated delivery gets the same answer."""
    for _ in range(2):
        answer = await client.push(pushed(callback_body()))
        assert (answer.status_code, answer.content) == (204, b"")
    task = await client.store.read_task(TASK_ID)
    assert task is not None
    assert task.status is Status.SUCCEEDED


async def test_push_as_an_eventarc_event_returns_204(client: SubscriberClient) -> None:
    """Its attributes are headers, its data is the push."""
    headers = {
        "ce-id": "1",
        "ce-source": "//pubsub.googleapis.com/projects/p/topics/callbacks",
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "ce-specversion": "1.0",
        "content-type": "application/json",
    }
    answer = await client.push(pushed(callback_body()), headers=headers)
    assert answer.status_code == 204


@pytest.mark.parametrize("body", [b"", b"{}", push_body(b"no callback", {})])
async def test_push_of_a_poison_message_returns_422(client: SubscriberClient, body: bytes) -> None:
    """The broker moves the message to the dead-letter topic."""
    answer = await client.push(body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "poison_message")
    assert client.lines.named("callback_poisoned")


async def test_push_without_a_store_returns_503(client: SubscriberClient) -> None:
    """The repeated delivery stores the result."""
    client.documents.before = Outage(10**6)
    answer = await client.push(pushed(callback_body()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    client.documents.before = lambda _: None
    assert (await client.push(pushed(callback_body()))).status_code == 204


async def test_other_method_returns_405(client: SubscriberClient) -> None:
    """The answer has the code ``method_not_allowed``."""
    answer = await client.push(b"", method="GET")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_push_too_large_returns_413(client: SubscriberClient) -> None:
    """The announced length decides."""
    answer = await client.push(b"x" * (16 * 1024 * 1024 + 1))
    assert answer.status_code == 413


async def test_push_without_a_results_broker_returns_503(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The entry publishes to ``RESULTS_TOPIC``; what is not published is delivered again."""
    environ = {
        "TRANSCRIPTS_BACKEND": "embedded",
        "TRANSCRIPTS_DATA_DIR": str(tmp_path),
        "RESULTS_TOPIC": "projects/p/topics/results",
        "REDACT_FACES": "true",
    }
    loaded = load("subscriber", environ, monkeypatch)
    database = Database(tmp_path)
    documents = SqliteDocuments(database)

    async def messages() -> list[dict[str, Any]]:
        kept = await stored_messages(database, environ["RESULTS_TOPIC"])
        return [msgspec.json.decode(message.data) for message in kept]

    async def push() -> int:
        async with loaded.client() as client:
            return (await client.post("/", content=pushed(callback_body()))).status_code

    async def no_broker(_task_id: str) -> None:
        raise PublishUnavailable("no broker")

    entry: Any = loaded.module
    deployed = entry.handle
    loaded.compose(documents=documents, log=LogLines().log, retrier=TryOnce(), announce=no_broker)
    assert (await push(), await messages()) == (503, [])
    entry.handle = deployed
    assert await push() == 204
    assert [message["task_id"] for message in await messages()] == [TASK_ID]
    task = await TaskStore(documents, TryOnce()).read_task(TASK_ID)
    assert task is not None
    assert task.faces == []
    database.close()
