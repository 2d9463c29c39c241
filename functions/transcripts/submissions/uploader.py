"""Uploads each object to Mavi once, as a stream; a later run continues where that is possible.

Mavi does not fetch files, so the bytes pass through this process. Uploads cost nothing, but an
uploaded object is not sent again: each step is recorded before the next one. The uploader reads the
first bytes of an object before it makes an asset, so that an unreadable object leaves nothing at
Mavi.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from transcripts.errors import (
    ObjectCorrupted,
    ObjectForbidden,
    ObjectNotFound,
    ObjectUnavailable,
    ObjectUnreadable,
    RetryLater,
)
from transcripts.logs import Log
from transcripts.mavi.answers import (
    AssetState,
    RateLimited,
    Refusal,
    Refused,
    Sent,
    SignedUrl,
    Unreachable,
    UploadAnswer,
    Uploaded,
)
from transcripts.mavi.client import File, MaviApi
from transcripts.mavi.rate_limit import RateLimitTimeout
from transcripts.ports import ObjectReader, ObjectSource
from transcripts.retry import RetryPolicy
from transcripts.submissions.lease import Lease
from transcripts.submissions.submission import State, Submission
from transcripts.submissions.transitions import PROCESSING_TIMEOUT, Event
from transcripts.uploads.rejections import unreadable_reason
from transcripts.uploads.stored_object import StoredObject, split_uri

MAX_UPLOADS: Final = 8
"""Maximum of runs that may have sent bytes of one object. A run that could not connect, or got a
server error, does not count: an outage must not reject an object. A run whose object breaks off
after its first bytes counts: it leaves an asset behind."""

FIRST_BYTES: Final = 256 * 1024
"""How much of an object is read before an asset is made for it."""

FORBIDDEN_FOR: Final = timedelta(days=1)
"""How long an object without read permission is retried; an administrator may grant it."""

RESUMABLE_FOR: Final = timedelta(hours=1)
"""How long Mavi may still complete an upload whose sender died."""

MISSING_PAUSES_S: Final = (1.0, 2.0, 4.0)
"""An asset counts as missing if every repeated read after these pauses says so too: the first
answer may be rate limiting."""

MAX_WAIT_S: Final = 120.0
"""How long an upload waits for a slot of the rate limit."""

PROCESSING: Final = RetryPolicy(first_pause_s=2.0, max_pause_s=30.0)
"""The pauses between looks at an asset that Mavi processes."""

UPLOAD_RETRY_AFTER_S: Final = 60
ON_ITS_WAY: Final = "The object is on its way to Mavi."

ACCOUNT_REFUSALS: Final = (Refusal.AUTH, Refusal.NO_CREDIT)
"""Refusals that concern the account, so the other way of uploading would get them too."""


class UploadFailed(Exception):
    """The object cannot be uploaded; ``code`` is recorded as the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Unreachable(RetryLater):
    """No server accepted the bytes, or no slot was free: the run does not count as an upload."""


