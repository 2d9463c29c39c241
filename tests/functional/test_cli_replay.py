"""`transcripts replay` on the embedded broker; tests/integration has it on Pub/Sub's emulator."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from google.auth.credentials import AnonymousCredentials
from google.pubsub_v1 import PubsubMessage, ReceivedMessage, SubscriberClient

from cli.client import kept_messages
from cli.client.kept_messages import EmbeddedKept, PubSubKept
from cli.local.broker import Broker
from cli.local.state import LocalStack, write_state
from cli.local.topics import (
    CALLBACKS,
    DEAD,
    KEPT_DEAD,
    KEPT_REJECTED,
    KEPT_UPLOADS_DEAD,
    REJECTED,
    UPLOADS,
    UPLOADS_DEAD,
    Subscription,
)
from tests.builders import TASK_ID, callback_body
from tests.command_line import transcripts
from tests.fakes import NOW
from tests.pubsub import stored_messages
from transcripts.callbacks.message import pack
from transcripts.embedded.database import Database
from transcripts.embedded.publisher import SqlitePublisher
from transcripts.errors import PublishUnavailable
from transcripts.logs import Log
from transcripts.ports import Message

KEPT = {DEAD: KEPT_DEAD, REJECTED: KEPT_REJECTED, UPLOADS_DEAD: KEPT_UPLOADS_DEAD}


@pytest.fixture(autouse=True)
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local stack's data folder, with the subscriptions that keep messages."""
    write_state(
        tmp_path / "stack.json",
        LocalStack(
            pid=os.getpid(),
            backend="embedded",
            data_dir=str(tmp_path),
            urls={"results": "http://127.0.0.1:1", "submit": "http://127.0.0.1:1"},
            bucket="uploads",
            bucket_url="",
            callback_url="",
        ),
    )
    monkeypatch.setenv("TRANSCRIPTS_STACK", str(tmp_path / "stack.json"))
    monkeypatch.chdir(tmp_path)


@asynccontextmanager
async def broker() -> AsyncIterator[Database]:
    """The broker's file and its subscriptions, which deliver nothing."""
    database = Database(Path.cwd())
    subscriptions = [Subscription(name=name, topic=topic) for topic, name in KEPT.items()]
    subscriptions.append(Subscription(name="waiting", topic=CALLBACKS))

    async def post(*_: Any) -> int:
        raise AssertionError("nothing is pushed")

    made = Broker(database, subscriptions, post, Log("broker", project="p"))
    await made.subscribe()
    try:
        yield database
    finally:
        database.close()


def publish(topic: str, *messages: Message) -> None:
    """Publish on a topic of the broker."""

    async def work() -> None:
        async with broker() as database:
            for message in messages:
                await SqlitePublisher(database).publish(topic, message)

    asyncio.run(work())


def kept(topic: str) -> list[Message]:
    """Return what the broker holds of a topic."""

    async def work() -> list[Message]:
        async with broker() as database:
            return await stored_messages(database, topic)

    return asyncio.run(work())


def dead(task_id: str = TASK_ID) -> Message:
    """A dead letter, with the attributes that the broker adds."""
    labels = {"task_id": task_id, "kind": "multi_speaker"}
    message = pack(callback_body(task_id=task_id), NOW, labels)
    added = {"CloudPubSubDeadLetterSourceDeliveryCount": "5"}
    return Message(message.data, message.attributes | added)


def ok(*arguments: str, code: int = 0) -> Result:
    result = transcripts("replay", *arguments)
    assert result.exit_code == code, result.output
    return result


def test_replay_without_apply_changes_nothing() -> None:
    """The dry run lists each message with its task."""
    publish(DEAD, dead("t1"), dead("t2"))
    result = ok("dead")
    assert "t1" in result.stdout
    assert "would be published" in result.stdout
    assert "--apply" in result.stderr
    assert (len(kept(DEAD)), kept(CALLBACKS)) == (2, [])


def test_replay_of_dead_letters_publishes_them_as_they_were() -> None:
    """Without the attributes of a dead letter; nothing is kept any more."""
    publish(DEAD, dead())
    ok("dead", "--apply")
    (message,) = kept(CALLBACKS)
    assert message.data == dead().data
    assert message.attributes["task_id"] == TASK_ID
    assert not [name for name in message.attributes if name.startswith("CloudPubSub")]
    assert kept(DEAD) == []


def test_replay_of_dead_upload_events_publishes_on_their_topic() -> None:
    """ingest gets them."""
    publish(UPLOADS_DEAD, Message(b"{}", {"objectId": "a.mp4", "eventType": "OBJECT_FINALIZE"}))
    assert "a.mp4" in ok("uploads-dead", "--apply").stdout
    assert kept(UPLOADS) == [Message(b"{}", {"objectId": "a.mp4", "eventType": "OBJECT_FINALIZE"})]


