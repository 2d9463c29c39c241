"""Accepting a callback: check, label, publish; nothing is claimed before the broker has it."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from transcripts.callbacks.kinds import identify
from transcripts.callbacks.message import Message, pack
from transcripts.errors import MessageTooLarge, PublishUnavailable, UnreadableCallback
from transcripts.logs import Log
from transcripts.ports import Publisher
from transcripts.settings import Secret

INLINE_WORK_BYTES: Final = 64 * 1024
"""A larger body is checked, hashed and compressed in a thread, so that it holds up no other."""


class TokenCheck:
    """Knows the live tokens; compares in constant time, with every one of them."""

    def __init__(self, tokens: Sequence[Secret]) -> None:
        """Take the live tokens, two while they rotate."""
        self._tokens = [token.reveal().encode() for token in tokens]

    def __call__(self, path: str) -> bool:
        """Tell whether ``path`` is ``/`` and a live token."""
        given = path[1:].encode("utf-8", "surrogateescape")
        matches = [hmac.compare_digest(given, token) for token in self._tokens]
        return any(matches)


class Receiver:
    """Turns bodies into messages on the topic of callbacks, or on that of rejected ones."""

    def __init__(
        self,
        publisher: Publisher,
        callback_topic: str,
        rejected_topic: str,
        log: Log,
        clock: Callable[[], datetime],
    ) -> None:
        """Take the publisher, both topics, a log and a clock (UTC)."""
        self._publisher = publisher
        self._callback_topic = callback_topic
        self._rejected_topic = rejected_topic
        self._log = log
        self._clock = clock

    async def receive(self, body: bytes, traceparent: str | None) -> None:
        """Return once the callback is durable.

        Raises ``UnreadableCallback`` (its body is kept on the rejected topic by then),
        ``MessageTooLarge`` and ``PublishUnavailable``.
        """
        received_at = self._clock()
        try:
            if len(body) <= INLINE_WORK_BYTES:
                message = callback_message(body, received_at, traceparent)
            else:
                message = await asyncio.to_thread(callback_message, body, received_at, traceparent)
        except UnreadableCallback as error:
            await self._reject(body, received_at, error)
            raise
        except MessageTooLarge:
            self._log.error("callback_too_large", body_bytes=len(body))
            raise
        attributes = message.attributes
        try:
            await self._publisher.publish(self._callback_topic, message)
        except PublishUnavailable as error:
            self._log.error(
                "callback_not_published", task_id=attributes["task_id"], reason=error.message
            )
            raise
        self._log.info(
            "callback_published",
            task_id=attributes["task_id"],
            kind=attributes["kind"],
            body_bytes=len(body),
            sha256=attributes["sha256"],
        )

    async def _reject(self, body: bytes, received_at: datetime, error: UnreadableCallback) -> None:
        """Keep a body that is no callback; somebody may be able to tell what it was."""
        try:
            message = await asyncio.to_thread(pack, body, received_at, {"reason": error.code})
            await self._publisher.publish(self._rejected_topic, message)
        except MessageTooLarge:
            self._log.error("callback_too_large", body_bytes=len(body), reason=error.code)
            raise
        except PublishUnavailable as failure:
            self._log.error("callback_not_published", reason=failure.message)
            raise
        self._log.warning(
            "callback_rejected",
            reason=error.code,
            body_bytes=len(body),
            sha256=message.attributes["sha256"],
        )


def callback_message(body: bytes, received_at: datetime, traceparent: str | None) -> Message:
    """Make the message of a callback; raises ``UnreadableCallback`` and ``MessageTooLarge``."""
    task_id, kind = identify(body)
    return pack(body, received_at, {"task_id": task_id, "kind": kind.value}, traceparent)
