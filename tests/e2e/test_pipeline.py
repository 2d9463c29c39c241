"""The whole pipeline as processes: functions-framework, broker, store and a fake Mavi."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import aiohttp
import pytest

from cli.local.processes import free_port, function_process
from cli.local.stack import EMULATORS, Stack
from cli.local.topics import DEAD, KEPT_DEAD, KEPT_REJECTED, KEPT_RESULTS, REJECTED, RESULTS
from tests.builders import callback_body, push_body, shape_names
from tests.e2e.conftest import Start, on_embedded
from tests.polling import eventually
from tests.pubsub import pull, stored_messages
from tests.stored import read_raw, read_submission
from transcripts.callbacks.message import decompress, pack
from transcripts.embedded.database import FILE_NAME, Database
from transcripts.embedded.publisher import SqlitePublisher
from transcripts.google.publisher import PubSubPublisher
from transcripts.logs import utc_now
from transcripts.ports import Message, Publisher
from transcripts.submissions.submission import State, submission_id_of_asset
from transcripts.tasks.task import Status, Task


async def submit(stack: Stack, asset_id: str, **more: Any) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as client,
        client.post(stack.url("submit"), json={"asset_id": asset_id, **more}) as response,
    ):
        return response.status, await response.json()


async def post_callback(stack: Stack, body: bytes) -> int:
    async with (
        aiohttp.ClientSession() as client,
        client.post(stack.callback_url, data=body) as response,
    ):
        await response.read()
        return response.status


async def result(stack: Stack, task_id: str, status: Status = Status.SUCCEEDED) -> Task:
    found: list[Task] = []

    async def is_there() -> bool:
        task = await stack.tasks.read_task(task_id)
        if task is not None and task.status is status:
            found.append(task)
        return bool(found)

    await eventually(is_there, within_s=60)
    return found[0]


async def kept(stack: Stack, topic: str, subscription: str) -> list[dict[str, str]]:
    """Return the attributes of the messages of a subscription that keeps them."""
    if stack.options.backend == EMULATORS:
        host = stack.environ["PUBSUB_EMULATOR_HOST"]
        messages = await asyncio.to_thread(pull, host, subscription)
    else:
        database = Database(stack.options.data_dir)
        messages = await stored_messages(database, topic)
        database.close()
    return [message.attributes for message in messages]


def events(stack: Stack, name: str) -> list[dict[str, Any]]:
    return [event for event in stack.events if event["message"] == name]


async def test_asset_becomes_a_transcript(start: Start) -> None:
    """Submit, Mavi, callback, broker, subscriber and store work together."""
    stack = await start()
    asset = stack.mavi.add_asset("talk.mp4")
    status, answer = await submit(stack, asset.asset_id, labels={"case": "7"})
    assert status == 202
    task = await result(stack, answer["task_id"])
    assert (task.segment_count, len(task.speakers)) == (10, 3)
    assert (task.submission_id, task.asset_id, task.labels) == (
        submission_id_of_asset(asset.asset_id),
        asset.asset_id,
        {"case": "7"},
    )
    assert task.revision is not None
    raw = await read_raw(stack.tasks, task.task_id, task.revision)
    assert raw is not None
    assert b"survey came back" in decompress(raw)
    status, again = await submit(stack, asset.asset_id)
    assert (status, again["duplicate"], again["task_id"]) == (200, True, task.task_id)
    assert len(stack.mavi.account.jobs) == 1
    logs = b"".join(path.read_bytes() for path in (stack.options.data_dir / "logs").glob("*.log"))
    for secret in (stack.token, stack.key, "Ada Example", "survey came back"):
        assert secret.encode() not in logs


@on_embedded
async def test_callbacks_of_every_kind_reach_their_end(start: Start) -> None:
    """Early, duplicate, failed, foreign, malformed and very large callbacks."""
    stack = await start()
    faults = stack.mavi.faults

    async def buy() -> str:
        _, answer = await submit(stack, stack.mavi.add_asset("a.mp4").asset_id)
        return str(answer["task_id"])

    faults.early = 1
    early = await result(stack, await buy())
    assert early.submission_id is not None
    faults.duplicate = 1
    await result(stack, await buy())
    await eventually(lambda: bool(events(stack, "result_duplicate")))
    faults.failed = 1
    failed = await result(stack, await buy(), Status.FAILED)
    assert failed.provider is not None
    assert (failed.provider.detail, failed.kind) == ("Multimodal ASR failed", "multi_speaker")
    shapes = faults.foreign = len(shape_names()) - 1
    foreign = await asyncio.gather(*(buy() for _ in range(shapes)))
    await asyncio.gather(*(result(stack, task_id, Status.UNRECOGNIZED) for task_id in foreign))
    faults.giant = 1
    giant = await result(stack, await buy())
    assert giant.pages > 1
    assert len(giant.segments) == giant.segment_count > 100_000
    faults.malformed = 1
    await buy()

    async def is_kept() -> bool:
        return [item["reason"] for item in await kept(stack, REJECTED, KEPT_REJECTED)] == [
            "invalid_json"
        ]

    await eventually(is_kept)

    def statuses() -> list[int]:
        return [delivery["status"] for delivery in stack.mavi.deliveries]

    # The fake notes an answer after the function has published the body.
    await eventually(lambda: 400 in statuses())
    assert statuses().count(200) == len(statuses()) - 1


@on_embedded
async def test_submit_after_a_lost_answer_returns_409(start: Start) -> None:
    """The first answer is 504; the callback of the unknown job is stored without a submission."""
    stack = await start({"lost_answer": 1})
    asset = stack.mavi.add_asset("a.mp4")
    status, answer = await submit(stack, asset.asset_id)
    assert (status, answer["error"]["code"]) == (504, "submit_unknown")
    status, answer = await submit(stack, asset.asset_id)
    assert (status, answer["error"]["code"]) == (409, "submit_unknown")
    (job,) = stack.mavi.account.jobs
    task = await result(stack, job.task_id)
    assert task.submission_id is None
    submission = await read_submission(stack.documents, submission_id_of_asset(asset.asset_id))
    assert submission is not None
    assert submission.state is State.SUBMIT_UNKNOWN


@on_embedded
async def test_submit_many_at_once_buys_each_asset_once(start: Start) -> None:
    """Fifty assets are submitted by a hundred identical requests."""
    stack = await start(mavi_per_second=0.0)
    assets = [stack.mavi.add_asset(f"{n}.mp4").asset_id for n in range(3)]
    answers = await asyncio.gather(*(submit(stack, asset) for asset in assets * 30))
    assert {status for status, _ in answers} == {200, 202}
    tasks = {answer["task_id"] for _, answer in answers}
    assert len(tasks) == len(stack.mavi.account.jobs) == 3
    for task_id in tasks:
        await result(stack, task_id)


async def test_submit_in_two_processes_buys_once(start: Start) -> None:
    """Two revisions run side by side during a deployment."""
    stack = await start()
    asset_id = stack.mavi.add_asset("a.mp4").asset_id
    port = free_port()
    log_file = stack.options.data_dir / "logs" / "submit-2.log"
    other = function_process("submit", port, stack.environ, log_file)
    await other.start()

    async def order(client: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, Any]]:
        async with client.post(url, json={"asset_id": asset_id}) as response:
            return response.status, await response.json()

    try:
        async with aiohttp.ClientSession() as client:
            urls = [stack.url("submit"), other.url] * 50
            answers = await asyncio.gather(*(order(client, url) for url in urls))
            later = await asyncio.gather(*(order(client, url) for url in urls[:2]))
    finally:
        await other.stop()
    (job,) = stack.mavi.account.jobs
    statuses = [status for status, _ in answers]
    assert set(statuses) <= {200, 202, 409}
    assert statuses.count(202) == 1
    assert {answer["task_id"] for status, answer in answers if status != 409} == {job.task_id}
    for status, answer in later:
        assert (status, answer["duplicate"], answer["task_id"]) == (200, True, job.task_id)


async def test_poison_message_is_dead_lettered(start: Start, backend: str) -> None:
    """The dead letter keeps its data and attributes."""
    stack = await start(functions=("subscriber",))
    # A newer callback function may write a schema that this subscriber does not know.
    poison = callback_body(task_id="poison")
    database = Database(stack.options.data_dir)
    publisher: Publisher = SqlitePublisher(database)
    if backend == EMULATORS:
        publisher = PubSubPublisher(stack.environ["PUBSUB_EMULATOR_HOST"])
    attributes = {"task_id": "poison", "schema": "99"}
    await publisher.publish(stack.environ["CALLBACK_TOPIC"], Message(poison, attributes))
    database.close()

    async def is_dead() -> bool:
        return [item["task_id"] for item in await kept(stack, DEAD, KEPT_DEAD)] == ["poison"]

    await eventually(is_dead, within_s=90)
    assert len(events(stack, "callback_poisoned")) >= 5
    assert await stack.tasks.read_task("poison") is None


async def test_subscriber_killed_gets_the_messages_again(start: Start) -> None:
    """It is killed before the callbacks and started after them."""
    stack = await start(functions=("callback", "subscriber"))
    subscriber = stack.processes["subscriber"]
    await subscriber.stop(signal.SIGKILL)
    for number in range(10):
        assert await post_callback(stack, callback_body(task_id=f"t{number}")) == 200
    await subscriber.start()
    for number in range(10):
        await result(stack, f"t{number}")


@pytest.mark.emulators
@pytest.mark.parametrize("backend", [EMULATORS])
async def test_subscriber_killed_before_it_publishes_publishes_later(start: Start) -> None:
    """It is killed after its commit, while the broker does not answer; then the push is repeated.

    The test repeats the push, since the emulator repeats a push whose connection was reset only
    after some minutes.
    """
    stack = await start({}, functions=("subscriber",), environ={"RESULTS_TOPIC": RESULTS})
    message = pack(callback_body(task_id="t"), utc_now(), {"task_id": "t"})
    push = push_body(message.data, message.attributes)
    reached = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            reached.set()
        writer.close()

    silent = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    host, port = silent.sockets[0].getsockname()
    usual = stack.processes["subscriber"]
    await usual.stop()
    log_file = stack.options.data_dir / "logs" / "subscriber-2.log"
    environ = {**stack.environ, "PUBSUB_EMULATOR_HOST": f"{host}:{port}"}
    doomed = function_process("subscriber", usual.port, environ, log_file)
    await doomed.start()
    try:
        async with aiohttp.ClientSession() as client:
            pushing = asyncio.ensure_future(client.post(doomed.url, data=push))
            await result(stack, "t")
            async with asyncio.timeout(30):
                await reached.wait()
            await doomed.stop(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await pushing
            assert await kept(stack, RESULTS, KEPT_RESULTS) == []
            await usual.start()
            async with client.post(usual.url, data=push) as response:
                assert response.status == 204
        (event,) = await kept(stack, RESULTS, KEPT_RESULTS)
        assert (event["task_id"], event["status"]) == ("t", "succeeded")
    finally:
        await doomed.stop()
        silent.close()


async def test_results_topic_is_told_of_every_result(start: Start) -> None:
    """Of a stored one and of a duplicate, with what is stored."""
    stack = await start(
        {}, functions=("callback", "subscriber"), environ={"RESULTS_TOPIC": RESULTS}
    )
    told: list[dict[str, str]] = []

    async def are_told(number: int) -> bool:
        found = await kept(stack, RESULTS, KEPT_RESULTS)
        # A pull takes the messages away, the embedded broker shows all that it keeps.
        told[:] = [*told, *found] if stack.options.backend == EMULATORS else found
        return len(told) >= number

    for number in (1, 2):
        assert await post_callback(stack, callback_body(task_id="t")) == 200
        await eventually(partial(are_told, number), within_s=60)
    assert {event["task_id"] for event in told} == {"t"}
    assert {event["status"] for event in told} == {"succeeded"}


@on_embedded
async def test_early_result_is_told_again_with_its_submission(start: Start) -> None:
    """Mavi calls back before it answers submit, so the first event has no submission."""
    stack = await start(environ={"RESULTS_TOPIC": RESULTS})
    stack.mavi.faults.early = 1
    _, bought = await submit(stack, stack.mavi.add_asset("talk.mp4").asset_id)
    told: list[dict[str, str]] = []

    async def is_told() -> bool:
        found = await kept(stack, RESULTS, KEPT_RESULTS)
        told[:] = [*told, *found] if stack.options.backend == EMULATORS else found
        return any("submission_id" in event for event in told)

    await eventually(is_told, within_s=60)
    assert {event["task_id"] for event in told} == {bought["task_id"]}
    submissions = {event["submission_id"] for event in told if "submission_id" in event}
    assert submissions == {bought["submission_id"]}


async def test_callback_without_a_broker_returns_503(start: Start, backend: str) -> None:
    """The same callback is stored once the broker is back."""
    stack = await start(functions=("callback", "subscriber"))
    body = callback_body(task_id="t")
    if backend == EMULATORS:
        with paused_pubsub(stack):
            assert await post_callback(stack, body) == 503
    else:
        lock = sqlite3.connect(stack.options.data_dir / FILE_NAME)
        lock.execute("BEGIN EXCLUSIVE")
        assert await post_callback(stack, body) == 503
        lock.rollback()
        lock.close()
    assert await post_callback(stack, body) == 200
    await result(stack, "t")


@contextmanager
def paused_pubsub(stack: Stack) -> Iterator[None]:
    (group,) = [
        each.process.pid for each in stack.emulators if each.variable == "PUBSUB_EMULATOR_HOST"
    ]
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


@on_embedded
async def test_callback_without_a_token_returns_an_empty_404(start: Start) -> None:
    """The answer is the same for every method and path."""
    stack = await start(functions=("callback",))
    async with aiohttp.ClientSession() as client:
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"):
            for path in ("/", "/wrong", f"/{stack.token}x"):
                async with client.request(
                    method, stack.url("callback") + path, data=b"x"
                ) as response:
                    assert (response.status, await response.read()) == (404, b"")


@on_embedded
async def test_callback_of_a_broken_client_publishes_nothing(start: Start) -> None:
    """The body is cut off, too large, or never ends."""
    stack = await start(functions=("callback",))
    port = stack.processes["callback"].port
    head = f"POST /{stack.token} HTTP/1.1\r\nHost: x\r\n"

    async def talk(content: bytes, *, hang_up: bool = False) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(content)
        if hang_up:
            writer.write_eof()
        try:
            async with asyncio.timeout(20):
                return await reader.read(1000)
        finally:
            writer.close()

    too_large = await talk(f"{head}Content-Length: 33554433\r\n\r\n".encode())
    assert too_large.startswith(b"HTTP/1.1 413 ")
    await talk(f"{head}Content-Length: 1000\r\n\r\n".encode() + b"{", hang_up=True)
    endless = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"

    def flood() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(endless)
            with suppress(ConnectionError):
                for _ in range(40):
                    connection.sendall(chunk)
            # An answer sent before the connection was cut can still be read.
            return connection.recv(1000)

    assert (await asyncio.to_thread(flood)).startswith(b"HTTP/1.1 413 ")
    assert await post_callback(stack, callback_body()) == 200
