"""Google's side of a deployed function: a metadata server, and services behind TLS.

A start must be measured with what it needs in the cloud: an access token, a TLS channel, the RPCs
of its first request. The services here answer at once as empty ones do. A proxy leads gRPC to them,
so the functions use Google's real addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any, Final

import grpc
import grpc.aio
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.cloud.firestore_v1 import types as firestore
from google.cloud.tasks_v2 import types as tasks
from google.protobuf.timestamp_pb2 import Timestamp
from google.pubsub_v1 import types as pubsub

from cli.fake_mavi.server import FakeMavi

KEY: Final = "bench"
ACCESS_TOKEN: Final = "made-up"
HOSTS: Final = ("pubsub", "firestore", "cloudtasks")


def _now() -> Timestamp:
    moment = Timestamp()
    moment.GetCurrentTime()
    return moment


class _TokenCheck(grpc.aio.ServerInterceptor):
    """Refuses a call without the access token of the metadata server."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        if dict(details.invocation_metadata).get("authorization") == f"Bearer {ACCESS_TOKEN}":
            return await continuation(details)
        raise grpc.aio.AbortError("no access token")


async def _publish(request: Any, _: Any) -> Any:
    return pubsub.PublishResponse.pb()(message_ids=["1"] * len(request.messages))


async def _create_task(request: Any, _: Any) -> Any:
    return request.task


class Documents:
    """A Firestore of single documents; queries find nothing."""

    def __init__(self) -> None:
        self._documents: dict[str, Any] = {}

    def clear(self) -> None:
        """Forget every document."""
        self._documents.clear()

    async def batch_get(self, request: Any, _: Any) -> AsyncIterator[Any]:
        for name in request.documents:
            response = firestore.BatchGetDocumentsResponse.pb()(read_time=_now())
            if name in self._documents:
                response.found.CopyFrom(self._documents[name])
            else:
                response.missing = name
            yield response

    async def commit(self, request: Any, _: Any) -> Any:
        response = firestore.CommitResponse.pb()(commit_time=_now())
        for write in request.writes:
            self._write(write)
            response.write_results.add(update_time=response.commit_time)
        return response

    def _write(self, write: Any) -> None:
        if write.delete:
            self._documents.pop(write.delete, None)
            return
        kept = self._documents.setdefault(write.update.name, firestore.Document.pb()())
        if not write.HasField("update_mask"):
            kept.Clear()
        kept.name = write.update.name
        kept.update_time.CopyFrom(_now())
        for name, value in write.update.fields.items():
            kept.fields[name].CopyFrom(value)

    async def run_query(self, _request: Any, _: Any) -> AsyncIterator[Any]:
        yield firestore.RunQueryResponse.pb()(read_time=_now())

    async def count(self, _request: Any, _: Any) -> AsyncIterator[Any]:
        response = firestore.RunAggregationQueryResponse.pb()(read_time=_now())
        response.result.aggregate_fields["count"].integer_value = 0
        yield response


_Rpc = tuple[Any, Any, bool]


def _rpcs(documents: Documents) -> Mapping[str, Mapping[str, _Rpc]]:
    """Return for each method its behavior, the class of its request, and whether it streams."""
    return {
        "google.pubsub.v1.Publisher": {"Publish": (_publish, pubsub.PublishRequest, False)},
        "google.firestore.v1.Firestore": {
            "BatchGetDocuments": (documents.batch_get, firestore.BatchGetDocumentsRequest, True),
            "Commit": (documents.commit, firestore.CommitRequest, False),
            "RunQuery": (documents.run_query, firestore.RunQueryRequest, True),
            "RunAggregationQuery": (documents.count, firestore.RunAggregationQueryRequest, True),
        },
        "google.cloud.tasks.v2.CloudTasks": {
            "CreateTask": (_create_task, tasks.CreateTaskRequest, False)
        },
    }


def _certificate() -> tuple[bytes, bytes]:
    """Return a key and a certificate for Google's hosts, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    hosts = [x509.DNSName(f"{host}.googleapis.com") for host in HOSTS]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(pem, form, plain), certificate.public_bytes(pem)


async def _start_services(
    documents: Documents, key: bytes, certificate: bytes
) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(interceptors=[_TokenCheck()])
    for service, methods in _rpcs(documents).items():
        handlers = {}
        for name, (behavior, request, streams) in methods.items():
            make: Any = (
                grpc.unary_stream_rpc_method_handler
                if streams
                else grpc.unary_unary_rpc_method_handler
            )
            handlers[name] = make(
                behavior,
                request_deserializer=request.pb().FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
        generic = grpc.method_handlers_generic_handler(service, handlers)
        server.add_generic_rpc_handlers((generic,))
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    return server, port


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def _proxy(port: int) -> AsyncIterator[int]:
    """Connect every CONNECT to ``port``; yields the proxy's own port."""
    pipes: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        service_reader, service_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        for source, target in ((reader, service_writer), (service_reader, writer)):
            task = asyncio.create_task(_pipe(source, target))
            pipes.add(task)
            task.add_done_callback(pipes.discard)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(pipes):
            task.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)


async def _metadata(request: web.Request) -> web.Response:
    headers = {"Metadata-Flavor": "Google"}
    path = request.path.rstrip("/")
    if path.endswith("/token"):
        token = {"access_token": ACCESS_TOKEN, "expires_in": 3_599, "token_type": "Bearer"}
        return web.json_response(token, headers=headers)
    if path.endswith("/default"):
        return web.json_response({"email": "bench@bench", "scopes": []}, headers=headers)
    return web.Response(text="bench", headers=headers)


@asynccontextmanager
async def _metadata_server() -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_get("/{path:.*}", _metadata)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _serve(documents: Documents, folder: Path) -> AsyncIterator[dict[str, str]]:
    key, certificate = _certificate()
    roots = folder / "roots.pem"
    roots.write_bytes(certificate)
    server, port = await _start_services(documents, key, certificate)
    mavi = FakeMavi(KEY, per_second=0.0)
    await mavi.start()
    # A purchase needs a webhook; no callback is ever delivered there.
    mavi.webhook_url = "http://127.0.0.1:9/"
    asset = mavi.add_asset("talk.mp4")
    try:
        async with _proxy(port) as proxy_port, _metadata_server() as metadata_port:
            yield {
                "K_SERVICE": "bench",
                "GCE_METADATA_HOST": f"127.0.0.1:{metadata_port}",
                "GCE_METADATA_IP": f"127.0.0.1:{metadata_port}",
                "grpc_proxy": f"http://127.0.0.1:{proxy_port}",
                "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(roots),
                "MAVI_BASE_URL": mavi.url,
                "MAVI_API_KEY": KEY,
                "BENCH_ASSET": asset.asset_id,
            }
    finally:
        await mavi.stop()
        await server.stop(None)


@dataclass(frozen=True)
class Deployed:
    """The environment that leads a function to the services, and what Firestore holds."""

    environ: Mapping[str, str]
    documents: Documents


@contextmanager
def deployed() -> Iterator[Deployed]:
    """Serve all of it from a thread."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    documents = Documents()
    with tempfile.TemporaryDirectory() as folder:
        serving = _serve(documents, Path(folder))
        try:
            environ = asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result()
            try:
                yield Deployed(environ, documents)
            finally:
                asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
