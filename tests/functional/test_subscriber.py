"""The function that Pub/Sub pushes to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import TASK_ID, callback_body, push_body
from tests.fakes import NOW, LogLines, MemoryDocuments, Outage, TryOnce
from tests.functional.framework import Loaded, load
from transcripts.callbacks.message import pack
from transcripts.tasks.recorder import Recorder
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Status

ENVIRON = {"GOOGLE_CLOUD_PROJECT": "p", "RETENTION_DAYS": "30"}


class Function:
    """The subscriber with fakes inside."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.documents = MemoryDocuments()
        self.store = TaskStore(self.documents, TryOnce())
        self.lines = LogLines("subscriber")
        module: Any = loaded.module
        module.recorder = Recorder(self.store, 30, self.lines.log, lambda: NOW)

    async def push(self, body: bytes, **options: Any) -> Any:
        async with self.loaded.client() as client:
            return await client.request(options.pop("method", "POST"), "/", content=body, **options)


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Function:
    return Function(load("subscriber", ENVIRON, monkeypatch))


def pushed(body: bytes) -> bytes:
    message = pack(body, NOW, {"task_id": TASK_ID, "kind": "multi_speaker"})
    return push_body(message.data, message.attributes)


async def test_a_push_is_stored_and_acknowledged(function: Function) -> None:
    """204; the same again as well."""
    for _ in range(2):
        answer = await function.push(pushed(callback_body()))
        assert (answer.status_code, answer.content) == (204, b"")
    task = await function.store.read_task(TASK_ID)
    assert task is not None
    assert task.status is Status.SUCCEEDED


async def test_an_eventarc_event_has_the_same_body(function: Function) -> None:
    """Binary mode: its attributes are headers, its data is the push."""
    headers = {
        "ce-id": "1",
        "ce-source": "//pubsub.googleapis.com/projects/p/topics/callbacks",
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "ce-specversion": "1.0",
        "content-type": "application/json",
    }
    answer = await function.push(pushed(callback_body()), headers=headers)
    assert answer.status_code == 204


@pytest.mark.parametrize("body", [b"", b"{}", push_body(b"no callback", {})])
async def test_poison_is_not_acknowledged(function: Function, body: bytes) -> None:
    """422, so that it reaches the dead letters."""
    answer = await function.push(body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "poison_message")
    assert function.lines.named("callback_poisoned")


async def test_a_store_that_is_down_is_503_and_then_works(function: Function) -> None:
    """Redelivery finds everything as it was."""
    function.documents.before = Outage(10**6)
    answer = await function.push(pushed(callback_body()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    function.documents.before = lambda _: None
    assert (await function.push(pushed(callback_body()))).status_code == 204


async def test_only_post_is_taken(function: Function) -> None:
    """405 with the code."""
    answer = await function.push(b"", method="GET")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_a_push_beyond_what_pubsub_sends_is_refused(function: Function) -> None:
    """413 by its length."""
    answer = await function.push(b"x" * (16 * 1024 * 1024 + 1))
    assert answer.status_code == 413
