"""Publishing to the Pub/Sub emulator, and its pushes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from uuid import uuid4

import pytest
from aiohttp import web

from cli.local.emulators import make_subscriptions, pubsub_clients, subscription_path
from cli.local.topics import Subscription
from tests.contracts.publisher import ATTEMPTS, BrokerContract, message
from tests.polling import eventually
from tests.pubsub import pull
from transcripts.callbacks.message import MAX_DATA_BYTES
from transcripts.errors import PublishUnavailable
from transcripts.google import publisher as publisher_module
from transcripts.google.publisher import PubSubPublisher
from transcripts.ports import Message, Publisher
from transcripts.push import read_push

pytestmark = pytest.mark.emulators


class EmulatedBroker:
    """A push subscription of the emulator, with an endpoint that counts and may refuse."""

    def __init__(self, host: str) -> None:
        self.publisher: Publisher = PubSubPublisher(host)
        self.name = f"s{uuid4().hex}"
        self.topic = f"projects/local/topics/t{uuid4().hex}"
        self.dead_topic = f"{self.topic}-dead"
        self._host = host
        self._accepted: dict[str, Message] = {}
        self._refusals: dict[str, int] = {}
        self._refuse_each = 0
        self._attempts = 0
        self._dead: list[Message] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application(client_max_size=2**26)
        application.router.add_post("/", self._pushed)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        pushing = Subscription(
            name=self.name,
            topic=self.topic,
            endpoint=url,
            dead_letter_topic=self.dead_topic,
            max_attempts=ATTEMPTS,
        )
        dead = Subscription(name=f"{self.name}-dead", topic=self.dead_topic)
        await asyncio.to_thread(make_subscriptions, self._host, [pushing, dead])

    async def stop(self) -> None:
        self._refuse_each = 0
        _, subscriber = pubsub_clients(self._host)
        with subscriber:
            subscriber.delete_subscription(subscription=subscription_path(self.name))
        if self._runner is not None:
            await self._runner.cleanup()

    async def _pushed(self, request: web.Request) -> web.Response:
        self._attempts += 1
        found = read_push(await request.read()).message
        seen = self._refusals.get(found.message_id, 0)
        if seen < self._refuse_each:
            self._refusals[found.message_id] = seen + 1
            return web.Response(status=503)
        self._accepted[found.message_id] = Message(found.data, found.attributes)
        return web.Response(status=204)

    def refuse(self, times: int) -> None:
        self._refuse_each = times

    async def pushed(self) -> Sequence[Message]:
        return list(self._accepted.values())

    async def dead(self) -> Sequence[Message]:
        self._dead += await asyncio.to_thread(pull, self._host, f"{self.name}-dead")
        return self._dead

    def attempts(self) -> int:
        return self._attempts


@pytest.fixture
async def broker(emulators: dict[str, str]) -> AsyncIterator[EmulatedBroker]:
    broker = EmulatedBroker(emulators["PUBSUB_EMULATOR_HOST"])
    await broker.start()
    yield broker
    await broker.stop()


class TestPubSub(BrokerContract):
    async def test_publish_of_the_largest_message_succeeds(self, broker: EmulatedBroker) -> None:
        """It is as large as the code allows."""
        large = Message(bytes(MAX_DATA_BYTES), {"task_id": "t"})
        await broker.publisher.publish(broker.topic, large)
        await eventually(lambda: bool(broker._accepted))
        assert await broker.pushed() == [large]

    async def test_publish_of_mixed_sizes_succeeds(self, broker: EmulatedBroker) -> None:
        """Batches keep the service's limits."""
        sizes = [3_000_000] * 8 + [10] * 50 + [9_000_000]
        sent = [Message(bytes(size), {"n": str(n)}) for n, size in enumerate(sizes)]
        await asyncio.gather(*(broker.publisher.publish(broker.topic, item) for item in sent))
        await eventually(lambda: len(broker._accepted) == len(sizes), within_s=60)
        received = {item.attributes["n"]: len(item.data) for item in await broker.pushed()}
        assert received == {str(n): size for n, size in enumerate(sizes)}


async def test_publish_to_a_topic_that_is_made_meanwhile_succeeds(
    emulators: dict[str, str],
) -> None:
    """A missing topic is retried as an outage is: a deployment may make it this second."""
    host = emulators["PUBSUB_EMULATOR_HOST"]
    topic = f"projects/local/topics/t{uuid4().hex}"
    publishing = asyncio.ensure_future(PubSubPublisher(host).publish(topic, message()))
    client, _ = pubsub_clients(host)
    with client:
        await asyncio.to_thread(client.create_topic, name=f"{topic}-other")
        assert not publishing.done()
        await asyncio.to_thread(client.create_topic, name=topic)
        await publishing


async def test_publish_to_a_missing_topic_is_unavailable(
    emulators: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment mistake is a 503, not a 4xx."""
    monkeypatch.setattr(publisher_module, "RETRY", replace(publisher_module.RETRY, timeout_s=1.0))
    publisher = PubSubPublisher(emulators["PUBSUB_EMULATOR_HOST"])
    with pytest.raises(PublishUnavailable) as raised:
        await publisher.publish("projects/local/topics/nowhere", message())
    assert "NOT_FOUND" in raised.value.log_text


async def test_publish_of_a_wrong_message_fails_alone(broker: EmulatedBroker) -> None:
    """The emulator refuses a message without content, and with it the whole request."""
    sent = [Message(b"x", {"n": str(n)}) if n != 3 else Message(b"", {}) for n in range(8)]
    outcomes = await asyncio.gather(
        *(broker.publisher.publish(broker.topic, each) for each in sent), return_exceptions=True
    )
    assert [n for n, outcome in enumerate(outcomes) if outcome is not None] == [3]
    assert isinstance(outcomes[3], PublishUnavailable)
    await eventually(lambda: len(broker._accepted) == 7)
