"""The contract of ``ports.SubmitQueue`` and of the runner that sends its tasks."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

import msgspec
from aiohttp import web

from tests.polling import eventually
from transcripts import traces
from transcripts.ports import SubmitQueue

ID = "0123456789abcdef0123456789abcdef"
CONTEXT = f"00-{ID}-0123456789abcdef-01"


class SubmitEndpoint:
    """A stand-in for submit: counts the requests of the queue, and may answer 503."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str | None]] = []
        self.traces: list[str | None] = []
        self.at_once = self.most_at_once = 0
        self.times: list[float] = []
        self.refusals = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Serve, and return the address."""
        application = web.Application()
        application.router.add_post("/", self._run)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = self._runner.addresses[0][1]
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Stop serving."""
        self.hold.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def counts(self) -> Counter[str]:
        """How often each submission was sent."""
        return Counter(submission_id for submission_id, _ in self.received)

    async def _run(self, request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read(), type=dict[str, str])
        assert set(body) == {"submission_id"}
        self.times.append(asyncio.get_running_loop().time())
        self.received.append((body["submission_id"], request.headers.get("Content-Type")))
        self.traces.append(request.headers.get(traces.TRACEPARENT))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.hold.wait()
        self.at_once -= 1
        if self.refusals:
            self.refusals -= 1
            return web.Response(status=503)
        return web.Response(status=200)


class QueueUnderTest(Protocol):
    """A queue that sends to an endpoint."""

    queue: SubmitQueue
    endpoint: SubmitEndpoint


class SendingContract:
    """Tests for every queue and for emulators of Cloud Tasks. Subclasses provide ``sending``."""

    async def test_enqueue_sends_the_submission_id(self, sending: QueueUnderTest) -> None:
        """The body is JSON with the submission id only."""
        await sending.queue.enqueue(f"{ID}-0", ID)
        await eventually(lambda: bool(sending.endpoint.received))
        assert sending.endpoint.received == [(ID, "application/json")]

    async def test_enqueue_in_a_request_sends_its_trace(self, sending: QueueUnderTest) -> None:
        """A task of no request has no trace."""

        async def request() -> None:
            traces.begin({traces.TRACEPARENT: CONTEXT})
            await sending.queue.enqueue(f"{ID}-1", ID)

        await sending.queue.enqueue(f"{ID}-0", ID)
        await eventually(lambda: sending.endpoint.traces == [None])
        await asyncio.create_task(request())
        await eventually(lambda: sending.endpoint.traces == [None, CONTEXT])

    async def test_enqueue_refused_is_repeated(self, sending: QueueUnderTest) -> None:
        """The queue sends a task again until the answer is 200."""
        sending.endpoint.refusals = 2
        await sending.queue.enqueue(f"{ID}-0", ID)
        await eventually(lambda: len(sending.endpoint.received) >= 3)
        await sending.queue.enqueue("f" * 32 + "-0", "f" * 32)
        await eventually(lambda: "f" * 32 in sending.endpoint.counts)
        assert sending.endpoint.counts[ID] == 3


class QueueContract(SendingContract):
    """Tests of names and rate, which an emulator need not keep."""

    async def test_enqueue_with_a_known_name_adds_nothing(self, sending: QueueUnderTest) -> None:
        """A name is known while its task waits, while it runs, and after it."""
        sending.endpoint.hold.clear()
        await asyncio.gather(*(sending.queue.enqueue(f"{ID}-0", ID) for _ in range(20)))
        await eventually(lambda: bool(sending.endpoint.received))
        await sending.queue.enqueue(f"{ID}-0", ID)
        sending.endpoint.hold.set()
        await eventually(lambda: sending.endpoint.at_once == 0)
        await sending.queue.enqueue(f"{ID}-0", ID)
        await sending.queue.enqueue(f"{ID}-1", ID)
        await eventually(lambda: len(sending.endpoint.received) >= 2)
        assert sending.endpoint.counts == {ID: 2}

    async def test_enqueue_hundreds_at_once_sends_each_once(self, sending: QueueUnderTest) -> None:
        """Each of hundreds of tasks is sent once, with its own id."""
        ids = [f"{number:032x}" for number in range(200)]
        await asyncio.gather(*(sending.queue.enqueue(f"{each}-0", each) for each in ids))
        await eventually(lambda: len(sending.endpoint.received) >= 200)
        assert sending.endpoint.counts == dict.fromkeys(ids, 1)
        assert sending.endpoint.most_at_once <= 4
