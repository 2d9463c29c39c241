"""The Cloud Tasks adapter over real gRPC, on this project's server and on an emulator."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.cloud.tasks_v2.types import CreateTaskRequest

from cli.local.processes import ROOT, ChildProcess, free_port
from cli.local.queue_runner import QUEUE
from cli.local.tasks_server import TasksServer
from tests.contracts.queue import ID, QueueContract, SendingContract, SubmitEndpoint
from tests.queues import INVOKER, Sending, cloud_tasks_sending
from transcripts.errors import QueueUnavailable
from transcripts.google import queue as queue_module
from transcripts.google.queue import CloudTasksQueue

EMULATOR = ROOT / ".tools" / "gcloud-tasks-emulator" / "bin" / "gcloud-tasks-emulator"


class TestOverGrpc(QueueContract):
    """This project's server rejects known names with ALREADY_EXISTS, as Cloud Tasks does."""

    @pytest.fixture
    async def both(self, tmp_path: Path) -> AsyncIterator[tuple[Sending, TasksServer]]:
        async with cloud_tasks_sending(tmp_path) as both:
            yield both

    @pytest.fixture
    def sending(self, both: tuple[Sending, TasksServer]) -> Sending:
        return both[0]

    async def test_enqueue_sends_name_url_deadline_and_identity(
        self, both: tuple[Sending, TasksServer]
    ) -> None:
        """The created task has every field that Cloud Tasks needs."""
        sending, server = both
        await sending.queue.enqueue(f"{ID}-3", ID)
        (request,) = server.requests
        task = request.task
        assert request.parent == QUEUE
        assert task.name == f"{QUEUE}/tasks/{ID}-3"
        assert task.dispatch_deadline.seconds == 1800
        assert task.http_request.url == "https://submit.example"
        assert task.http_request.oidc_token.service_account_email == INVOKER
        assert task.http_request.oidc_token.audience == "https://submit.example"
        assert dict(task.http_request.headers) == {"Content-Type": "application/json"}


class TestForeignEmulator(SendingContract):
    """The independent gcloud-tasks-emulator; it accepts known names, so names are not tested."""

    @pytest.fixture
    async def sending(self, tmp_path: Path) -> AsyncIterator[Sending]:
        if not EMULATOR.exists():
            pytest.fail("run: make .tools/gcloud-tasks-emulator/.installed")
        port = free_port()
        process = ChildProcess(
            "gcloud-tasks-emulator",
            [str(EMULATOR), "start", "-p", str(port), "-d", QUEUE, "-q"],
            port,
            log_file=tmp_path / "emulator.log",
            environ=os.environ,
        )
        await process.start()
        endpoint = SubmitEndpoint()
        url = await endpoint.start()
        yield Sending(CloudTasksQueue(QUEUE, url, "", f"127.0.0.1:{port}"), endpoint)
        await process.stop()
        await endpoint.stop()


class FailingTasks:
    """A server whose CreateTask fails with the given status."""

    def __init__(self, *codes: grpc.StatusCode) -> None:
        self.codes = list(codes)
        self.calls = 0
        self._server = grpc.aio.server()

    async def start(self) -> str:
        handler: Any = grpc.unary_unary_rpc_method_handler(
            self._create_task,
            request_deserializer=CreateTaskRequest.pb().FromString,
            response_serializer=lambda task: task.SerializeToString(),
        )
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "google.cloud.tasks.v2.CloudTasks", {"CreateTask": handler}
                ),
            )
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        await self._server.stop(None)

    async def _create_task(self, request: Any, context: Any) -> Any:
        self.calls += 1
        if self.codes:
            await context.abort(self.codes.pop(0), "injected")
        return request.task


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "FIRST_PAUSE_S", 0.001)


@pytest.mark.usefixtures("_quick")
async def test_enqueue_with_a_transient_error_is_retried() -> None:
    """It raises ``QueueUnavailable`` after the last retry."""
    failing = FailingTasks(*[grpc.StatusCode.UNAVAILABLE] * 3)
    queue = CloudTasksQueue(QUEUE, "https://submit.example", "", await failing.start())
    await queue.enqueue(f"{ID}-0", ID)
    assert failing.calls == 4
    failing.codes = [grpc.StatusCode.UNAVAILABLE] * 9
    with pytest.raises(QueueUnavailable, match="UNAVAILABLE"):
        await queue.enqueue(f"{ID}-0", ID)
    assert failing.calls == 8
    await failing.stop()


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND])
async def test_enqueue_with_a_permanent_error_raises_at_once(code: grpc.StatusCode) -> None:
    """An operator must correct the role or the queue."""
    failing = FailingTasks(code)
    queue = CloudTasksQueue(QUEUE, "https://submit.example", "", await failing.start())
    with pytest.raises(QueueUnavailable, match=code.name):
        await queue.enqueue(f"{ID}-0", ID)
    assert failing.calls == 1
    await failing.stop()


async def test_call_without_a_google_identity_is_transient(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The next call looks for an identity again."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    queue = CloudTasksQueue(QUEUE, "https://submit.example", INVOKER, None)
    results = await asyncio.gather(
        *(queue.enqueue(f"{ID}-{n}", ID) for n in range(2)), return_exceptions=True
    )
    assert all(isinstance(result, QueueUnavailable) for result in results)
