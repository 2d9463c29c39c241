"""The public function: takes what Mavi posts, and answers 2xx once the broker has it."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from transcripts.backends import freeze_gc, open_publisher
from transcripts.callbacks.message import MAX_BODY_BYTES
from transcripts.callbacks.receiver import Receiver, TokenCheck
from transcripts.errors import RequestError
from transcripts.logs import Log, utc_now
from transcripts.settings import CallbackSettings
from transcripts.web import JSON, BodyReader, error_boundary, header

LARGE_BYTES: Final = 1024 * 1024
LARGE_CONCURRENCY: Final = 4
"""Bodies over ``LARGE_BYTES`` are read so many at a time, or a few would fill the memory."""

settings = CallbackSettings.load(os.environ)
log = Log("callback")
is_live = TokenCheck(settings.callback_tokens)
receiver = Receiver(
    open_publisher(settings, os.environ),
    settings.callback_topic,
    settings.rejected_topic,
    log,
    utc_now,
)
large_bodies = asyncio.Semaphore(LARGE_CONCURRENCY)

# The body is what a sender of the provider's own was seen to look for: mavi-api, "code" == 0.
PUBLISHED = Response(b'{"code":0,"msg":"success"}', media_type=JSON)


@functions_framework.aio.http
@error_boundary(log, code_only=True)
async def callback(request: Request) -> Response:
    """Answer 404 to a wrong token, else as section "Answers" of the README has it."""
    if not is_live(request.scope["path"]):
        return Response(status_code=404)
    if request.method != "POST":
        raise RequestError("POST only.", code="method_not_allowed", status=405)
    try:
        await receive(request)
    except RequestError as error:
        # Whoever has the token is Mavi, so this was a result, and nobody has it now.
        log.error("callback_refused", code=error.code)
        raise
    return PUBLISHED


async def receive(request: Request) -> None:
    """Read the body, a large one only as long as few others are held, and hand it over."""
    reader = BodyReader(request, MAX_BODY_BYTES)
    traceparent = header(request, b"traceparent")
    body = await reader.read(LARGE_BYTES)
    if reader.complete:
        await receiver.receive(body, traceparent)
        return
    async with large_bodies:
        await receiver.receive(await reader.read(), traceparent)


freeze_gc()
