"""The embedded backend on real files, and the fakes, against the contracts."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.local.broker import NO_ANSWER, Broker
from cli.local.topics import Subscription
from tests.contracts.documents import DocumentsContract
from tests.contracts.publisher import ATTEMPTS, BrokerContract, message
from tests.fakes import LogLines, MemoryDocuments
from tests.polling import eventually
from tests.pubsub import stored_messages
from transcripts.embedded import publisher as embedded_publisher
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.embedded.publisher import SqlitePublisher
from transcripts.errors import PublishUnavailable, StoreUnavailable
from transcripts.ports import ABSENT, Documents, Message, Publisher, Read, Write
from transcripts.push import read_push
from transcripts.retry import RetryPolicy
from transcripts.tasks.task import Task

TOPIC, DEAD = "projects/local/topics/callbacks", "projects/local/topics/dead"


class TestMemory(DocumentsContract):
    @pytest.fixture
    def documents(self) -> Documents:
        return MemoryDocuments()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "data")
    yield database
    database.close()


class TestSqlite(DocumentsContract):
    @pytest.fixture
    def documents(self, database: Database) -> Documents:
        return SqliteDocuments(database)

    async def test_documents_of_two_processes_share_the_file(self, database: Database) -> None:
        """Each reads the other's commits, and conflicts are found."""
        other = Database(database.path.parent)
        ours, theirs = SqliteDocuments(database), SqliteDocuments(other)
        await ours.commit(Write("tasks/t", Task(task_id="t"), expect=ABSENT))
        (found,) = await theirs.read(Read("tasks/t", Task))
        assert found is not None
        results = await asyncio.gather(
            ours.commit(Write("tasks/t", Task(task_id="a"), expect=found.version)),
            theirs.commit(Write("tasks/t", Task(task_id="b"), expect=found.version)),
            return_exceptions=True,
        )
        assert sorted(result is None for result in results) == [False, True]
        other.close()

    async def test_documents_of_a_broken_file_are_unavailable(self, tmp_path: Path) -> None:
        """The error is transient, not a crash."""
        database = Database(tmp_path)
        database.path.write_bytes(b"this is no database " * 100)
        documents = SqliteDocuments(database)
        with pytest.raises(StoreUnavailable):
            await documents.read(Read("tasks/t", Task))
        with pytest.raises(StoreUnavailable):
            await documents.commit(Write("tasks/t", Task(task_id="t")))
        with pytest.raises(PublishUnavailable):
            await SqlitePublisher(database).publish(TOPIC, message())
        database.close()


class SqliteBroker:
    """A broker, with an endpoint that counts and may refuse."""

    topic = TOPIC

    def __init__(self, database: Database) -> None:
        self.publisher: Publisher = SqlitePublisher(database)
        self.accepted: list[Message] = []
        self.bodies: list[dict[str, Any]] = []
        self.database = database
        self.refusals: dict[str, int] = {}
        self.refuse_each = 0
        subscriptions = [
            Subscription(
                name="pushed",
                topic=TOPIC,
                endpoint="http://endpoint",
                dead_letter_topic=DEAD,
                max_attempts=ATTEMPTS,
                retry=RetryPolicy(first_pause_s=0.01, max_pause_s=0.05),
                acknowledge_within_s=30,
            ),
            Subscription(name="dead-kept", topic=DEAD),
        ]
        self.broker = Broker(database, subscriptions, self.post, LogLines().log)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        assert (url, headers) == ("http://endpoint", {})
        self.bodies.append(json.loads(body))
        found = read_push(body).message
        seen = self.refusals.get(found.message_id, 0)
        if seen < self.refuse_each:
            self.refusals[found.message_id] = seen + 1
            if seen % 2:
                return NO_ANSWER
            return 503
        self.accepted.append(Message(found.data, found.attributes))
        return 204

    def refuse(self, times: int) -> None:
        self.refuse_each = times

    async def pushed(self) -> Sequence[Message]:
        return self.accepted

    async def dead(self) -> Sequence[Message]:
        return await stored_messages(self.database, DEAD)

    def attempts(self) -> int:
        return len(self.bodies)


class TestSqliteBroker(BrokerContract):
    @pytest.fixture
    async def broker(self, database: Database) -> AsyncIterator[SqliteBroker]:
        broker = SqliteBroker(database)
        running = asyncio.create_task(broker.broker.run())
        yield broker
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def test_broker_delivers_what_was_published_before_it_started(
        self, database: Database
    ) -> None:
        """Local processes start in any order."""
        broker = SqliteBroker(database)
        await broker.publisher.publish(TOPIC, message())
        running = asyncio.create_task(broker.broker.run())
        await eventually(lambda: len(broker.accepted) == 1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def test_dead_letter_names_its_source(self, broker: SqliteBroker) -> None:
        """The dead letter has Pub/Sub's own attributes."""
        broker.refuse(1000)
        await broker.publisher.publish(TOPIC, message())

        async def is_dead() -> bool:
            return bool(await broker.dead())

        await eventually(is_dead)
        (dead,) = await broker.dead()
        assert dead.attributes["CloudPubSubDeadLetterSourceSubscription"] == "pushed"
        assert dead.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == str(ATTEMPTS)
        assert [body["deliveryAttempt"] for body in broker.bodies] == [1, 2, 3, 4, 5]

    async def test_delivery_of_a_crashed_broker_is_repeated(self, database: Database) -> None:
        """Its lease ends without an answer, and the message is due again."""
        broker = SqliteBroker(database)
        await broker.broker.subscribe()
        await broker.publisher.publish(TOPIC, message())
        connection = sqlite3.connect(database.path)
        connection.execute("UPDATE delivery SET attempt = 1, due = 1.0")
        connection.commit()
        connection.close()
        running = asyncio.create_task(broker.broker.run())
        await eventually(lambda: len(broker.accepted) == 1)
        assert broker.bodies[0]["deliveryAttempt"] == 2
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def test_acknowledged_message_is_deleted(
        self, broker: SqliteBroker, database: Database
    ) -> None:
        """The file does not grow with every message."""
        await broker.publisher.publish(TOPIC, message())
        await eventually(lambda: len(broker.accepted) == 1)

        async def is_empty() -> bool:
            return await database.run(
                lambda connection: (
                    connection.execute("SELECT count(*) FROM message").fetchone() == (0,)
                )
            )

        await eventually(is_empty)


async def test_publishers_of_a_locked_file_time_out_together(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No publisher waits for the others' waits: one after the other they would take a minute."""
    monkeypatch.setattr(embedded_publisher, "ACKNOWLEDGE_WITHIN_S", 0.3)
    publisher = SqlitePublisher(database)
    await publisher.publish(TOPIC, Message(b"first", {}))
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    late = (publisher.publish(TOPIC, Message(b"late", {})) for _ in range(200))
    async with asyncio.timeout(30):
        results = await asyncio.gather(*late, return_exceptions=True)
    other.close()
    assert [type(result) for result in results] == [PublishUnavailable] * 200
