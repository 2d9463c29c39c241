"""The queue of submissions in Cloud Tasks.

The queue's settings (``infra/queue.tf``) limit the rate and retry failed tasks. This module creates
tasks by name: Cloud Tasks rejects a name it knows, so creating a task twice is safe
(https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2#createtaskrequest).
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

import grpc
import msgspec

from transcripts.errors import QueueUnavailable
from transcripts.google.channel import (
    Connection,
    open_channel,
    retry_transient,
    translate_errors,
)
from transcripts.google.messages import Messages
from transcripts.retry import backoff

HOST: Final = "cloudtasks.googleapis.com"

DISPATCH_DEADLINE_S: Final = 1_800
"""Cloud Tasks waits at most this long for an HTTP answer
(https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2#task)."""

RPC_TIMEOUT_S: Final = 10.0
FIRST_PAUSE_S: Final = 0.2
MAX_PAUSE_S: Final = 2.0
MAX_ATTEMPTS: Final = 4

_MESSAGES: Final = Messages("cloudtasks", "google.cloud.tasks.v2")
_REQUEST: Final = _MESSAGES.type("CreateTaskRequest")
_RESPONSE: Final = _MESSAGES.type("Task")


class CloudTasksQueue:
    """One Cloud Tasks queue; its tasks send POST requests to the submit function."""

    def __init__(self, queue: str, url: str, invoker: str, emulator_host: str | None) -> None:
        """Set the queue's path, the URL of submit, and the service account that tasks use."""
        self._queue = queue
        self._url = url
        self._invoker = invoker
        self._emulator_host = emulator_host
        self._connection: Connection[Any] = Connection(self._connect)

    async def _connect(self) -> Any:
        channel = await open_channel(HOST, self._emulator_host)
        return channel.unary_unary(
            "/google.cloud.tasks.v2.CloudTasks/CreateTask",
            request_serializer=_REQUEST.SerializeToString,
            response_deserializer=_RESPONSE.FromString,
        )

    def request(self, name: str, submission_id: str) -> Any:
        """Build the ``CreateTaskRequest``."""
        request = _REQUEST(parent=self._queue)
        task = request.task
        task.name = f"{self._queue}/tasks/{name}"
        task.dispatch_deadline.seconds = DISPATCH_DEADLINE_S
        task.http_request.url = self._url
        task.http_request.http_method = "POST"
        task.http_request.headers["Content-Type"] = "application/json"
        task.http_request.body = msgspec.json.encode({"submission_id": submission_id})
        if self._invoker:
            task.http_request.oidc_token.service_account_email = self._invoker
            task.http_request.oidc_token.audience = self._url
        return request

    async def enqueue(self, name: str, submission_id: str) -> None:
        """Create the task; see ``ports.SubmitQueue``."""
        request = self.request(name, submission_id)
        metadata = (("x-goog-request-params", f"parent={self._queue}"),)

        async def create() -> None:
            create_task = await self._connection.calls(RPC_TIMEOUT_S)
            try:
                await create_task(request, timeout=RPC_TIMEOUT_S, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                    raise

        pauses_s = islice(backoff(FIRST_PAUSE_S, MAX_PAUSE_S), MAX_ATTEMPTS - 1)
        with translate_errors("Cloud Tasks", QueueUnavailable):
            await retry_transient(create, pauses_s)
