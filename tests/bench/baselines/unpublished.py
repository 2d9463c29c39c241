"""The callback with a publisher that answers by itself, so without the publish RPC."""

from __future__ import annotations

import asyncio

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

import callback
from transcripts.logs import Log
from transcripts.ports import Message

ANSWERS_AFTER_S = 0.002


class Publisher:
    """Acknowledges all messages of ``ANSWERS_AFTER_S`` seconds together."""

    def __init__(self) -> None:
        self._acknowledged: asyncio.Future[None] | None = None

    async def publish(self, topic: str, message: Message) -> None:
        """Return with the next acknowledgment."""
        if self._acknowledged is None:
            loop = asyncio.get_running_loop()
            self._acknowledged = loop.create_future()
            loop.call_later(ANSWERS_AFTER_S, self._acknowledge, self._acknowledged)
        await self._acknowledged

    def _acknowledge(self, acknowledged: asyncio.Future[None]) -> None:
        self._acknowledged = None
        acknowledged.set_result(None)


callback.handle = callback.compose(
    callback.settings, publisher=Publisher(), log=Log("callback", project="p")
)


@functions_framework.aio.http
async def unpublished(request: Request) -> Response:
    """Answer as the callback does."""
    answer: Response = await callback.callback(request)
    return answer
