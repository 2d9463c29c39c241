"""The queue of submissions in Cloud Tasks.

The queue's own settings (``infra/queue.tf``) keep the provider's pace and retry; here a task is
made, under a name by which Cloud Tasks itself refuses a repetition
(https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2#createtaskrequest).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
import msgspec
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport
from google.cloud.tasks_v2.types import CreateTaskRequest, HttpMethod, Task

from transcripts.errors import QueueUnavailable
from transcripts.google.channel import ChannelError, Connection, describe, open_channel

DISPATCH_DEADLINE_S: Final = 1_800
"""The longest that Cloud Tasks waits for an answer."""

RPC_TIMEOUT_S: Final = 10.0
FIRST_PAUSE_S: Final = 0.2
ATTEMPTS: Final = 4

_REQUEST: Final = CreateTaskRequest.pb()
_RESPONSE: Final = Task.pb()

_TRANSIENT: Final = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)


class CloudTasksQueue:
    """One queue of Cloud Tasks, whose tasks POST to the submit function."""

    def __init__(self, queue: str, url: str, invoker: str, emulator_host: str | None) -> None:
        """Take the queue's path, submit's address, and the service account tasks come from."""
        self._queue = queue
        self._url = url
        self._invoker = invoker
        self._emulator_host = emulator_host
        self._connection: Connection[Any] = Connection(self._connect)

    async def _connect(self) -> Any:
        channel = await open_channel(CloudTasksGrpcAsyncIOTransport, self._emulator_host)
        return channel.unary_unary(
            "/google.cloud.tasks.v2.CloudTasks/CreateTask",
            request_serializer=_REQUEST.SerializeToString,
            response_deserializer=_RESPONSE.FromString,
        )

    def request(self, name: str, submission_id: str) -> Any:
        """Make the ``CreateTaskRequest``."""
        request = _REQUEST(parent=self._queue)
        task = request.task
        task.name = f"{self._queue}/tasks/{name}"
        task.dispatch_deadline.seconds = DISPATCH_DEADLINE_S
        task.http_request.url = self._url
        task.http_request.http_method = HttpMethod.POST.value
        task.http_request.headers["Content-Type"] = "application/json"
        task.http_request.body = msgspec.json.encode({"submission_id": submission_id})
        if self._invoker:
            task.http_request.oidc_token.service_account_email = self._invoker
            task.http_request.oidc_token.audience = self._url
        return request

    async def enqueue(self, name: str, submission_id: str) -> None:
        """Make the task; see ``ports.SubmitQueue``."""
        request = self.request(name, submission_id)
        metadata = (("x-goog-request-params", f"parent={self._queue}"),)
        for attempts_left in range(ATTEMPTS - 1, -1, -1):
            try:
                create_task = await self._connection.calls(RPC_TIMEOUT_S)
                await create_task(request, timeout=RPC_TIMEOUT_S, metadata=metadata)
            except ChannelError as error:
                raise QueueUnavailable(f"Cloud Tasks: {describe(error)}.") from error
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                    return
                if error.code() not in _TRANSIENT or not attempts_left:
                    raise QueueUnavailable(f"Cloud Tasks: {describe(error)}.") from error
            else:
                return
            await asyncio.sleep(FIRST_PAUSE_S * 2 ** (ATTEMPTS - 1 - attempts_left))
