"""Queues under test: the embedded one, and Cloud Tasks' interface over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from cli.local.broker import poster
from cli.local.queue_runner import QUEUE, QueueRunner
from cli.local.tasks_server import TasksServer
from tests.contracts.queue import SubmitEndpoint
from tests.fakes import LogLines
from transcripts.embedded.database import Database
from transcripts.embedded.queue import SqliteQueue
from transcripts.google.queue import CloudTasksQueue
from transcripts.ports import SubmitQueue
from transcripts.retry import RetryPolicy

INVOKER = "queue@project.iam.gserviceaccount.com"


class Sending:
    """A queue, the endpoint that it sends to, and the parts between."""

    def __init__(self, queue: SubmitQueue, endpoint: SubmitEndpoint) -> None:
        self.queue = queue
        self.endpoint = endpoint
        self.log = LogLines("queue")


@asynccontextmanager
async def embedded_sending(folder: Path, *, per_second: float = 0.0) -> AsyncIterator[Sending]:
    """The queue in SQLite."""
    database, endpoint = Database(folder, busy_timeout_s=0.2), SubmitEndpoint()
    url = await endpoint.start()
    sending = Sending(SqliteQueue(database), endpoint)
    async with aiohttp.ClientSession() as client:
        runner = QueueRunner(
            database,
            url,
            poster(client),
            sending.log.log,
            per_second=per_second,
            retry=RetryPolicy(first_pause_s=0.01, max_pause_s=0.05),
        )
        running = asyncio.create_task(runner.run())
        yield sending
        # The sender stops first: a server that closes would not answer its new connections.
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await endpoint.stop()
    database.close()


@asynccontextmanager
async def cloud_tasks_sending(folder: Path) -> AsyncIterator[tuple[Sending, TasksServer]]:
    """The adapter of Cloud Tasks, over gRPC, before the queue in SQLite."""
    async with embedded_sending(folder) as sending:
        database = Database(folder)
        server = TasksServer(SqliteQueue(database))
        await server.start()
        url = "https://submit.example"
        sending.queue = CloudTasksQueue(QUEUE, url, INVOKER, server.host)
        yield sending, server
        await server.stop()
        database.close()
