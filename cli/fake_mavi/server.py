"""The fake's HTTP interface: Mavi's under its base path, its own under ``/_fake``."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Callable
from pathlib import Path
from time import time
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from cli.fake_mavi import callbacks
from cli.fake_mavi.account import Account, Asset, Job, Limiter
from cli.fake_mavi.faults import Faults
from transcripts.ids import usable_id

BASE_PATH: Final = "/serve/api/v2"
SUBMIT_PATH: Final = "/transcriptions/async-generate-multi-speaker"
AMBIGUOUS: Final = "Request has exceeded the limit."
NO_WEBHOOK: Final = "An async request requires at least one webhook."
TEXTS: Final = {
    400: AMBIGUOUS,
    401: "Unauthorized",
    402: "Insufficient balance",
    403: "Account disabled or address not allowed",
    429: "Rate limit exceeded",
    500: "Internal error",
    503: "Service unavailable",
}
SIGNED_URL_EXPIRES_S: Final = 93_600
WEBHOOK_TIMEOUT_S: Final = 30.0
CHUNK_BYTES: Final = 256 * 1024


class FakeMavi:
    """One account of the provider, and the webhook it posts to."""

    def __init__(
        self,
        key: str,
        *,
        webhook_url: str | None = None,
        faults: Faults | None = None,
        per_second: float = 1.0,
        recorded: bytes | None = None,
        journal: Path | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        """``recorded`` is a callback to post as it is, byte for byte; ``journal`` keeps assets."""
        self._key = key
        self._clock = clock
        self._recorded = recorded
        self._foreign_kinds = itertools.cycle(callbacks.FOREIGN_KINDS)
        self._held: list[tuple[Job | None, bytes]] = []
        self._posting: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.webhook_url = webhook_url
        self.faults = faults or Faults()
        self.account = Account(self.faults, clock, journal)
        self.limiter = Limiter(per_second, clock)
        self.deliveries: list[dict[str, Any]] = []
        self.keys_given_away = 0
        self.url = ""
        self.admin_url = ""

    async def start(self, port: int = 0) -> None:
        """Serve on this machine; ``url`` is the API's base address then."""
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT_S))
        self._runner = web.AppRunner(self._application(), access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}{BASE_PATH}"
        self.admin_url = f"http://127.0.0.1:{port}/_fake"

    async def stop(self) -> None:
        """Stop serving and posting."""
        for task in list(self._posting):
            task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=2**40)
        route = application.router
        for endpoint, method, path, handler in (
            ("upload", "POST", f"{BASE_PATH}/upload", self._upload),
            ("signed_url", "POST", f"{BASE_PATH}/upload/signed-url", self._signed_url),
            ("signed", "*", "/signed/{asset_id}", self._signed_upload),
            ("metadata", "GET", f"{BASE_PATH}/{{asset_id}}/metadata", self._metadata),
            ("delete", "DELETE", f"{BASE_PATH}/{{asset_id}}", self._delete),
            ("submit", "POST", f"{BASE_PATH}{SUBMIT_PATH}", self._submit),
        ):
            route.add_route(method, path, self._limited(endpoint, handler))
        route.add_get("/_fake", self._show)
        route.add_patch("/_fake/faults", self._set_faults)
        route.add_put("/_fake/webhook", self._set_webhook)
        route.add_post("/_fake/assets", self._make_asset)
        route.add_post("/_fake/callbacks", self._post_callback)
        return application

    # The provider's own interface

    def _limited(self, endpoint: str, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            # A signed address is used without the key.
            if endpoint != "signed" and request.headers.get("Authorization") != self._key:
                return _refusal(401)
            ordered = self.faults.take_answer(endpoint)
            if ordered is not None:
                return _refusal(ordered)
            if not self.limiter.allows(endpoint):
                return _refusal(self.faults.rate_limit_status)
            return await handler(request)

        return handle

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        received = await _receive_file(request)
        if received is None:
            return _refusal(400)
        filename, size, digest = received
        asset = self.account.add_asset(filename, complete=False)
        self.account.complete(asset, size, digest)
        return self._answer({"asset_id": asset.asset_id})

    async def _signed_url(self, request: web.Request) -> web.StreamResponse:
        content = await _json(request)
        filename = content.get("original_filename")
        if not isinstance(filename, str) or not filename:
            return _refusal(400)
        asset = self.account.add_asset(filename, complete=False)
        return self._answer(
            {
                "asset_id": asset.asset_id,
                "signed_url": f"{request.url.origin()}/signed/{asset.asset_id}",
                "expires_in": SIGNED_URL_EXPIRES_S,
            }
        )

    async def _signed_upload(self, request: web.Request) -> web.StreamResponse:
        """Receive the bytes; the answer is undocumented. A client must not send its key here."""
        asset = self.account.assets.get(request.match_info["asset_id"])
        if asset is None or request.method != self.faults.signed_url_method:
            return web.Response(status=403, text="SignatureDoesNotMatch")
        if "Authorization" in request.headers:
            self.keys_given_away += 1
        if request.method == "PUT":
            size, digest = await _digest(request.content.iter_chunked(CHUNK_BYTES))
        else:
            received = await _receive_file(request)
            if received is None:
                return web.Response(status=400)
            _, size, digest = received
        self.account.complete(asset, size, digest)
        return web.Response(status=200)

    async def _metadata(self, request: web.Request) -> web.StreamResponse:
        asset = self.account.assets.get(request.match_info["asset_id"])
        if asset is None:
            return _refusal(400, "Asset not found")
        return self._answer({"total": 1, "resource": [self.account.metadata(asset)]})

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        if not self.account.delete(request.match_info["asset_id"]):
            return _refusal(400, "Asset not found")
        return self._answer(None)

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        asset_id = (await _json(request)).get("asset_id")
        if not isinstance(asset_id, str) or not asset_id:
            return _refusal(400, "asset_id cannot be null or empty")
        if self.webhook_url is None:
            return _refusal(400, NO_WEBHOOK)
        asset = self.account.assets.get(asset_id)
        if asset is None or self.account.upload_status(asset) != "SUCCESS":
            return _refusal(400)
        job = self.account.buy(asset_id, self._recorded_task_id())
        body = self._callback_of(job)
        if self.faults.take("early"):
            await self._deliver(job, body)
        else:
            task = asyncio.create_task(self._deliver(job, body, self.faults.callback_delay_s))
            self._posting.add(task)
            task.add_done_callback(self._posting.discard)
        if self.faults.take("lost_answer"):
            job.answered = False
            if request.transport is not None:
                request.transport.abort()
        return self._answer({"task_id": job.task_id})

    def _answer(self, data: object) -> web.Response:
        code = "0000" if self.faults.generation == 1 else 200
        return web.json_response(
            {"code": code, "msg": "success", "data": data, "success": True, "failed": False}
        )

    # Callbacks

    def _recorded_task_id(self) -> str | None:
        if self._recorded is None:
            return None
        try:
            task_id = msgspec.json.decode(self._recorded)["task_id"]
        except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError):
            return None
        # An unusable id is replaced, and callback reports it.
        return task_id if isinstance(task_id, str) and usable_id(task_id) else None

    def _callback_of(self, job: Job) -> bytes:
        """Make the body of the job's callback; a real model needs minutes for a job."""
        faults, generation = self.faults, self.faults.generation
        if self._recorded is not None:
            return self._recorded
        if faults.take("malformed"):
            return callbacks.MALFORMED
        if faults.take("failed"):
            content = callbacks.failed()
        elif faults.take("giant"):
            content = callbacks.giant(faults.giant_bytes)
        elif faults.take("foreign"):
            content = callbacks.shape(next(self._foreign_kinds))
        else:
            content = callbacks.shape("multi_speaker")
        return callbacks.body_of(content, job.task_id, generation)

    async def _deliver(self, job: Job, body: bytes, delay_s: float = 0.0) -> None:
        await asyncio.sleep(delay_s)
        if self.faults.take("drop"):
            return
        if self.faults.take("reorder"):
            self._held.append((job, body))
            return
        await self._post(job, body)
        if self.faults.take("duplicate"):
            await self._post(job, body)
        while self._held:
            await self._post(*self._held.pop())

    async def _post(self, job: Job | None, body: bytes) -> None:
        """Post the callback once, whatever the answer: no retry is documented."""
        if self.webhook_url is None or self._client is None:
            return
        status: int | None = None
        try:
            async with self._client.post(
                self.webhook_url,
                data=io.BytesIO(body),
                headers={"Content-Type": "application/json"},
            ) as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError):
            status = None
        if job is not None:
            job.posted += 1
        self.deliveries.append({"task_id": job.task_id if job else None, "status": status})

    # The fake's own interface

    async def _show(self, _: web.Request) -> web.StreamResponse:
        content = {
            "webhook_url": self.webhook_url,
            "faults": self.faults,
            "assets": list(self.account.assets.values()),
            "jobs": self.account.jobs,
            "deliveries": self.deliveries,
            "requests": self.limiter.requests,
            "violations": self.limiter.violations,
        }
        return web.Response(body=msgspec.json.encode(content), content_type="application/json")

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        changes = await _json(request)
        try:
            merged = msgspec.convert(msgspec.to_builtins(self.faults) | changes, Faults)
        except msgspec.ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        for name in Faults.__struct_fields__:
            setattr(self.faults, name, getattr(merged, name))
        return await self._show(request)

    async def _set_webhook(self, request: web.Request) -> web.StreamResponse:
        self.webhook_url = (await _json(request)).get("url")
        return await self._show(request)

    async def _make_asset(self, request: web.Request) -> web.StreamResponse:
        filename = str((await _json(request)).get("filename", "talk.mp4"))
        return self._answer({"asset_id": self.add_asset(filename).asset_id})

    def add_asset(self, filename: str) -> Asset:
        """Make an asset that is ready to be submitted."""
        return self.account.add_asset(filename, complete=True)

    async def _post_callback(self, request: web.Request) -> web.StreamResponse:
        await self._post(None, await request.read())
        return web.json_response(self.deliveries[-1] if self.deliveries else {})


def _refusal(status: int, text: str | None = None) -> web.Response:
    content = {"code": status, "msg": text or TEXTS.get(status, "Error"), "data": None}
    return web.json_response(content, status=status)


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(await request.read())
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


async def _receive_file(request: web.Request) -> tuple[str, int, str] | None:
    """Read the multipart part ``file`` as a stream: its name, size and SHA-256."""
    if not request.content_type.startswith("multipart/"):
        return None
    async for part in await request.multipart():
        if isinstance(part, aiohttp.BodyPartReader) and part.name == "file":
            size, digest = await _digest(_chunks(part))
            return part.filename or "file", size, digest
    return None


async def _chunks(part: aiohttp.BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK_BYTES):
        yield chunk


async def _digest(chunks: AsyncIterable[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    async for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()
