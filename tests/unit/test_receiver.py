"""Accepting a callback."""

from __future__ import annotations

import hashlib
import os

import pytest

from tests.builders import TASK_ID, callback_body, shape_body, shape_names
from tests.fakes import NOW, LogLines, RecordingPublisher
from transcripts.callbacks.message import unpack
from transcripts.callbacks.receiver import INLINE_WORK_BYTES, Receiver, TokenCheck
from transcripts.errors import MessageTooLarge, PublishUnavailable, UnreadableCallback
from transcripts.settings import Secret

CALLBACKS, REJECTED = "projects/p/topics/callbacks", "projects/p/topics/rejected"
TOKENS = ("first-token-of-thirty-two-characters", "second-token-of-thirty-two-character")


class Desk:
    def __init__(self) -> None:
        self.publisher = RecordingPublisher()
        self.lines = LogLines()
        self.receiver = Receiver(self.publisher, CALLBACKS, REJECTED, self.lines.log, lambda: NOW)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("token", TOKENS)
def test_every_live_token_opens(token: str) -> None:
    """Two of them while they rotate."""
    assert TokenCheck([Secret(token) for token in TOKENS])(f"/{token}")


@pytest.mark.parametrize(
    "path",
    ["", "/", "/x", f"/{TOKENS[0]}/", f"//{TOKENS[0]}", TOKENS[0], f"/{TOKENS[0]}x", "/ä\udcff"],
)
def test_nothing_else_opens(path: str) -> None:
    """Neither a part of it, nor more than it, nor bytes that are no text."""
    assert not TokenCheck([Secret(token) for token in TOKENS])(path)


async def test_a_callback_is_published_with_its_labels(desk: Desk) -> None:
    """As it came, on the topic of callbacks."""
    body = callback_body()
    await desk.receiver.receive(body, None)
    (message,) = desk.publisher.on(CALLBACKS)
    assert message.data == body
    assert (message.attributes["task_id"], message.attributes["kind"]) == (
        TASK_ID,
        "multi_speaker",
    )
    (line,) = desk.lines.named("callback_published")
    assert line["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("name", shape_names())
async def test_every_endpoints_callback_is_accepted(desk: Desk, name: str) -> None:
    """One URL serves them all; none is dropped."""
    await desk.receiver.receive(shape_body(name), None)
    assert desk.publisher.on(CALLBACKS)[0].attributes["kind"] == name


async def test_a_large_callback_is_worked_on_beside_the_others(desk: Desk) -> None:
    """In a thread; the result is the same."""
    body = callback_body(segments=2000)
    assert len(body) > INLINE_WORK_BYTES
    await desk.receiver.receive(body, None)
    (message,) = desk.publisher.on(CALLBACKS)
    assert message.attributes["encoding"] == "gzip"
    assert unpack(message.data, message.attributes, NOW).body == body


async def test_what_is_unreadable_is_kept_before_it_is_refused(desk: Desk) -> None:
    """On the rejected topic, with the reason; the caller's error comes afterwards."""
    body = b'{"task_id": "cut off'
    with pytest.raises(UnreadableCallback):
        await desk.receiver.receive(body, None)
    (message,) = desk.publisher.on(REJECTED)
    assert (message.data, message.attributes["reason"]) == (body, "invalid_json")
    assert "task_id" not in message.attributes
    assert desk.publisher.on(CALLBACKS) == []


@pytest.mark.parametrize("body", [callback_body(), b"nonsense"])
async def test_a_broker_that_is_down_is_said(desk: Desk, body: bytes) -> None:
    """For a readable body as for an unreadable one: nothing may be claimed."""
    desk.publisher.down = True
    with pytest.raises(PublishUnavailable):
        await desk.receiver.receive(body, None)
    assert desk.lines.named("callback_not_published")[0]["severity"] == "ERROR"


@pytest.mark.parametrize("prefix", [b'{"task_id": "a", "data": "', b"nonsense"])
async def test_what_does_not_fit_a_message_is_an_error(desk: Desk, prefix: bytes) -> None:
    """Random text of 20 MB: logged, since it is kept nowhere."""
    body = prefix + os.urandom(10_000_000).hex().encode() + b'"}'
    with pytest.raises(MessageTooLarge):
        await desk.receiver.receive(body, None)
    assert desk.lines.named("callback_too_large")[0]["severity"] == "ERROR"
    assert desk.publisher.published == []


async def test_no_line_holds_what_was_said(desk: Desk) -> None:
    """Neither text nor names."""
    await desk.receiver.receive(callback_body(), None)
    with pytest.raises(UnreadableCallback):
        await desk.receiver.receive(callback_body()[:-1], None)
    text = b"".join(desk.lines.raw)
    assert text
    assert b"Ada" not in text
    assert b"survey" not in text
