"""Cloud Tasks on this machine: its gRPC interface over the embedded queue.

Google has no official emulator. This server only creates tasks and rejects a name that it knows;
``cli.local.queue_runner`` sends them, at the queue's rate, with retries.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import msgspec
from google.cloud.tasks_v2.types import CreateTaskRequest, Task

from transcripts.embedded.queue import SqliteQueue
from transcripts.traces import TRACEPARENT


class TasksServer:
    """Serves ``CreateTask``."""

    def __init__(self, queue: SqliteQueue) -> None:
        self._queue = queue
        self._server = grpc.aio.server()
        self.requests: list[Any] = []
        self.host = ""

    async def start(self) -> None:
        """Serve on a free port of this machine."""
        create_task = grpc.unary_unary_rpc_method_handler(
            self._create_task,
            request_deserializer=CreateTaskRequest.pb().FromString,
            response_serializer=Task.pb().SerializeToString,
        )
        service = grpc.method_handlers_generic_handler(
            "google.cloud.tasks.v2.CloudTasks", {"CreateTask": create_task}
        )
        self._server.add_generic_rpc_handlers((service,))
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self.host = f"127.0.0.1:{port}"

    async def stop(self) -> None:
        """Stop serving."""
        await self._server.stop(None)

    async def _create_task(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        name = request.task.name.rpartition("/")[2]
        sent = request.task.http_request
        submission_id = msgspec.json.decode(sent.body)["submission_id"]
        if not await self._queue.add(name, submission_id, sent.headers.get(TRACEPARENT, "")):
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "The task's name is known.")
        return request.task
