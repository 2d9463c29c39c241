"""Accepting a callback."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest

from tests.builders import TASK_ID, callback_body, shape_body, shape_names
from tests.fakes import NOW, LogLines, RecordingPublisher
from transcripts.callbacks.message import INLINE_WORK_BYTES, unpack
from transcripts.callbacks.receiver import Receiver
from transcripts.errors import MessageTooLarge, PublishUnavailable, UnreadableCallback
from transcripts.log_events import COMMON_FIELDS

CALLBACKS, REJECTED = "projects/p/topics/callbacks", "projects/p/topics/rejected"


class ReceiverUnderTest:
    def __init__(self) -> None:
        self.publisher = RecordingPublisher()
        self.lines = LogLines()
        self.receiver = Receiver(self.publisher, CALLBACKS, REJECTED, self.lines.log, lambda: NOW)


@pytest.fixture
def under_test() -> ReceiverUnderTest:
    return ReceiverUnderTest()


def fields(line: dict[str, Any]) -> dict[str, Any]:
    """Return what is special to an event; Google's labels repeat some of it."""
    return {
        name: value
        for name, value in line.items()
        if name not in COMMON_FIELDS and not name.startswith("logging.")
    }


async def test_receive_publishes_the_body_with_its_attributes(
    under_test: ReceiverUnderTest,
) -> None:
    """The message goes to the topic of callbacks."""
    body = callback_body()
    await under_test.receiver.receive(body)
    (message,) = under_test.publisher.on(CALLBACKS)
    assert message.data == body
    assert (message.attributes["task_id"], message.attributes["kind"]) == (
        TASK_ID,
        "multi_speaker",
    )
    (line,) = under_test.lines.named("callback_published")
    assert fields(line) == {
        "task_id": TASK_ID,
        "kind": "multi_speaker",
        "body_bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


@pytest.mark.parametrize("name", shape_names())
async def test_receive_of_every_endpoint_is_published(
    under_test: ReceiverUnderTest, name: str
) -> None:
    """Callbacks of every endpoint use one URL."""
    await under_test.receiver.receive(shape_body(name))
    assert under_test.publisher.on(CALLBACKS)[0].attributes["kind"] == name


async def test_receive_of_a_large_body_runs_in_a_thread(under_test: ReceiverUnderTest) -> None:
    """A large body makes the same message as it would without a thread."""
    body = callback_body(segments=2000)
    assert len(body) > INLINE_WORK_BYTES
    await under_test.receiver.receive(body)
    (message,) = under_test.publisher.on(CALLBACKS)
    assert message.attributes["encoding"] == "gzip"
    assert unpack(message.data, message.attributes, NOW).body == body


async def test_receive_of_an_unreadable_body_keeps_it(under_test: ReceiverUnderTest) -> None:
    """The body goes to the rejected topic, with the reason."""
    body = b'{"task_id": "cut off'
    with pytest.raises(UnreadableCallback):
        await under_test.receiver.receive(body)
    (message,) = under_test.publisher.on(REJECTED)
    assert (message.data, message.attributes["reason"]) == (body, "invalid_json")
    assert "task_id" not in message.attributes
    assert under_test.publisher.on(CALLBACKS) == []
    (line,) = under_test.lines.named("callback_rejected")
    sha256 = hashlib.sha256(body).hexdigest()
    assert fields(line) == {"code": "invalid_json", "body_bytes": len(body), "sha256": sha256}


@pytest.mark.parametrize(
    ("body", "known"), [(callback_body(), {"task_id": TASK_ID}), (b"nonsense", {})]
)
async def test_receive_without_a_broker_raises(
    under_test: ReceiverUnderTest, body: bytes, known: dict[str, str]
) -> None:
    """The error is raised for a readable and an unreadable body."""
    under_test.publisher.down = True
    with pytest.raises(PublishUnavailable):
        await under_test.receiver.receive(body)
    (line,) = under_test.lines.named("callback_not_published")
    assert line["severity"] == "ERROR"
    assert fields(line) == known | {"reason": PublishUnavailable("no broker").log_text}


@pytest.mark.parametrize(
    ("prefix", "known"),
    [(b'{"task_id": "a", "data": "', {}), (b"nonsense", {"code": "invalid_json"})],
)
async def test_receive_of_a_too_large_body_is_logged(
    under_test: ReceiverUnderTest, prefix: bytes, known: dict[str, str]
) -> None:
    """Such a body is not kept, so the log has an error."""
    body = prefix + os.urandom(10_000_000).hex().encode() + b'"}'
    with pytest.raises(MessageTooLarge):
        await under_test.receiver.receive(body)
    (line,) = under_test.lines.named("callback_too_large")
    assert line["severity"] == "ERROR"
    assert fields(line) == known | {"body_bytes": len(body)}
    assert under_test.publisher.published == []


async def test_receive_logs_no_content(under_test: ReceiverUnderTest) -> None:
    """The log holds no text and no names."""
    await under_test.receiver.receive(callback_body())
    with pytest.raises(UnreadableCallback):
        await under_test.receiver.receive(callback_body()[:-1])
    text = b"".join(under_test.lines.raw)
    assert text
    assert b"Ada" not in text
    assert b"survey" not in text
