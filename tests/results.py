"""The function ``results`` as a client sees it, and what a test puts into its store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import msgspec

from tests.builders import callback_body, segment
from tests.description import check_answer
from tests.fakes import NOW
from tests.functional.framework import Answer, Loaded
from transcripts.backends import open_objects, open_signer
from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.message import compress
from transcripts.logs import Log
from transcripts.ports import Documents, Read, Write
from transcripts.results.answers import Summary, WholeTask
from transcripts.results.views import summary, task_head
from transcripts.retry import Retrier
from transcripts.submissions.submission import State, Submission, submission_path
from transcripts.tasks.normalize import normalize
from transcripts.tasks.speakers import shown_speakers
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import (
    Task,
    task_path,
)
from transcripts.web import JSON

LONG = 10_000
"""Segments of a transcript that has several pages."""

Remove = Callable[[str], Awaitable[None]]


@dataclass
class Results:
    """The loaded function, its store, and how a document is removed from it."""

    loaded: Loaded
    documents: Documents
    remove: Remove
    fakes: dict[str, Any] = field(default_factory=dict)
    """More arguments of the entry's ``compose``; the others are those of its settings."""
    log: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.compose()

    def compose(self, **fakes: Any) -> None:
        """Build the function around these fakes too."""
        self.fakes |= fakes
        module: Any = self.loaded.module
        settings = module.settings
        parts = {
            "objects": open_objects(settings, os.environ),
            "signer": open_signer(settings, os.environ),
            "retrier": Retrier(),
        }
        if hasattr(module, "open_assets"):
            parts["assets"] = None
        log = Log("results", lambda line: self.log.append(msgspec.json.decode(line)), project="p")
        self.loaded.compose(documents=self.documents, log=log, **(parts | self.fakes))

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """Read a path; no answer may be kept by a cache."""
        return await self.request("GET", path, **options)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request; every answer of JSON is as docs/openapi.yaml describes it."""
        async with self.loaded.client() as client:
            answer = await client.request(method, path, **options)
        assert answer.headers["Cache-Control"] == "no-store"
        if answer.content and answer.headers["Content-Type"] == JSON:
            check_answer(method, answer.request.url.path, answer.status_code, answer.json())
        return answer

    async def error(self, path: str, status: int, **options: Any) -> dict[str, Any]:
        """Read a path whose answer is an error, in the one shape, and return it."""
        answer = await self.get(path, **options)
        content = answer.json()
        assert answer.status_code == status, content
        assert set(content) == {"error"}
        assert set(content["error"]) == {"code", "message", "details"}
        assert content["error"]["message"].endswith(".")
        error: dict[str, Any] = content["error"]
        return error

    async def ids(self, path: str) -> list[str]:
        """Return the ids of a list of one page."""
        answer = await self.get(path)
        content = answer.json()
        assert answer.status_code == 200, content
        assert content.pop("next_page_token") is None
        ((name, items),) = content.items()
        return [item[f"{name.removesuffix('s')}_id"] for item in items]

    async def all_ids(self, path: str, size: int) -> list[list[str]]:
        """Return the ids of each page."""
        name = path.lstrip("/").partition("?")[0]
        pages: list[list[str]] = []
        token = ""
        while True:
            separator = "&" if "?" in path else "?"
            more = f"&page_token={token}" if token else ""
            answer = await self.get(f"{path}{separator}page_size={size}{more}")
            content = answer.json()
            pages.append([item[f"{name.removesuffix('s')}_id"] for item in content[name]])
            token = content["next_page_token"]
            if token is None:
                return pages

    async def put(self, *tasks: Task) -> None:
        for task in tasks:
            await self.documents.commit(Write(task_path(task.task_id), task))

    async def put_submissions(self, *submissions: Submission) -> None:
        for entry in submissions:
            await self.documents.commit(Write(submission_path(entry.submission_id), entry))

    async def put_result(self, task_id: str = "t", count: int = 3, revision: str = "r1") -> Task:
        """Store a result as subscriber does, and return it with all its segments."""
        lines = [segment(index, text=f"{revision} {index} " + "ä" * 40) for index in range(count)]
        body = callback_body(lines, task_id=task_id)
        received_at = NOW + timedelta(seconds=int(revision[1:]))
        result = normalize(
            read_envelope(body),
            revision=revision,
            received_at=received_at,
            stored_at=NOW,
            expires_at=None,
        )
        await TaskStore(self.documents, Retrier()).save_result(result, compress(body))
        return result

    async def stored(self, task_id: str) -> Task:
        """Return the document of a task, without its pages."""
        (found,) = await self.documents.read(Read(task_path(task_id), Task))
        assert found is not None
        return found.value

    def stream(self, path: str) -> Stream:
        """Return a request whose answer is taken step by step."""
        return Stream(self.loaded, path)


class Stream:
    """One request, whose answer is taken at the pace of the test."""

    def __init__(self, loaded: Loaded, path: str) -> None:
        self.answer = Answer()
        self.complete = False
        self.disconnected = asyncio.Event()
        self._loaded = loaded
        self._path = path

    async def run(self, on_start: Callable[[], Awaitable[None]]) -> None:
        """Read the whole answer; ``on_start`` is awaited before its first byte is taken."""
        asked = False

        async def receive() -> Mapping[str, Any]:
            nonlocal asked
            if asked:
                await self.disconnected.wait()
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            self.answer.take(message)
            if message["type"] == "http.response.start":
                await on_start()
            else:
                self.complete = not message.get("more_body", False)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("test", 80),
            "client": ("test", 1),
            "headers": [(b"host", b"127.0.0.1")],
        }
        await self._loaded.app(scope, receive, send)


def a_task(task_id: str, seconds: float = 0.0, **changes: Any) -> Task:
    """Return a task that was created some seconds after a fixed moment."""
    moment = NOW + timedelta(seconds=seconds)
    return Task(**{"task_id": task_id, "created_at": moment, **changes})


def whole_task(task: Task) -> WholeTask:
    """Return a task as the API answers it."""
    head = task_head(task, shown_speakers(task, task.segments))
    return WholeTask(**msgspec.structs.asdict(head), segments=task.segments)


def summary_of(task: Task) -> Summary:
    """Return a task as lists of the API answer it."""
    return summary(task, shown_speakers(task))


def a_submission(submission_id: str, seconds: float = 0.0, **changes: Any) -> Submission:
    """Return an entry that was created some seconds after a fixed moment."""
    moment = NOW + timedelta(seconds=seconds)
    fields = {"state": State.PENDING, "created_at": moment, "updated_at": moment}
    return Submission(**{"submission_id": submission_id, **fields, **changes})
