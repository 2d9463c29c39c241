"""The batches of the publisher: what goes out together, and what waits for what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from google.pubsub_v1.types import PublishRequest
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.publisher import message
from tests.polling import eventually
from transcripts.errors import PublishUnavailable
from transcripts.google import publisher as publisher_module
from transcripts.google.publisher import (
    MAX_BATCH_BYTES,
    MAX_BATCH_MESSAGES,
    PubSubPublisher,
    encoded_bytes,
)
from transcripts.ports import Message

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def encoded(messages: Sequence[Message]) -> Any:
    request = PublishRequest.pb()()
    for each in messages:
        request.messages.add(data=each.data, attributes=each.attributes)
    return request


class WaitingPublisher(PubSubPublisher):
    """A publisher without a service: it records each request, which the test then answers."""

    def __init__(self) -> None:
        super().__init__("unused:1")
        self.requests: list[Sequence[Message]] = []
        self.answers: list[asyncio.Future[None]] = []

    async def send(self, topic: str, messages: Sequence[Message], deadline: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.requests.append(messages)
        self.answers.append(future)
        await future

    def sizes(self) -> list[int]:
        return [len(messages) for messages in self.requests]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


TOPIC = "projects/local/topics/callbacks"


async def test_publish_during_an_rpc_shares_the_next_one() -> None:
    """The first message goes out at once."""
    publisher = WaitingPublisher()
    first = asyncio.ensure_future(publisher.publish(TOPIC, message()))
    await settle()
    rest = [asyncio.ensure_future(publisher.publish(TOPIC, message(n))) for n in range(100)]
    await settle()
    assert publisher.sizes() == [1]
    publisher.answers[0].set_result(None)
    await first
    await settle()
    assert publisher.sizes() == [1, 100]
    assert not any(task.done() for task in rest)
    publisher.answers[1].set_result(None)
    await asyncio.gather(*rest)


async def test_publish_rpc_failed_fails_only_its_messages() -> None:
    """Later messages are sent."""
    publisher = WaitingPublisher()
    first = asyncio.ensure_future(publisher.publish(TOPIC, message()))
    await settle()
    second = asyncio.ensure_future(publisher.publish(TOPIC, message()))
    publisher.answers[0].set_exception(PublishUnavailable("no"))
    with pytest.raises(PublishUnavailable):
        await first
    await settle()
    publisher.answers[1].set_result(None)
    await second


async def test_publish_rpc_stalled_does_not_delay_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second the next batch is sent beside it."""
    monkeypatch.setattr(publisher_module, "STALLED_AFTER_S", 0.05)
    publisher = WaitingPublisher()
    stalled = asyncio.ensure_future(publisher.publish(TOPIC, message()))
    await settle()
    waiting = asyncio.ensure_future(publisher.publish(TOPIC, message()))
    await eventually(lambda: len(publisher.requests) == 2)
    publisher.answers[1].set_result(None)
    await waiting
    assert not stalled.done()
    publisher.answers[0].set_result(None)
    await stalled


async def test_publish_to_two_topics_is_independent() -> None:
    """A rejected callback does not wait for accepted ones."""
    publisher = WaitingPublisher()
    both = [asyncio.ensure_future(publisher.publish(f"{TOPIC}{n}", message())) for n in range(2)]
    await settle()
    assert publisher.sizes() == [1, 1]
    for answer in publisher.answers:
        answer.set_result(None)
    await asyncio.gather(*both)


async def test_publish_batch_is_bounded() -> None:
    """A batch is bounded in number and in bytes."""
    publisher = WaitingPublisher()
    tasks = [asyncio.ensure_future(publisher.publish(TOPIC, message(n))) for n in range(2_500)]
    large = Message(bytes(4_000_000), {})
    tasks += [asyncio.ensure_future(publisher.publish(TOPIC, large)) for _ in range(5)]
    while not all(task.done() for task in tasks):
        await settle()
        for answer in publisher.answers:
            if not answer.done():
                answer.set_result(None)
    assert sum(publisher.sizes()) == 2_505
    assert max(publisher.sizes()) == MAX_BATCH_MESSAGES
    assert all(encoded(request).ByteSize() <= MAX_BATCH_BYTES for request in publisher.requests)


@given(st.binary(max_size=50), st.dictionaries(TEXT, TEXT, max_size=4))
def test_encoded_bytes_are_not_less_than_the_encoding(
    data: bytes, attributes: dict[str, str]
) -> None:
    """A request that is larger than the service allows would be refused as a whole."""
    message = Message(data, attributes)
    assert encoded_bytes(message) >= encoded([message]).ByteSize()


async def test_publish_cancelled_does_not_disturb_its_batch() -> None:
    """No exception is left unretrieved."""
    publisher = WaitingPublisher()
    for outcome in (None, PublishUnavailable("no")):
        gone = asyncio.ensure_future(publisher.publish(TOPIC, message()))
        await settle()
        gone.cancel()
        await settle()
        if outcome is None:
            publisher.answers[-1].set_result(None)
        else:
            publisher.answers[-1].set_exception(outcome)
        await settle()
        assert gone.cancelled()
