"""The function ``ingest``, through the framework."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import push_body
from tests.environments import environment
from tests.fakes import TryOnce
from tests.functional.framework import Loaded, load
from tests.pipeline import Pipeline
from tests.unit.test_rejections import NOTIFICATION, encoded
from transcripts.settings import ObjectLimits
from transcripts.submissions.submission import State, submission_id_of_object

ID = submission_id_of_object("gs://uploads/2026/talk.mp4", "1767323045678901")


class IngestClient:
    """Ingest with fakes inside."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.pipeline = Pipeline(limits=ObjectLimits())
        loaded.compose(
            documents=self.pipeline.documents,
            queue=self.pipeline.queue,
            log=self.pipeline.lines.log,
            retrier=TryOnce(),
            clock=self.pipeline.clock,
        )

    async def post(self, body: bytes, **headers: str) -> Any:
        async with self.loaded.client() as http:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await http.post("/", content=body, headers=named)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> IngestClient:
    return IngestClient(load("ingest", environment("ingest"), monkeypatch))


CLOUDEVENT = {
    "ce_id": "1",
    "ce_source": "//storage.googleapis.com/projects/_/buckets/uploads",
    "ce_specversion": "1.0",
    "ce_type": "google.cloud.storage.object.v1.finalized",
    "content_type": "application/json",
}


async def test_ingest_of_repeated_events_enqueues_once(client: IngestClient) -> None:
    """Both forms of the event answer 204."""
    for _ in range(3):
        assert (await client.post(encoded(), **CLOUDEVENT)).status_code == 204
        answer = await client.post(push_body(encoded(), NOTIFICATION))
        assert (answer.status_code, answer.content) == (204, b"")
    assert client.pipeline.queue.tasks == {f"{ID}-0": ID}
    entry = await client.pipeline.entry(ID)
    assert (entry.state, entry.labels) == (State.PENDING, {"case": "7"})


async def test_ingest_of_a_rejected_object_returns_204(client: IngestClient) -> None:
    """The rejection is recorded and needs no redelivery."""
    body = encoded(name="2026/notes.txt", contentType="text/plain")
    assert (await client.post(body, **CLOUDEVENT)).status_code == 204
    refused = submission_id_of_object("gs://uploads/2026/notes.txt", "1767323045678901")
    assert (await client.pipeline.entry(refused)).reason == "not_media"


async def test_ingest_composite_upload_buys_the_file_and_none_of_its_parts(
    client: IngestClient,
) -> None:
    """``gcloud storage cp`` makes parts with the source's type, then the composed file."""
    folder = "gcloud/tmp/parallel_composite_uploads/see_gcloud_storage_cp_help_for_details"
    for part in range(5):
        body = encoded(name=f"{folder}/2f81_talk.mp4_{part}", size="33554432")
        assert (await client.post(body, **CLOUDEVENT)).status_code == 204
    assert (await client.post(encoded(), **CLOUDEVENT)).status_code == 204
    assert client.pipeline.queue.tasks == {f"{ID}-0": ID}
    uri = f"gs://uploads/{folder}/2f81_talk.mp4_0"
    entry = await client.pipeline.entry(submission_id_of_object(uri, "1767323045678901"))
    assert (entry.state, entry.reason) == (State.REJECTED, "temporary_part")


async def test_ingest_of_another_event_returns_204(client: IngestClient) -> None:
    """A deletion changes nothing."""
    body = push_body(encoded(), NOTIFICATION | {"eventType": "OBJECT_DELETE"})
    assert (await client.post(body)).status_code == 204
    assert client.pipeline.documents.paths() == []


@pytest.mark.parametrize("body", [b"", b"{}", push_body(b"", NOTIFICATION)])
async def test_ingest_of_no_event_returns_422(client: IngestClient, body: bytes) -> None:
    """The body is logged, and moved to the dead-letter topic."""
    assert (await client.post(body)).status_code == 422
    assert client.pipeline.lines.named("event_poisoned")[0]["severity"] == "ERROR"


async def test_ingest_without_a_queue_returns_503(client: IngestClient) -> None:
    """The repeated delivery enqueues the recorded submission."""
    client.pipeline.queue.down = True
    answer = await client.post(encoded(), **CLOUDEVENT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "queue_unavailable")
    client.pipeline.queue.down = False
    assert (await client.post(encoded(), **CLOUDEVENT)).status_code == 204
    assert list(client.pipeline.queue.tasks) == [f"{ID}-0"]


async def test_other_method_returns_405(client: IngestClient) -> None:
    """The answer has the code ``method_not_allowed``."""
    async with client.loaded.client() as http:
        assert (await http.get("/")).status_code == 405
