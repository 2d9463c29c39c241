"""Publishing to the Pub/Sub emulator, and its pushes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from google.pubsub_v1.types import PublishRequest

from cli.local.emulators import make_subscriptions, pubsub_clients, subscription_path
from cli.local.processes import free_port
from cli.local.topics import Subscription
from tests.contracts.publisher import ATTEMPTS, BrokerContract, message
from tests.polling import eventually
from tests.pubsub import pull
from transcripts.callbacks.message import MAX_DATA_BYTES
from transcripts.errors import PublishUnavailable
from transcripts.google import publisher as publisher_module
from transcripts.google.publisher import MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, PubSubPublisher
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


class TestPubSub(BrokerContract):
    @pytest.fixture
    async def broker(self, emulators: dict[str, str]) -> AsyncIterator[EmulatedBroker]:
        broker = EmulatedBroker(emulators["PUBSUB_EMULATOR_HOST"])
        await broker.start()
        yield broker
        await broker.stop()

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


async def test_publish_to_a_missing_topic_is_unavailable(emulators: dict[str, str]) -> None:
    """A deployment mistake is a 503, not a 4xx."""
    publisher = PubSubPublisher(emulators["PUBSUB_EMULATOR_HOST"])
    with pytest.raises(PublishUnavailable, match="NOT_FOUND"):
        await publisher.publish("projects/local/topics/nowhere", message())


async def test_publish_without_a_broker_times_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Publishing is retried until the time limit."""
    monkeypatch.setattr(publisher_module, "PUBLISH_TIMEOUT_S", 1.0)
    publisher = PubSubPublisher(f"127.0.0.1:{free_port()}")
    loop = asyncio.get_running_loop()
    begin = loop.time()
    with pytest.raises(PublishUnavailable, match="UNAVAILABLE"):
        await publisher.publish("projects/local/topics/callbacks", message())
    assert 0.5 < loop.time() - begin < 3.0


async def test_publish_without_an_identity_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next message looks for an identity again."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    publisher = PubSubPublisher(None)
    for _ in range(2):
        with pytest.raises(PublishUnavailable, match="DefaultCredentialsError"):
            await publisher.publish("projects/local/topics/callbacks", message())


class WaitingPublisher(PubSubPublisher):
    """A publisher without a service: it records each request, which the test then answers."""

    def __init__(self) -> None:
        super().__init__("unused:1")
        self.requests: list[Any] = []
        self.answers: list[asyncio.Future[None]] = []

    async def send(self, topic: str, request: bytes, deadline: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        decoded = PublishRequest.pb().FromString(request)
        assert decoded.topic == topic
        self.requests.append(decoded)
        self.answers.append(future)
        await future

    def sizes(self) -> list[int]:
        return [len(request.messages) for request in self.requests]


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
    assert all(request.ByteSize() <= MAX_BATCH_BYTES for request in publisher.requests)


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
