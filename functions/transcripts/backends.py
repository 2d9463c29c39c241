"""Which backend stands behind the ports. Only the chosen one is imported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from transcripts.logs import utc_now
from transcripts.ports import (
    Announce,
    Documents,
    MediaSigner,
    ObjectSource,
    Publisher,
    SubmitQueue,
)
from transcripts.retry import Retrier
from transcripts.settings import (
    EMBEDDED,
    AnnouncingSettings,
    MaviSettings,
    QueueSettings,
    Secret,
    Settings,
    StoreSettings,
)

if TYPE_CHECKING:
    from transcripts.changes.deletion import AssetDeleter
    from transcripts.mavi.answers import DeleteAnswer
    from transcripts.mavi.client import MaviClient
    from transcripts.results.events import ResultEvents

T = TypeVar("T")


def open_publisher(settings: Settings, environ: Mapping[str, str]) -> Publisher:
    """Return the publisher of the backend; it connects when it is first used."""
    if settings.backend == EMBEDDED:
        from transcripts.embedded.database import Database
        from transcripts.embedded.publisher import SqlitePublisher

        return SqlitePublisher(Database(settings.data_dir))
    from transcripts.google.publisher import PubSubPublisher

    return PubSubPublisher(environ.get("PUBSUB_EMULATOR_HOST"))


def open_announcer(
    settings: AnnouncingSettings, documents: Documents, environ: Mapping[str, str]
) -> Announce | None:
    """Return what publishes the event of a task, None without a topic of results.

    Its parts are imported by the first event.
    """
    if not settings.results_topic:
        return None

    def open_events() -> ResultEvents:
        from transcripts.results.events import ResultEvents
        from transcripts.tasks.store import TaskStore

        store = TaskStore(documents, Retrier())
        publisher = open_publisher(settings, environ)
        return ResultEvents(store, publisher, settings.results_topic)

    events = _Later(open_events)

    async def announce(task_id: str) -> None:
        await (await events.opened()).publish(task_id)

    return announce


def open_documents(settings: StoreSettings, environ: Mapping[str, str]) -> Documents:
    """Return the documents of the backend; it connects when it is first used."""
    if settings.backend == EMBEDDED:
        from transcripts.embedded.database import Database
        from transcripts.embedded.documents import SqliteDocuments

        return SqliteDocuments(Database(settings.data_dir))
    from transcripts.google.documents import FirestoreDocuments

    return FirestoreDocuments(
        settings.project, settings.database, environ.get("FIRESTORE_EMULATOR_HOST")
    )


def open_objects(settings: StoreSettings, environ: Mapping[str, str]) -> ObjectSource:
    """Return where uploaded objects are read; it connects when it is first used."""
    if settings.backend == EMBEDDED:
        from transcripts.embedded.objects import FolderObjects

        return FolderObjects(settings.data_dir)
    from transcripts.google.objects import CloudStorageObjects

    return CloudStorageObjects(environ.get("STORAGE_EMULATOR_HOST"))


def open_signer(settings: StoreSettings, environ: Mapping[str, str]) -> MediaSigner:
    """Return what signs the addresses of recordings; it connects when it is first used.

    No emulator signs. The stand-in for Cloud Storage of the local stack serves the files below the
    data folder, whichever backend the functions have.
    """
    if settings.backend == EMBEDDED or environ.get("STORAGE_EMULATOR_HOST"):
        from transcripts.embedded.objects import FolderObjects, FolderSigner

        return FolderSigner(FolderObjects(settings.data_dir), utc_now)
    from transcripts.google.media import CloudStorageSigner

    return CloudStorageSigner()


def open_queue(settings: QueueSettings, environ: Mapping[str, str]) -> SubmitQueue:
    """Return the queue of submissions; it connects when it is first used."""
    if settings.backend == EMBEDDED:
        from transcripts.embedded.database import Database
        from transcripts.embedded.queue import SqliteQueue

        return SqliteQueue(Database(settings.data_dir))

    def open_tasks() -> SubmitQueue:
        from transcripts.google.queue import CloudTasksQueue

        return CloudTasksQueue(
            settings.submit_queue,
            settings.submit_url,
            settings.queue_invoker,
            environ.get("CLOUD_TASKS_EMULATOR_HOST"),
        )

    return _QueueLater(open_tasks)


def open_assets(settings: MaviSettings) -> AssetDeleter | None:
    """Return what deletes Mavi's copies; None without a key of the account."""
    key = settings.mavi_api_key
    if not isinstance(key, Secret):
        return None

    def open_client() -> MaviClient:
        from transcripts.mavi.client import MaviClient

        return MaviClient(settings.mavi_base_url, key, settings.mavi_requests_per_second)

    return _AssetsLater(open_client)


class _Later(Generic[T]):
    """Something that most instances never use: the first use imports and opens it, in a thread."""

    def __init__(self, open_it: Callable[[], T]) -> None:
        self._open = open_it
        self._opening: asyncio.Future[T] | None = None

    async def opened(self) -> T:
        if self._opening is None:
            self._opening = asyncio.ensure_future(asyncio.to_thread(self._open))
        return await asyncio.shield(self._opening)


class _QueueLater(_Later["SubmitQueue"]):
    async def enqueue(self, name: str, submission_id: str) -> None:
        await (await self.opened()).enqueue(name, submission_id)


class _AssetsLater(_Later["MaviClient"]):
    """All deletions share one client, since the client keeps the rate limit."""

    async def delete(self, asset_id: str, max_wait_s: float) -> DeleteAnswer:
        return await (await self.opened()).delete(asset_id, max_wait_s)
