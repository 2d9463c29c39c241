"""The queue of submissions in Cloud Tasks.

The queue's settings (``infra/queue.tf``) limit the rate and retry failed tasks. This module creates
tasks by name: Cloud Tasks rejects a name it knows, so creating a task twice is safe
(https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2#createtaskrequest).
"""

from __future__ import annotations

from typing import Final

import grpc
import msgspec
from google.api_core import exceptions
from google.api_core.retry import if_exception_type
from google.cloud.tasks_v2 import (
    CloudTasksAsyncClient,
    CreateTaskRequest,
    HttpMethod,
    HttpRequest,
    OidcToken,
    Task,
)

from transcripts import traces
from transcripts.errors import QueueUnavailable
from transcripts.google.channel import Connection, async_retry, translate_errors
from transcripts.retry import RetryPolicy

HOST: Final = "cloudtasks.googleapis.com"

DISPATCH_DEADLINE_S: Final = 1_800
"""Cloud Tasks waits at most this long for an HTTP answer
(https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2#task)."""

RPC_TIMEOUT_S: Final = 10.0
RETRY: Final = RetryPolicy(first_pause_s=0.2, max_pause_s=2.0, timeout_s=10.0)

_is_retried = if_exception_type(
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.ResourceExhausted,
    exceptions.ServiceUnavailable,
    # The next attempt has another access token.
    exceptions.Unauthenticated,
    exceptions.Unknown,
)


class CloudTasksQueue:
    """One Cloud Tasks queue; its tasks send POST requests to the submit function."""

    def __init__(self, queue: str, url: str, invoker: str, emulator_host: str | None) -> None:
        """Set the queue's path, the URL of submit, and the service account that tasks use."""
        self._queue = queue
        self._url = url
        self._invoker = invoker
        self._connection = Connection(HOST, emulator_host, CloudTasksAsyncClient)

    async def enqueue(self, name: str, submission_id: str) -> None:
        """Create the task; see ``ports.SubmitQueue``."""
        headers = {"Content-Type": "application/json"}
        if traceparent := traces.traceparent():
            headers[traces.TRACEPARENT] = traceparent
        token = OidcToken(service_account_email=self._invoker, audience=self._url)
        request = CreateTaskRequest(
            parent=self._queue,
            task=Task(
                name=f"{self._queue}/tasks/{name}",
                dispatch_deadline={"seconds": DISPATCH_DEADLINE_S},
                http_request=HttpRequest(
                    url=self._url,
                    http_method=HttpMethod.POST,
                    headers=headers,
                    body=msgspec.json.encode({"submission_id": submission_id}),
                    oidc_token=token if self._invoker else None,
                ),
            ),
        )

        async def attempt() -> None:
            async with self._connection.client(RPC_TIMEOUT_S) as client:
                await client.create_task(request=request, retry=None, timeout=RPC_TIMEOUT_S)

        with translate_errors(_error):
            try:
                await async_retry(RETRY, _is_retried, RETRY.timeout_s)(attempt)()
            except exceptions.AlreadyExists:
                return


def _error(_: grpc.StatusCode | None, explanation: str) -> QueueUnavailable:
    return QueueUnavailable("Cloud Tasks did not take the task.", explanation=explanation)
