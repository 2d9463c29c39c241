"""Traces through the entries: from a request to the message or task that it causes, and on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.builders import TASK_ID, callback_body, push_body
from tests.environments import TOKEN, embedded
from tests.functional.framework import load
from tests.pubsub import stored_messages
from tests.unit.test_rejections import NOTIFICATION, encoded
from transcripts.embedded.database import Database
from transcripts.traces import TRACEPARENT

TRACE = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = f"00-{TRACE}-00f067aa0ba902b7-01"
CALLBACKS, RESULTS = "projects/p/topics/callbacks", "projects/p/topics/results"


class Entries:
    """Entries over one embedded database, and the lines that they log."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self._folder = folder
        self.database = Database(folder)

    async def post(self, name: str, path: str, body: bytes, headers: dict[str, str]) -> Any:
        """Post to an entry; returns the trace of each event that it logs."""
        environ = embedded(
            name,
            TRANSCRIPTS_DATA_DIR=str(self._folder),
            CALLBACK_TOPIC=CALLBACKS,
            RESULTS_TOPIC=RESULTS,
        )
        loaded = load(name, environ, self._monkeypatch)
        async with loaded.client() as http:
            answer = await http.post(path, content=body, headers=headers)
        assert answer.is_success
        lines = [msgspec.json.decode(line) for line in self._capfd.readouterr().out.splitlines()]
        return {line["message"]: line["logging.googleapis.com/trace"] for line in lines}


@pytest.fixture
def entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Entries]:
    entries = Entries(tmp_path, monkeypatch, capfd)
    yield entries
    entries.database.close()


async def test_callback_its_result_and_its_event_are_one_trace(entries: Entries) -> None:
    """Pub/Sub's own request for the push has another trace."""
    logged = await entries.post("callback", f"/{TOKEN}", callback_body(), {TRACEPARENT: CONTEXT})
    (message,) = await stored_messages(entries.database, CALLBACKS)
    push = push_body(message.data, message.attributes)
    other = CONTEXT.replace("0af7", "ffff")
    logged |= await entries.post("subscriber", "/", push, {TRACEPARENT: other})
    assert {name: trace.rpartition("/")[2] for name, trace in logged.items()} == {
        "callback_published": TRACE,
        "result_stored": TRACE,
    }
    (event,) = await stored_messages(entries.database, RESULTS)
    assert (event.attributes["task_id"], event.attributes[TRACEPARENT]) == (TASK_ID, CONTEXT)


async def test_upload_event_gives_its_trace_to_the_task_of_the_queue(entries: Entries) -> None:
    """The queue sends it to submit as a header."""
    push = push_body(encoded(), NOTIFICATION)
    logged = await entries.post("ingest", "/", push, {TRACEPARENT: CONTEXT})
    assert logged["upload_enqueued"].endswith(f"/traces/{TRACE}")
    (kept,) = await entries.database.run(
        lambda connection: connection.execute("SELECT traceparent FROM queue_trace").fetchall()
    )
    assert kept == (CONTEXT,)
