"""Accepting a callback: classify its body and publish it; return once the broker has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from transcripts.callbacks.kinds import identify
from transcripts.callbacks.message import INLINE_WORK_BYTES, pack
from transcripts.errors import MessageTooLarge, PublishUnavailable, UnreadableCallback
from transcripts.logs import Log, bind
from transcripts.ports import Message, Publisher


class Receiver:
    """Publishes each body as a message, on the topic of callbacks or on that of rejected ones."""

    def __init__(
        self,
        publisher: Publisher,
        callback_topic: str,
        rejected_topic: str,
        log: Log,
        clock: Callable[[], datetime],
    ) -> None:
        self._publisher = publisher
        self._callback_topic = callback_topic
        self._rejected_topic = rejected_topic
        self._log = log
        self._clock = clock

    async def receive(self, body: bytes) -> None:
        """Return once the callback is durable.

        Raises ``UnreadableCallback`` (after its body is on the rejected topic),
        ``MessageTooLarge`` and ``PublishUnavailable``.
        """
        received_at = self._clock()
        body_bytes = len(body)
        try:
            if body_bytes <= INLINE_WORK_BYTES:
                message = callback_message(body, received_at)
            else:
                message = await asyncio.to_thread(callback_message, body, received_at)
        except UnreadableCallback as error:
            await self._reject(body, received_at, error)
            raise
        except MessageTooLarge:
            self._log.error("callback_too_large", body_bytes=body_bytes)
            raise
        # A large body is several times its message, and publishing may take 10 s.
        del body
        attributes = message.attributes
        bind(task_id=attributes["task_id"])
        try:
            await self._publisher.publish(self._callback_topic, message)
        except PublishUnavailable as error:
            self._log.error(
                "callback_not_published", task_id=attributes["task_id"], reason=error.log_text
            )
            raise
        self._log.info(
            "callback_published",
            task_id=attributes["task_id"],
            kind=attributes["kind"],
            body_bytes=body_bytes,
            sha256=attributes["sha256"],
        )

    async def _reject(self, body: bytes, received_at: datetime, error: UnreadableCallback) -> None:
        """Publish a body that is no callback to the rejected topic, where an operator reads it."""
        body_bytes = len(body)
        try:
            message = await asyncio.to_thread(pack, body, received_at, {"reason": error.code})
            del body
            await self._publisher.publish(self._rejected_topic, message)
        except MessageTooLarge:
            self._log.error("callback_too_large", body_bytes=body_bytes, code=error.code)
            raise
        except PublishUnavailable as failure:
            self._log.error("callback_not_published", reason=failure.log_text)
            raise
        self._log.warning(
            "callback_rejected",
            code=error.code,
            body_bytes=body_bytes,
            sha256=message.attributes["sha256"],
        )


def callback_message(body: bytes, received_at: datetime) -> Message:
    """Make the message of a callback; raises ``UnreadableCallback`` and ``MessageTooLarge``."""
    task_id, kind = identify(body)
    return pack(body, received_at, {"task_id": task_id, "kind": kind.value})
