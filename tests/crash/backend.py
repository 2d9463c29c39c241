"""Environments for the crash tests, each with an empty store and an account of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from cli.fake_mavi.faults import ALWAYS
from cli.fake_mavi.server import FakeMavi
from cli.local.bucket import BucketServer
from cli.local.queue_runner import QUEUE
from cli.local.tasks_server import TasksServer
from tests.crash.fault_plan import (
    Environment,
)
from tests.crash.scenarios import Scenario, Subject
from tests.fakes import Clock
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.embedded.objects import FolderObjects
from transcripts.embedded.queue import SqliteQueue
from transcripts.google.documents import FirestoreDocuments
from transcripts.google.objects import CloudStorageObjects
from transcripts.google.queue import CloudTasksQueue
from transcripts.mavi.client import MaviClient
from transcripts.settings import Secret
from transcripts.submissions.submission import (
    submission_id_of_asset,
    submission_id_of_object,
)

KEY = "key-of-the-fake"


class Backend:
    """Makes environments, each with an empty store and an account of its own."""

    def __init__(self, folder: Path, emulators: dict[str, str] | None) -> None:
        self._folder = folder
        self._emulators = emulators
        self._objects = FolderObjects(folder)
        self._bucket = BucketServer(self._objects)

    async def start(self) -> None:
        """Serve the objects."""
        await self._bucket.start()

    async def stop(self) -> None:
        """Stop serving."""
        await self._bucket.stop()

    @asynccontextmanager
    async def environment(self, scenario: Scenario) -> AsyncIterator[tuple[Environment, Subject]]:
        """Return a new environment and the subject of the scenario."""
        async with AsyncExitStack() as exits:
            database = Database(self._folder / uuid4().hex)
            exits.callback(database.close)
            faults = scenario.faults()
            faults.drop = ALWAYS
            clock = Clock()
            mavi = FakeMavi(
                KEY,
                faults=faults,
                per_second=0,
                webhook_url="http://127.0.0.1:9",
                clock=lambda: clock().timestamp(),
            )
            await mavi.start()
            exits.push_async_callback(mavi.stop)
            environment = Environment(
                clock=clock,
                cap_per_day=scenario.cap_per_day,
                documents=SqliteDocuments(database),
                queue=SqliteQueue(database),
                database=database,
                source=self._objects,
                mavi=mavi,
                client=MaviClient(mavi.url, Secret(KEY), 10_000.0),
                resubmit_overdue=scenario.resubmit_overdue,
            )
            if self._emulators is not None:
                await self._emulated(environment, exits)
            if scenario.source is not None:
                environment.source = scenario.source(environment)
            subject = self._subject(scenario, mavi)
            if scenario.before is not None:
                await scenario.before(environment, subject)
            yield environment, subject

    async def _emulated(self, environment: Environment, exits: AsyncExitStack) -> None:
        project = f"p{uuid4().hex[:20]}"
        host = (self._emulators or {})["FIRESTORE_EMULATOR_HOST"]
        environment.documents = FirestoreDocuments(project, "(default)", host)
        tasks = TasksServer(SqliteQueue(environment.database))
        await tasks.start()
        exits.push_async_callback(tasks.stop)
        environment.queue = CloudTasksQueue(QUEUE, "https://submit.example", "", tasks.host)
        environment.source = CloudStorageObjects(self._bucket.url)

    def _subject(self, scenario: Scenario, mavi: FakeMavi) -> Subject:
        name = f"{uuid4().hex}.mp4"
        if not scenario.of_object:
            asset_id = mavi.add_asset(name).asset_id
            return Subject(submission_id_of_asset(asset_id), asset_id=asset_id)
        path = self._objects.path("uploads", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"media" * 30_000)
        stored = self._objects.stat("uploads", name, None)
        return Subject(submission_id_of_object(stored.uri, stored.generation), stored)


@asynccontextmanager
async def serving(backend: Backend) -> AsyncIterator[Backend]:
    """Start and stop a backend."""
    await backend.start()
    yield backend
    await backend.stop()
