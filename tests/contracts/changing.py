"""What the tests of changing routes need: the function, and what comes from the other side."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from tests.builders import SPEAKERS, push_body
from tests.fakes import NOW, LogLines
from tests.results import Results
from transcripts.callbacks.message import pack
from transcripts.ports import Documents, Read
from transcripts.retry import Retrier
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.submission import (
    AssetOwner,
    RecordingOwner,
    SpendCounter,
    State,
    Submission,
)
from transcripts.tasks.merge import Outcome
from transcripts.tasks.recorder import Recorder
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import (
    DeletedTask,
    Source,
    Task,
    task_path,
)

ADA, BEN, _ = SPEAKERS
OBJECT = "gs://uploads/case-of-Mr-Secret.mp4"
PERSONAL = ("Ada Example", "Ben Sample", "Mr-Secret", "Countess", "survey came back", "label-7")
"""Personal words of a bought and renamed task."""

DOCUMENTS: dict[str, type[msgspec.Struct]] = {
    "tasks": Task,
    "submissions": Submission,
    "assets": AssetOwner,
    "recordings": RecordingOwner,
    "spend_counters": SpendCounter,
}
"""Every collection, with all that its documents may hold."""


class Changing:
    """The function, with what comes from the other side: callbacks and the ledger."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.documents: Documents = results.documents
        self.store = TaskStore(self.documents, Retrier())
        self.ledger = Ledger(self.documents, Retrier(), clock=lambda: NOW)
        self.lines = LogLines()

    async def receive(self, body: bytes, task_id: str = "t", seconds: float = 0) -> Outcome:
        """Deliver a callback, as Pub/Sub does; with the same arguments it is delivered again."""
        message = pack(body, NOW + timedelta(seconds=seconds), {"task_id": task_id})
        recorder = Recorder(self.store, 0, self.lines.log, lambda: NOW)
        return await recorder.record(push_body(message.data, message.attributes))

    async def buy(self, task_id: str = "t", **changes: Any) -> Submission:
        """Record a purchase as submit does: the ledger and the task's side."""
        entry = Submission(
            submission_id="s",
            state=State.SUBMITTED,
            asset_id="re_1",
            source=Source(OBJECT, "17", "video/mp4", 5),
            filename="case-of-Mr-Secret.mp4",
            labels={"case": "label-7"},
            task_id=task_id,
            created_at=NOW,
            updated_at=NOW,
            submitted_at=NOW,
        )
        side = Task(
            task_id=task_id,
            submission_id="s",
            asset_id="re_1",
            source=entry.source,
            labels=entry.labels,
            label_pairs=["case:label-7"],
            submitted_at=NOW,
            created_at=NOW,
        )

        return await self.ledger.record_purchase(
            replace(entry, **changes), side, within=timedelta(0)
        )

    async def rename(self, changes: object, task_id: str = "t", **headers: str) -> httpx.Response:
        given = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        content = changes if isinstance(changes, bytes) else msgspec.json.encode(changes)
        path = f"/tasks/{task_id}/speaker_names"
        return await self.results.request("PATCH", path, content=content, headers=given)

    async def delete(self, task_id: str = "t", query: str = "") -> httpx.Response:
        return await self.results.request("DELETE", f"/tasks/{task_id}{query}")

    async def delete_submission(self, submission_id: str = "s", query: str = "") -> httpx.Response:
        return await self.results.request("DELETE", f"/submissions/{submission_id}{query}")

    async def renormalize(self, task_id: str = "t") -> httpx.Response:
        return await self.results.request("POST", f"/tasks/{task_id}/renormalize")

    async def etag(self, task_id: str = "t") -> str:
        return str((await self.results.get(f"/tasks/{task_id}")).headers["ETag"])

    async def left(self, task_id: str = "t") -> DeletedTask:
        (found,) = await self.documents.read(Read(task_path(task_id), DeletedTask))
        assert found is not None
        return found.value

    async def everything(self) -> bytes:
        """Return the whole store as JSON: every document that there is."""
        found: list[object] = []
        for collection, kind in DOCUMENTS.items():
            for name in await self.documents.ids(collection, limit=1000):
                found += await self.documents.read(Read(f"{collection}/{name}", kind))
                if collection == "tasks":
                    found += await self.parts(name)
        return msgspec.json.encode([getattr(each, "value", each) for each in found])

    async def parts(self, task_id: str = "t") -> list[str]:
        found: list[str] = []
        for collection in ("segments", "raw"):
            found += await self.documents.ids(f"tasks/{task_id}/{collection}", limit=1000)
        return found


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def shown(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.json()
    return {each["given_name"]: each["name"] for each in answer.json()["speakers"]}


class ChangingContract:
    """Subclasses give a fixture ``results``."""

    @pytest.fixture
    def changing(self, results: Results) -> Changing:
        return Changing(results)
