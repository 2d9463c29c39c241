"""The contract of ``ports.Publisher`` and of the broker behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import pytest

from tests.polling import eventually
from transcripts import traces
from transcripts.ports import Message, Publisher

ATTEMPTS = 5


class BrokerUnderTest(Protocol):
    """A broker with one pushed subscription on ``topic``, and its dead-letter topic."""

    publisher: Publisher
    topic: str

    def refuse(self, times: int) -> None:
        """Refuse the next pushes of each message."""

    async def pushed(self) -> Sequence[Message]:
        """Return the messages that were pushed and accepted."""

    async def dead(self) -> Sequence[Message]:
        """Return the messages on the dead-letter topic."""

    def attempts(self) -> int:
        """Return how many pushes there were."""


def message(number: int = 0) -> Message:
    return Message(f"body {number} ä".encode(), {"task_id": f"t{number}", "kind": "unknown"})


class BrokerContract:
    """Subclasses give a fixture ``broker``."""

    async def test_publish_is_pushed_unchanged(self, broker: BrokerUnderTest) -> None:
        """The push has the data and the attributes of the message."""
        await broker.publisher.publish(broker.topic, message())
        await eventually(lambda: _count(broker.pushed, 1))
        (received,) = await broker.pushed()
        assert received == message()

    async def test_publish_in_a_request_is_pushed_with_its_trace(
        self, broker: BrokerUnderTest
    ) -> None:
        """Messages of several requests share a batch, and each keeps its own trace."""

        async def request(number: int) -> None:
            traces.begin({traces.TRACEPARENT: f"00-{number:032x}-0123456789abcdef-01"})
            await broker.publisher.publish(broker.topic, message(number))

        await asyncio.gather(*(asyncio.create_task(request(number)) for number in range(1, 21)))
        await eventually(lambda: _count(broker.pushed, 20))
        received = [item.attributes for item in await broker.pushed()]
        assert {item["task_id"]: item[traces.TRACEPARENT] for item in received} == {
            f"t{number}": f"00-{number:032x}-0123456789abcdef-01" for number in range(1, 21)
        }

    async def test_publish_hundreds_at_once_pushes_each_once(self, broker: BrokerUnderTest) -> None:
        """No message is lost, and each keeps its own data."""
        sent = [message(number) for number in range(300)]
        await asyncio.gather(*(broker.publisher.publish(broker.topic, item) for item in sent))
        await eventually(lambda: _count(broker.pushed, 300), within_s=60)
        received = {item.attributes["task_id"]: item.data for item in await broker.pushed()}
        assert received == {item.attributes["task_id"]: item.data for item in sent}

    async def test_push_refused_is_repeated(self, broker: BrokerUnderTest) -> None:
        """A message is pushed again after a 503."""
        broker.refuse(2)
        await broker.publisher.publish(broker.topic, message())
        await eventually(lambda: _count(broker.pushed, 1), within_s=60)
        assert broker.attempts() == 3

    async def test_push_refused_every_time_is_dead_lettered(self, broker: BrokerUnderTest) -> None:
        """The dead letter keeps the attributes."""
        broker.refuse(1000)
        await broker.publisher.publish(broker.topic, message(7))
        await eventually(lambda: _count(broker.dead, 1), within_s=60)
        (dead,) = await broker.dead()
        assert dead.data == message(7).data
        assert dead.attributes["task_id"] == "t7"
        assert broker.attempts() == pytest.approx(ATTEMPTS, abs=1)


async def _count(read: Callable[[], Awaitable[Sequence[Message]]], wanted: int) -> bool:
    return len(await read()) >= wanted
