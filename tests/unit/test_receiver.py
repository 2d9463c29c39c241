"""Accepting a callback."""

from __future__ import annotations

import hashlib
import os

import pytest

from tests.builders import TASK_ID, callback_body, shape_body, shape_names
from tests.fakes import NOW, LogLines, RecordingPublisher
from transcripts.callbacks.message import unpack
from transcripts.callbacks.receiver import INLINE_WORK_BYTES, Receiver
from transcripts.errors import MessageTooLarge, PublishUnavailable, UnreadableCallback

CALLBACKS, REJECTED = "projects/p/topics/callbacks", "projects/p/topics/rejected"


class Reception:
    def __init__(self) -> None:
        self.publisher = RecordingPublisher()
        self.lines = LogLines()
        self.receiver = Receiver(self.publisher, CALLBACKS, REJECTED, self.lines.log, lambda: NOW)


@pytest.fixture
def reception() -> Reception:
    return Reception()


async def test_receive_publishes_the_body_with_its_attributes(reception: Reception) -> None:
    """On the topic of callbacks."""
    body = callback_body()
    await reception.receiver.receive(body, None)
    (message,) = reception.publisher.on(CALLBACKS)
    assert message.data == body
    assert (message.attributes["task_id"], message.attributes["kind"]) == (
        TASK_ID,
        "multi_speaker",
    )
    (line,) = reception.lines.named("callback_published")
    assert line["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("name", shape_names())
async def test_receive_of_every_endpoint_is_published(reception: Reception, name: str) -> None:
    """One URL serves them all."""
    await reception.receiver.receive(shape_body(name), None)
    assert reception.publisher.on(CALLBACKS)[0].attributes["kind"] == name


async def test_receive_of_a_large_body_runs_in_a_thread(reception: Reception) -> None:
    """The message is the same."""
    body = callback_body(segments=2000)
    assert len(body) > INLINE_WORK_BYTES
    await reception.receiver.receive(body, None)
    (message,) = reception.publisher.on(CALLBACKS)
    assert message.attributes["encoding"] == "gzip"
    assert unpack(message.data, message.attributes, NOW).body == body


async def test_receive_of_an_unreadable_body_keeps_it(reception: Reception) -> None:
    """On the rejected topic, with the reason."""
    body = b'{"task_id": "cut off'
    with pytest.raises(UnreadableCallback):
        await reception.receiver.receive(body, None)
    (message,) = reception.publisher.on(REJECTED)
    assert (message.data, message.attributes["reason"]) == (body, "invalid_json")
    assert "task_id" not in message.attributes
    assert reception.publisher.on(CALLBACKS) == []


@pytest.mark.parametrize("body", [callback_body(), b"nonsense"])
async def test_receive_without_a_broker_raises(reception: Reception, body: bytes) -> None:
    """For a readable and an unreadable body."""
    reception.publisher.down = True
    with pytest.raises(PublishUnavailable):
        await reception.receiver.receive(body, None)
    assert reception.lines.named("callback_not_published")[0]["severity"] == "ERROR"


@pytest.mark.parametrize("prefix", [b'{"task_id": "a", "data": "', b"nonsense"])
async def test_receive_of_a_too_large_body_is_logged(reception: Reception, prefix: bytes) -> None:
    """It is kept nowhere."""
    body = prefix + os.urandom(10_000_000).hex().encode() + b'"}'
    with pytest.raises(MessageTooLarge):
        await reception.receiver.receive(body, None)
    assert reception.lines.named("callback_too_large")[0]["severity"] == "ERROR"
    assert reception.publisher.published == []


async def test_receive_logs_no_content(reception: Reception) -> None:
    """Neither text nor names."""
    await reception.receiver.receive(callback_body(), None)
    with pytest.raises(UnreadableCallback):
        await reception.receiver.receive(callback_body()[:-1], None)
    text = b"".join(reception.lines.raw)
    assert text
    assert b"Ada" not in text
    assert b"survey" not in text
