"""A server of Google's gRPC services in this process, whose answers a test chooses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc.aio
from google.cloud.firestore_v1 import types as firestore
from google.cloud.tasks_v2 import types as tasks
from google.pubsub_v1 import types as pubsub


class Refusal(Exception):
    """Ends a call with a status and an explanation."""

    def __init__(self, status: grpc.StatusCode, explanation: str = "injected") -> None:
        super().__init__(explanation)
        self.status = status
        self.explanation = explanation


@dataclass(frozen=True)
class _Method:
    request: Any
    answer: Callable[[Any], Any]
    streams: bool = False


METHODS: Final[Mapping[str, _Method]] = {
    "/google.pubsub.v1.Publisher/Publish": _Method(
        pubsub.PublishRequest.pb(),
        lambda request: pubsub.PublishResponse.pb()(message_ids=["1"] * len(request.messages)),
    ),
    "/google.cloud.tasks.v2.CloudTasks/CreateTask": _Method(
        tasks.CreateTaskRequest.pb(), lambda request: request.task
    ),
    "/google.firestore.v1.Firestore/Commit": _Method(
        firestore.CommitRequest.pb(), lambda _: firestore.CommitResponse.pb()()
    ),
    "/google.firestore.v1.Firestore/BatchGetDocuments": _Method(
        firestore.BatchGetDocumentsRequest.pb(),
        lambda request: firestore.BatchGetDocumentsResponse.pb()(missing=request.documents[0]),
        streams=True,
    ),
    "/google.firestore.v1.Firestore/RunQuery": _Method(
        firestore.RunQueryRequest.pb(),
        lambda _: firestore.RunQueryResponse.pb()(),
        streams=True,
    ),
    "/google.firestore.v1.Firestore/RunAggregationQuery": _Method(
        firestore.RunAggregationQueryRequest.pb(),
        lambda _: firestore.RunAggregationQueryResponse.pb()(),
        streams=True,
    ),
}


@dataclass
class GrpcServer(grpc.GenericRpcHandler):
    """``check`` sees each request and its metadata, and may raise ``Refusal``."""

    check: Callable[[Any, Mapping[str, Any]], None] = lambda _request, _metadata: None
    requests: list[Any] = field(default_factory=list)
    metadata: list[Mapping[str, Any]] = field(default_factory=list)
    port: int = 0

    @property
    def host(self) -> str:
        """Return ``host:port``."""
        return f"127.0.0.1:{self.port}"

    def refuse(
        self, status: grpc.StatusCode, explanation: str = "injected", times: int = 1
    ) -> None:
        """Refuse the next calls."""
        left = times

        def check(_request: Any, _metadata: Mapping[str, Any]) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                raise Refusal(status, explanation)

        self.check = check

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a method."""
        method = METHODS[details.method]
        metadata = {key: value for key, value in details.invocation_metadata}  # noqa: C416 - no dict

        async def answer(request: Any, context: Any) -> Any:
            self.requests.append(request)
            self.metadata.append(metadata)
            try:
                self.check(request, metadata)
            except Refusal as refusal:
                await context.abort(refusal.status, refusal.explanation)
            return method.answer(request)

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            yield await answer(request, context)

        serializers: Any = {
            "request_deserializer": method.request.FromString,
            "response_serializer": lambda message: message.SerializeToString(),
        }
        if method.streams:
            return grpc.unary_stream_rpc_method_handler(stream, **serializers)
        return grpc.unary_unary_rpc_method_handler(answer, **serializers)


@asynccontextmanager
async def grpc_server(
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[GrpcServer]:
    """Serve on a free port of this machine, with TLS if there are credentials."""
    chosen, server = GrpcServer(), grpc.aio.server()
    server.add_generic_rpc_handlers((chosen,))
    if credentials is None:
        chosen.port = server.add_insecure_port("127.0.0.1:0")
    else:
        chosen.port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield chosen
    finally:
        await server.stop(None)
