"""The embedded queue on real files, against the contract."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from cli.local.broker import poster
from cli.local.queue_runner import DISPATCH_DEADLINE_S, QueueRunner
from tests.contracts.queue import ID, QueueContract, SubmitEndpoint
from tests.fakes import Clock, LogLines
from tests.polling import eventually
from tests.queues import Sending, embedded_sending
from transcripts.embedded.database import FILE_NAME, Database
from transcripts.embedded.queue import SqliteQueue
from transcripts.errors import QueueUnavailable


class TestSqliteQueue(QueueContract):
    @pytest.fixture
    async def sending(self, tmp_path: Path) -> AsyncIterator[Sending]:
        async with embedded_sending(tmp_path) as sending:
            yield sending

    async def test_runner_retries_a_refused_connection(self, sending: Sending) -> None:
        """A refused connection counts like an error answer."""
        port = sending.endpoint.port
        await sending.endpoint.stop()
        await sending.queue.enqueue(f"{ID}-0", ID)
        await eventually(lambda: bool(sending.log.named("task_refused")))
        await sending.endpoint.start(port)
        await eventually(lambda: bool(sending.endpoint.received))

    async def test_runner_waits_for_a_locked_file(self, sending: Sending, tmp_path: Path) -> None:
        """The runner continues when the file is unlocked."""
        lock = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        with pytest.raises(QueueUnavailable):
            await sending.queue.enqueue(f"{ID}-0", ID)
        await eventually(lambda: bool(sending.log.named("database_busy")))
        lock.execute("ROLLBACK")
        lock.close()
        await sending.queue.enqueue(f"{ID}-0", ID)
        await eventually(lambda: bool(sending.endpoint.received))

    async def test_runner_sends_an_unrecorded_task_again(
        self, sending: Sending, tmp_path: Path
    ) -> None:
        """The database was locked when the answer came."""
        sending.endpoint.hold.clear()
        await sending.queue.enqueue(f"{ID}-0", ID)
        await eventually(lambda: bool(sending.endpoint.received))
        lock = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        sending.endpoint.hold.set()
        await eventually(lambda: bool(sending.log.named("ack_failed")))
        (row,) = lock.execute("SELECT due FROM queue_task").fetchall()
        lock.execute("ROLLBACK")
        lock.close()
        assert row[0] is not None


async def test_runner_keeps_the_rate(tmp_path: Path) -> None:
    """Tasks start at least an interval apart."""
    async with embedded_sending(tmp_path, per_second=50.0) as sending:
        ids = [f"{number:032x}" for number in range(10)]
        await asyncio.gather(*(sending.queue.enqueue(f"{each}-0", each) for each in ids))
        await eventually(lambda: len(sending.endpoint.received) == 10)
        times = sending.endpoint.times
        assert times[-1] - times[0] >= 9 * 0.02 * 0.9


async def test_runner_started_again_sends_unanswered_tasks(tmp_path: Path) -> None:
    """The tasks are sent at once."""
    database, endpoint, clock = Database(tmp_path), SubmitEndpoint(), Clock()
    url = await endpoint.start()
    endpoint.hold.clear()
    await SqliteQueue(database, clock).enqueue(f"{ID}-0", ID)
    async with aiohttp.ClientSession() as client:
        for runs in (1, 2):
            runner = QueueRunner(database, url, poster(client), LogLines().log, clock=clock)
            running = asyncio.create_task(runner.run())
            await eventually(lambda runs=runs: len(endpoint.received) == runs)  # type: ignore[misc] # bound early on purpose
            due = await database.run(
                lambda connection: connection.execute("SELECT due FROM queue_task").fetchone()
            )
            assert due == (clock().timestamp() + DISPATCH_DEADLINE_S,)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    await endpoint.stop()
    database.close()
