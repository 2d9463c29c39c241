"""The public function: receives what Mavi posts and answers 2xx once the broker has it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import datetime
from typing import Final

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

import transcripts.starting  # noqa: F401 - before the other imports
from transcripts import serving
from transcripts.backends import open_publisher
from transcripts.callbacks.message import MAX_CALLBACK_BYTES
from transcripts.callbacks.receiver import Receiver
from transcripts.callbacks.tokens import TokenCheck
from transcripts.errors import RequestError
from transcripts.logs import Log, utc_now
from transcripts.ports import Publisher
from transcripts.settings import CallbackSettings
from transcripts.web import (
    BODY_TIMEOUT_S,
    JSON,
    BodyReader,
    Handler,
    error_boundary,
    require_method,
)

LARGE_BYTES: Final = 1024 * 1024
LARGE_CONCURRENCY: Final = 2
"""How many bodies over ``LARGE_BYTES`` are held at a time: one of 32 MiB takes up to 128 MiB."""

# A public sender of Mavi's counts an answer as success only if its JSON has "code": 0.
PUBLISHED: Final = Response(b'{"code":0,"msg":"success"}', media_type=JSON)


def compose(
    settings: CallbackSettings,
    *,
    publisher: Publisher,
    log: Log,
    clock: Callable[[], datetime] = utc_now,
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> Handler:
    """Build the function around a publisher; tests give fakes."""
    is_live = TokenCheck(settings.callback_tokens)
    receiver = Receiver(publisher, settings.callback_topic, settings.rejected_topic, log, clock)
    large_bodies = asyncio.Semaphore(LARGE_CONCURRENCY)

    @error_boundary(log, code_only=True)
    async def handle(request: Request) -> Response:
        if not is_live(request.scope):
            return Response(status_code=404)
        try:
            require_method(request, "POST")
            reader = BodyReader(request, MAX_CALLBACK_BYTES, body_timeout_s)
            await reader.read_until(LARGE_BYTES)
            if reader.complete:
                await receiver.receive(reader.take())
            else:
                async with large_bodies:
                    await reader.read_until(None)
                    await receiver.receive(reader.take())
        except RequestError as error:
            # Only Mavi has the token, so the refused body may have been a result.
            log.error("callback_refused", code=error.code, method=request.method)
            raise
        return PUBLISHED

    return handle


settings = CallbackSettings.load(os.environ)
handle = compose(
    settings,
    publisher=open_publisher(settings, os.environ),
    log=Log("callback", project=settings.project),
)


@functions_framework.aio.http
async def callback(request: Request) -> Response:
    """Answer 200 once the callback is durable; docs/reference.md lists every answer."""
    return await handle(request)


serving.prepare()
