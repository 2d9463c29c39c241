"""Publishing to Pub/Sub over gRPC: which answers are retried, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import grpc
import pytest

from cli.local.processes import free_port
from tests.grpc_server import GrpcServer, Refusal, grpc_server
from transcripts.errors import PublishUnavailable
from transcripts.google import publisher as publisher_module
from transcripts.google.publisher import PubSubPublisher
from transcripts.ports import Message

TOPIC = "projects/local/topics/callbacks"
STATUSES = [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK]


def message(data: bytes = b"{}") -> Message:
    return Message(data, {"task_id": "t"})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(publisher_module.RETRY, first_pause_s=0.001, max_pause_s=0.01)
    monkeypatch.setattr(publisher_module, "RETRY", quick)


@pytest.fixture
def _one_second(_quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "RETRY", replace(publisher_module.RETRY, timeout_s=1.0))


@pytest.fixture
async def service() -> AsyncIterator[GrpcServer]:
    async with grpc_server() as service:
        yield service


@pytest.mark.parametrize(
    "status", [status for status in STATUSES if status is not grpc.StatusCode.INVALID_ARGUMENT]
)
async def test_publish_answered_with_any_status_is_retried(
    service: GrpcServer, status: grpc.StatusCode
) -> None:
    """Rights spread for minutes, a topic may be on its way, and a lost callback may be paid for."""
    service.refuse(status, times=3)
    await PubSubPublisher(service.host).publish(TOPIC, message())
    assert len(service.requests) == 4
    assert all(request == service.requests[0] for request in service.requests)


@pytest.mark.usefixtures("_one_second")
@pytest.mark.parametrize("status", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND])
async def test_publish_that_is_never_acknowledged_ends_with_its_time(
    service: GrpcServer, status: grpc.StatusCode
) -> None:
    """The log says what Pub/Sub said; the answer does not."""
    service.refuse(status, "at ipv4:10.1.2.3:443", times=1_000_000)
    clock = asyncio.get_running_loop().time
    begin = clock()
    with pytest.raises(PublishUnavailable) as raised:
        await PubSubPublisher(service.host).publish(TOPIC, message())
    assert 0.5 < clock() - begin < 3.0
    assert f"{status.name}: at ipv4:10.1.2.3:443" in raised.value.log_text
    assert "ipv4" not in raised.value.message


async def test_publish_of_a_wrong_message_ends_at_once(service: GrpcServer) -> None:
    """Pub/Sub would refuse it again."""
    service.refuse(grpc.StatusCode.INVALID_ARGUMENT, times=1_000_000)
    with pytest.raises(PublishUnavailable, match="refuses"):
        await PubSubPublisher(service.host).publish(TOPIC, message())
    assert len(service.requests) == 1


async def test_publish_with_a_wrong_message_in_the_batch_publishes_the_others(
    service: GrpcServer,
) -> None:
    """Pub/Sub refuses the whole request; 19 of 20 callbacks have nothing to do with it."""
    accepted: list[bytes] = []

    def check(request: Any, _metadata: Mapping[str, Any]) -> None:
        contents = [each.data for each in request.messages]
        if b"wrong" in contents:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT)
        accepted.extend(contents)

    service.check = check
    publisher = PubSubPublisher(service.host)
    contents = [b"wrong" if n == 13 else str(n).encode() for n in range(20)]
    outcomes = await asyncio.gather(
        *(publisher.publish(TOPIC, message(content)) for content in contents),
        return_exceptions=True,
    )
    assert [n for n, outcome in enumerate(outcomes) if outcome is not None] == [13]
    assert isinstance(outcomes[13], PublishUnavailable)
    assert sorted(accepted) == sorted(set(contents) - {b"wrong"})


@pytest.mark.usefixtures("_one_second")
async def test_publish_without_a_broker_ends_with_its_time() -> None:
    """A broker that starts within the time gets the message."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    with pytest.raises(PublishUnavailable) as raised:
        await PubSubPublisher(f"127.0.0.1:{free_port()}").publish(TOPIC, message())
    assert 0.5 < clock() - begin < 3.0
    assert "UNAVAILABLE" in raised.value.log_text


@pytest.mark.usefixtures("_one_second")
async def test_publish_without_an_identity_looks_for_it_until_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The metadata server of a new instance may answer late."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    publisher = PubSubPublisher(None)
    for _ in range(2):
        with pytest.raises(PublishUnavailable) as raised:
            await publisher.publish(TOPIC, message())
        assert "DefaultCredentialsError" in raised.value.log_text
