"""Which backend stands behind the ports. Only the chosen one is imported."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from transcripts.logs import utc_now
from transcripts.ports import (
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
    QueueSettings,
    Settings,
    StoreSettings,
)

if TYPE_CHECKING:
    from transcripts.results.events import ResultEvents

Announce = Callable[[str], Awaitable[None]]
"""Publishes the event of a task, by its id."""


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

    @cache
    def events() -> ResultEvents:
        from transcripts.results.events import ResultEvents
        from transcripts.tasks.store import TaskStore

        store = TaskStore(documents, Retrier())
        publisher = open_publisher(settings, environ)
        return ResultEvents(store, publisher, settings.results_topic)

    async def announce(task_id: str) -> None:
        await events().publish(task_id)

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
        from transcripts.embedded.media import FolderSigner
        from transcripts.embedded.objects import FolderObjects

        return FolderSigner(FolderObjects(settings.data_dir), utc_now)
    from transcripts.google.media import CloudStorageSigner

    return CloudStorageSigner()


def open_queue(settings: QueueSettings, environ: Mapping[str, str]) -> SubmitQueue:
    """Return the queue of submissions; it connects when it is first used."""
    if settings.backend == EMBEDDED:
        from transcripts.embedded.database import Database
        from transcripts.embedded.queue import SqliteQueue

        return SqliteQueue(Database(settings.data_dir))
    return _CloudTasksLater(settings, environ.get("CLOUD_TASKS_EMULATOR_HOST"))


class _CloudTasksLater:
    """Cloud Tasks, imported by the first task: most instances of submit and sweep create none."""

    def __init__(self, settings: QueueSettings, emulator_host: str | None) -> None:
        self._settings = settings
        self._emulator_host = emulator_host
        self._queue: SubmitQueue | None = None

    async def enqueue(self, name: str, submission_id: str) -> None:
        if self._queue is None:
            self._queue = await asyncio.to_thread(self._open)
        await self._queue.enqueue(name, submission_id)

    def _open(self) -> SubmitQueue:
        from transcripts.google.queue import CloudTasksQueue

        settings = self._settings
        return CloudTasksQueue(
            settings.submit_queue,
            settings.submit_url,
            settings.queue_invoker,
            self._emulator_host,
        )
