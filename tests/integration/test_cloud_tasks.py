"""The Cloud Tasks adapter over real gRPC, on this project's server and on an emulator."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from cli import ROOT
from cli.local.processes import ChildProcess, free_port
from cli.local.queue_runner import QUEUE
from cli.local.tasks_server import TasksServer
from tests.contracts.queue import ID, QueueContract, SendingContract, SubmitEndpoint
from tests.grpc_server import GrpcServer, grpc_server
from tests.queues import INVOKER, Sending, cloud_tasks_sending
from transcripts.errors import QueueUnavailable
from transcripts.google import queue as queue_module
from transcripts.google.queue import CloudTasksQueue
from transcripts.retry import RetryPolicy

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


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GrpcServer]:
    """Cloud Tasks, whose answers a test chooses; pauses are short."""
    quick = RetryPolicy(first_pause_s=0.001, max_pause_s=0.01, timeout_s=0.5)
    monkeypatch.setattr(queue_module, "RETRY", quick)
    async with grpc_server() as service:
        yield service


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED])
async def test_enqueue_with_a_transient_error_is_retried(
    service: GrpcServer, code: grpc.StatusCode
) -> None:
    """It raises ``QueueUnavailable`` when the time is over; only the log has Google's words."""
    service.refuse(code, "at ipv4:10.1.2.3", times=3)
    queue = CloudTasksQueue(QUEUE, "https://submit.example", "", service.host)
    await queue.enqueue(f"{ID}-0", ID)
    assert len(service.requests) == 4
    service.refuse(code, "at ipv4:10.1.2.3", times=1_000_000)
    with pytest.raises(QueueUnavailable) as raised:
        await queue.enqueue(f"{ID}-0", ID)
    assert "ipv4" not in raised.value.message
    assert f"{code.name}: at ipv4:10.1.2.3" in raised.value.log_text


@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND])
async def test_enqueue_with_a_permanent_error_raises_at_once(
    service: GrpcServer, code: grpc.StatusCode
) -> None:
    """An operator must correct the role or the queue."""
    service.refuse(code, times=1_000_000)
    queue = CloudTasksQueue(QUEUE, "https://submit.example", "", service.host)
    with pytest.raises(QueueUnavailable) as raised:
        await queue.enqueue(f"{ID}-0", ID)
    assert code.name in raised.value.log_text
    assert len(service.requests) == 1


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
