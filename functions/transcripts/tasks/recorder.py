"""From one delivery of a pushed message to the stored result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from transcripts import traces
from transcripts.callbacks.envelope import read_envelope
from transcripts.callbacks.message import INLINE_WORK_BYTES, unpack, unpacked_bytes
from transcripts.errors import PermanentError, PoisonMessage, UnreadableCallback
from transcripts.logs import Log, bind
from transcripts.ports import Announce
from transcripts.push import Push, read_push
from transcripts.retention import expiry
from transcripts.tasks.merge import Outcome
from transcripts.tasks.normalize import normalize, without_faces
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Task

REVISION_CHARS: Final = 16
LARGE_BYTES: Final = 1024 * 1024
LARGE_CONCURRENCY: Final = 2
"""So many messages over ``LARGE_BYTES``, unpacked, are worked on at a time: the worst known body of
32 MiB takes 270 MiB, and the instance has 1 GiB for eight requests."""


class Prepared(NamedTuple):
    """A pushed callback, ready to be stored: its result and its compressed body."""

    result: Task
    raw: bytes


def prepare(push: Push, now: datetime, retention_days: int) -> Prepared:
    """Make the result of a pushed callback.

    Raises ``PoisonMessage`` if the message can never give a result.
    """
    message = push.message
    carried = unpack(message.data, message.attributes, message.publish_time or now)
    try:
        envelope = read_envelope(carried.body)
    except UnreadableCallback as error:
        raise PoisonMessage(f"The message holds no callback: {error.code}.") from error
    task_id = message.attributes.get("task_id", envelope.task_id)
    if task_id != envelope.task_id:
        raise PoisonMessage("The message's task_id is not that of its body.")
    try:
        expires_at = expiry(carried.received_at, retention_days)
    except OverflowError as error:
        raise PoisonMessage("received_at is at the end of time.") from error
    result = normalize(
        envelope,
        revision=carried.sha256[:REVISION_CHARS],
        received_at=carried.received_at,
        stored_at=now,
        expires_at=expires_at,
    )
    return Prepared(result, carried.compressed)


class Recorder:
    """Stores pushed callbacks, and reports the outcome of each."""

    def __init__(
        self,
        store: TaskStore,
        retention_days: int,
        log: Log,
        clock: Callable[[], datetime],
        *,
        redact_faces: bool = False,
        announce: Announce | None = None,
    ) -> None:
        """``retention_days`` 0 keeps results for ever.

        ``redact_faces`` leaves the faces out of what is stored, but not out of the raw body.
        ``announce`` is called for every result that is stored, at least once.
        """
        self._store = store
        self._retention_days = retention_days
        self._log = log
        self._clock = clock
        self._redact_faces = redact_faces
        self._announce = announce
        self._large = asyncio.Semaphore(LARGE_CONCURRENCY)

    async def record(self, body: bytes) -> Outcome:
        """Store the result that a push request's ``body`` carries.

        Raises a ``PermanentError`` (logged as an error: it will be dead-lettered),
        ``StoreUnavailable`` and what ``announce`` raises (it will be delivered again).
        """
        push: Push | None = None
        try:
            push = read_push(body)
            traces.continue_from(push.message.attributes)
            bind(task_id=push.message.attributes.get("task_id"))
            # A push that waits keeps its data only, which is a quarter less.
            del body
            size = unpacked_bytes(push.message.data, push.message.attributes)
            if size <= LARGE_BYTES:
                result, outcome = await self._save(push, size)
            else:
                async with self._large:
                    result, outcome = await self._save(push, size)
        except PermanentError as error:
            self._log.error(
                "callback_poisoned",
                reason=error.log_text,
                message_id=push.message.message_id if push else None,
                task_id=push.message.attributes.get("task_id") if push else None,
                attempt=push.attempt if push else None,
            )
            raise
        self._log.info(
            f"result_{outcome}",
            task_id=result.task_id,
            kind=result.kind,
            status=result.status,
            revision=result.revision,
            segments=result.segment_count,
            duration_s=result.duration_s,
            delay_s=self._delay_s(result),
            anomalies={anomaly.code: anomaly.count for anomaly in result.anomalies},
            attempt=push.attempt,
        )
        if self._announce is not None and outcome is not Outcome.DELETED:
            await self._announce(result.task_id)
        return outcome

    def _delay_s(self, result: Task) -> float:
        """Return the seconds from the callback to now, which readers have waited for its result."""
        now = self._clock()
        return round((now - (result.received_at or now)).total_seconds(), 3)

    async def _save(self, push: Push, size: int) -> tuple[Task, Outcome]:
        result, raw = await self._prepare(push, size)
        if self._redact_faces:
            result = without_faces(result)
        return result, await self._store.save_result(result, raw)

    async def _prepare(self, push: Push, size: int) -> Prepared:
        arguments = (push, self._clock(), self._retention_days)
        if size <= INLINE_WORK_BYTES:
            return prepare(*arguments)
        return await asyncio.to_thread(prepare, *arguments)