class Uploader:
    """Uploads objects and waits until Mavi has processed them."""

    def __init__(
        self,
        source: ObjectSource,
        provider: MaviApi,
        log: Log,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._provider = provider
        self._log = log
        self._clock = clock
        self._sleep = sleep

    async def ensure_uploaded(self, lease: Lease, deadline: datetime) -> str:
        """Return the id of an asset that has the object and may be submitted.

        Raises ``UploadFailed`` (recorded by the caller), ``ObjectNotFound``, ``RetryLater`` if
        ``deadline`` comes first or a step failed that may work later, ``LeaseLost`` and
        ``StoreUnavailable``.
        """
        submission = lease.entry
        asset_id = submission.asset_id
        sent_at = submission.sent_at or self._clock()
        if asset_id is None or not await self._is_uploaded(submission, asset_id):
            try:
                asset_id = await lease.extend_during(self._upload(lease, submission))
            except ObjectNotFound as error:
                await lease.record_outcome(Event.LEASE_RENEWED)
                if lease.entry.source == submission.source:
                    raise
                # A later generation with the same bytes has replaced it.
                raise _retry_later(0) from error
            except ObjectUnreadable as error:
                raise UploadFailed(error.code) from error
            except ObjectForbidden as error:
                self._log.warning(
                    "object_forbidden", submission_id=lease.submission_id, reason=error.log_text
                )
                since = lease.entry.forbidden_since
                if since is not None and self._clock() - since >= FORBIDDEN_FOR:
                    raise UploadFailed(error.code) from error
                await lease.record_outcome(Event.OBJECT_FORBIDDEN)
                raise RetryLater(error.message, retry_after_s=UPLOAD_RETRY_AFTER_S) from error
            except ObjectCorrupted as error:
                # Another read may get the right bytes.
                if lease.entry.uploads < MAX_UPLOADS:
                    raise
                raise UploadFailed(error.code) from error
            sent_at = self._clock()
        await self._wait_until_processed(lease, asset_id, sent_at, deadline)
        return asset_id

    async def _is_uploaded(self, submission: Submission, asset_id: str) -> bool:
        """Tell whether an earlier holder's upload is complete, or may still complete."""
        if submission.state is State.UPLOADED:
            return True
        state = await self._state(asset_id)
        if state is None:
            raise _retry_later(UPLOAD_RETRY_AFTER_S)
        if state in (AssetState.UPLOADING, AssetState.UNKNOWN) and submission.sent_at is not None:
            return self._clock() - submission.sent_at < RESUMABLE_FOR
        return state is AssetState.READY

    async def _upload(self, lease: Lease, submission: Submission) -> str:
        if submission.uploads >= MAX_UPLOADS:
            raise UploadFailed("upload_failed")
        opened = await asyncio.to_thread(self._open, submission)
        filename = submission.filename or opened.stored.name.rpartition("/")[2]
        file = File(opened.open, opened.stored.size, filename)
        try:
            await lease.record_intent(Event.UPLOAD_RESERVED)
            return await self._send(lease, file)
        except _Unreachable:
            await lease.record_outcome(Event.UPLOAD_UNREACHABLE)
            raise
        finally:
            if not opened.is_used:
                opened.close()

    async def _send(self, lease: Lease, file: File) -> str:
        """Send the bytes to a signed address; if Mavi gives none or it fails, in one request."""
        signed = await self._answer(self._provider.signed_url(file.filename, MAX_WAIT_S))
        if isinstance(signed, Refused) and signed.refusal in ACCOUNT_REFUSALS:
            raise UploadFailed(signed.refusal)
        if isinstance(signed, SignedUrl):
            await lease.record_intent(Event.UPLOAD_STARTED, asset_id=signed.asset_id)
            sent = await self._provider.send(signed.url, file)
            if sent is Sent.ACCEPTED:
                return await self._uploaded(lease, signed.asset_id, "signed_url")
            self._log.warning(
                "signed_url_failed", submission_id=lease.submission_id, how=sent.value
            )
            if sent is Sent.UNREACHABLE:
                raise _unreachable(UPLOAD_RETRY_AFTER_S)
            if sent is Sent.INTERRUPTED:
                # The bytes may have arrived: the next run asks before it sends them again.
                raise _retry_later(UPLOAD_RETRY_AFTER_S)
        await lease.record_intent(Event.UPLOAD_STARTED)
        answer = await self._answer(self._provider.upload(file, MAX_WAIT_S))
        if isinstance(answer, Refused):
            raise UploadFailed(answer.refusal)
        if answer is None:
            raise _retry_later(UPLOAD_RETRY_AFTER_S)
        return await self._uploaded(lease, answer.asset_id, "upload")

    def _open(self, submission: Submission) -> _OpenedObject:
        """Open the object and read its first bytes, before an asset is made for it."""
        source = submission.source
        parts = split_uri(source.uri) if source else None
        if source is None or parts is None:
            raise UploadFailed("no_source")
        stored = self._source.stat(*parts, source.generation)
        # Metadata may change without a new generation.
        reason = unreadable_reason(stored)
        if reason is not None:
            raise UploadFailed(reason)
        return _OpenedObject(self._source, stored)

    async def _answer(self, call: Awaitable[UploadAnswer]) -> SignedUrl | Uploaded | Refused | None:
        """Return what Mavi answers; an answer that may be another one later ends the run."""
        try:
            answer = await call
        except RateLimitTimeout as waiting:
            raise _unreachable(waiting.wait_s) from waiting
        if isinstance(answer, RateLimited):
            raise _unreachable(answer.retry_after_s)
        if isinstance(answer, Unreachable):
            raise _unreachable(UPLOAD_RETRY_AFTER_S)
        return answer

    async def _uploaded(self, lease: Lease, asset_id: str, way: str) -> str:
        await lease.record_intent(Event.UPLOAD_FINISHED, asset_id=asset_id)
        self._log.info("uploaded", submission_id=lease.submission_id, asset_id=asset_id, way=way)
        return asset_id

    async def _wait_until_processed(
        self, lease: Lease, asset_id: str, sent_at: datetime, deadline: datetime
    ) -> None:
        """Wait until the asset may be submitted: ``upload_status`` SUCCESS."""
        for pause_s in PROCESSING.pauses_s():
            state = await self._state(asset_id)
            if state is AssetState.READY:
                return
            if state is AssetState.FAILED:
                await lease.record_intent(Event.UPLOAD_DISCARDED)
                raise _retry_later(0)
            if state is not None and self._clock() - sent_at > PROCESSING_TIMEOUT:
                missing = state is AssetState.MISSING
                raise UploadFailed("asset_not_found" if missing else "upload_stalled")
            if self._clock().timestamp() + pause_s > deadline.timestamp():
                raise _retry_later(UPLOAD_RETRY_AFTER_S)
            await lease.record_intent(Event.LEASE_RENEWED)
            await self._sleep(pause_s)
        raise AssertionError("the loop ends by returning or raising")

    async def _state(self, asset_id: str) -> AssetState | None:
        """Return the state of an asset, or None if it could not be read now."""
        try:
            state = await self._provider.asset_state(asset_id, MAX_WAIT_S)
            for pause_s in MISSING_PAUSES_S:
                if state is not AssetState.MISSING:
                    break
                await self._sleep(pause_s)
                state = await self._provider.asset_state(asset_id, MAX_WAIT_S)
        except RateLimitTimeout as waiting:
            raise _retry_later(waiting.wait_s) from waiting
        return state


class _OpenedObject:
    """An open object, of which only the first bytes are in memory.

    The caller of ``open`` closes what it returns. ``is_used`` tells whether ``open`` was called.
    """

    def __init__(self, source: ObjectSource, stored: StoredObject) -> None:
        """Open the object and read its first bytes; blocking. Raises what the source raises."""
        self.stored = stored
        self._source = source
        self._reader = source.open(stored)
        self.is_used = False
        try:
            self._first = self._reader.read(FIRST_BYTES)
        except BaseException:
            self._reader.close()
            raise
        if stored.size and not self._first:
            self._reader.close()
            raise ObjectUnavailable("The object ended before its size.")

    def open(self) -> ObjectReader:
        """Return the object from its start; later calls open it again."""
        if self.is_used:
            return self._source.open(self.stored)
        self.is_used = True
        return self

    def read(self, size: int, /) -> bytes:
        """Return the first bytes, and then the next ones; see ``ports.ObjectReader``."""
        if self._first:
            content, self._first = self._first[:size], self._first[size:]
            return content
        return self._reader.read(size)

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()


def _retry_later(wait_s: float) -> RetryLater:
    return RetryLater(ON_ITS_WAY, retry_after_s=max(int(wait_s), 1))


def _unreachable(wait_s: float) -> RetryLater:
    return _Unreachable(ON_ITS_WAY, retry_after_s=max(int(wait_s), 1))