def test_replay_of_one_message_leaves_the_others() -> None:
    """The id is that of the dry run."""
    publish(DEAD, dead("t1"), dead("t2"), dead("t3"))
    rows = json.loads(ok("dead", "--json").stdout)["messages"]
    ok("dead", "--apply", "--message", rows[1]["id"])
    assert [each.attributes["task_id"] for each in kept(CALLBACKS)] == ["t2"]
    assert [each.attributes["task_id"] for each in kept(DEAD)] == ["t1", "t3"]


def test_replay_of_an_unknown_message_fails() -> None:
    """It was replayed before, or the id is misspelled."""
    publish(DEAD, dead())
    assert "999" in ok("dead", "--apply", "--message", "999", code=1).stderr
    assert len(kept(DEAD)) == 1


def test_replay_with_a_limit_stops_there() -> None:
    """The oldest come first."""
    publish(DEAD, dead("t1"), dead("t2"), dead("t3"))
    ok("dead", "--apply", "--limit", "2", "--rate", "1000")
    assert [each.attributes["task_id"] for each in kept(DEAD)] == ["t3"]


def test_replay_reads_more_messages_than_one_batch() -> None:
    """More than a hundred."""
    publish(DEAD, *(dead(f"t{number}") for number in range(130)))
    ok("dead", "--apply", "--rate", "10000")
    assert (len(kept(CALLBACKS)), kept(DEAD)) == (130, [])


def test_replay_waits_between_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the rate demands."""
    publish(DEAD, dead("t1"), dead("t2"), dead("t3"))
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("cli.commands.replay.asyncio.sleep", sleep)
    ok("dead", "--apply", "--rate", "4")
    assert pauses == [0.25, 0.25]


def test_replay_keeps_a_message_that_was_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is acknowledged only after the broker has the new one."""
    publish(DEAD, dead("t1"), dead("t2"))
    publish_one = SqlitePublisher.publish
    published: list[Message] = []

    async def fail_second(self: SqlitePublisher, topic: str, message: Message) -> None:
        if published:
            raise PublishUnavailable("SQLite: not in time.")
        published.append(message)
        await publish_one(self, topic, message)

    with monkeypatch.context() as patch:
        patch.setattr(SqlitePublisher, "publish", fail_second)
        assert "still kept" in ok("dead", "--apply", "--rate", "1000", code=1).stderr
    assert [each.attributes["task_id"] for each in kept(DEAD)] == ["t2"]


def test_replay_that_dies_before_the_acknowledgment_repeats_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message is published twice rather than lost."""
    publish(DEAD, dead())

    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedKept, "acknowledge", die)
        ok("dead", "--apply", code=130)
    assert (len(kept(DEAD)), len(kept(CALLBACKS))) == (1, 1)


def test_replay_of_a_rejected_callback_that_is_readable_now_publishes_it() -> None:
    """With the attributes of a callback, and the time at which it was received."""
    publish(REJECTED, pack(callback_body(), NOW, {"reason": "invalid_json"}))
    ok("rejected", "--apply")
    (message,) = kept(CALLBACKS)
    expected = pack(callback_body(), NOW, {"task_id": TASK_ID, "kind": "multi_speaker"})
    assert message == expected
    assert kept(REJECTED) == []


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b'{"task_id": ""}'])
def test_replay_of_a_rejected_callback_that_is_unreadable_keeps_it(body: bytes) -> None:
    """The subscriber could not store it. The command says where an operator reads on."""
    publish(REJECTED, pack(body, NOW, {"reason": "invalid_json"}))
    answer = ok("rejected", "--apply")
    assert "stays: " in answer.stdout
    assert "docs/operations.md#dead-letters" in answer.stderr
    assert (len(kept(REJECTED)), kept(CALLBACKS)) == (1, [])


def test_replay_of_an_address_is_a_usage_error() -> None:
    """Messages are in a project, which an address does not name."""
    assert "--env" in ok("dead", "--url", "http://127.0.0.1:1", code=2).stderr


def test_replay_of_nothing_says_so() -> None:
    """The list is empty."""
    assert "No messages are kept in dead." in ok("dead").stderr


async def test_replay_goes_on_after_an_empty_pull(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pub/Sub may answer with nothing while messages wait."""
    found = ReceivedMessage(
        ack_id="a", message=PubsubMessage(message_id="7", data=b"{}", publish_time=NOW)
    )
    answers = [[], [found], [], [found]]

    def pull(_: PubSubKept) -> list[ReceivedMessage]:
        return answers.pop(0) if answers else []

    monkeypatch.setattr(PubSubKept, "_pull", pull)
    monkeypatch.setattr(kept_messages, "QUIET_S", 0.2)
    client = SubscriberClient(credentials=AnonymousCredentials())
    monkeypatch.setattr(client, "modify_ack_deadline", lambda **_: None)
    monkeypatch.setattr(kept_messages, "pubsub_clients", lambda _: (None, client))
    kept_there = PubSubKept("127.0.0.1:1", "subscription", "topic")
    assert [each.message_id async for each in kept_there.read()] == ["7"]
    assert answers == []
    await kept_there.close()
