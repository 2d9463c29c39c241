"""Whether the recording of a transcript can be played from its bucket, and at which address.

Only the object that the submission named is played, in the generation that was transcribed, and
only from the bucket of uploads. Nothing that the provider or a request says leads to an object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from transcripts.errors import (
    ObjectForbidden,
    ObjectNotFound,
    ObjectUnavailable,
    ObjectUnreadable,
    RequestError,
    TransientError,
)
from transcripts.logs import Log
from transcripts.ports import MediaSigner, ObjectSource
from transcripts.tasks.task import Source, Task
from transcripts.uploads.formats import played_type
from transcripts.uploads.rejections import RejectReason, unreadable_reason
from transcripts.uploads.stored_object import split_uri

VALID_FOR: Final = timedelta(minutes=15)
"""How long an address is valid; the page asks for another one when it is over."""

_OFF: Final = "This deployment does not play recordings from its bucket."
_NO_OBJECT: Final = "The recording is at Mavi only: the transcript was requested by an asset id."
_GONE: Final = (
    "The recording is no longer in the bucket: it was deleted, or another file has its name now."
)
_FORBIDDEN: Final = (
    "This deployment may not read the recording. Its log says which permission is missing."
)
_NO_ANSWER: Final = "The bucket does not answer. Try again in a minute."
_NO_MEDIA: Final = "The object in the bucket is no audio or video."
_UNREADABLE: Final[Mapping[str, str]] = {
    RejectReason.CUSTOMER_KEY: "The recording is encrypted with a key that this deployment does not"
    " have.",
    RejectReason.COMPRESSED: "The recording is stored compressed, which no browser plays.",
    "requester_pays": "The bucket lets only those read who pay for it.",
}
_REFUSED: Final = "The bucket refuses to give the recording."


class Offer(NamedTuple):
    """Where a page asks for its recording, or in words why it does not.

    ``kind`` is a guess by the content type: a video may turn out to have no picture.
    """

    path: str | None
    kind: Literal["audio", "video"]
    words: str | None


class Recordings:
    """Finds the recordings of tasks."""

    def __init__(
        self,
        objects: ObjectSource,
        signer: MediaSigner,
        log: Log,
        clock: Callable[[], datetime],
        *,
        bucket: str | None,
    ) -> None:
        """Without a bucket, nothing plays."""
        self._objects = objects
        self._signer = signer
        self._log = log
        self._clock = clock
        self._bucket = bucket

    def offer(self, task: Task) -> Offer:
        """Return what a page can say before it knows whether the object still exists."""
        try:
            self._place(task.source)
        except RequestError as error:
            return Offer(None, "video", error.message)
        is_audio = (task.source.content_type or "").startswith("audio/") if task.source else False
        return Offer(f"/view/{task.task_id}/media", "audio" if is_audio else "video", None)

    async def address(self, task: Task) -> str:
        """Return an address that is valid for ``VALID_FOR``.

        Raises ``RequestError`` (``no_recording``) and ``ObjectUnavailable``, in words for readers.
        """
        bucket, name, generation = self._place(task.source)
        try:
            return await asyncio.to_thread(self._sign, bucket, name, generation)
        except ObjectNotFound as error:
            raise _no_recording(_GONE) from error
        except ObjectUnreadable as error:
            raise _no_recording(_UNREADABLE.get(error.code, _REFUSED)) from error
        except ObjectForbidden as error:
            self._log.warning("recording_forbidden", task_id=task.task_id, reason=error.log_text)
            raise _no_recording(_FORBIDDEN) from error
        except TransientError as error:
            self._log.warning("transient_error", code=error.code, reason=error.log_text)
            raise ObjectUnavailable(_NO_ANSWER) from error

    def _place(self, source: Source | None) -> tuple[str, str, str]:
        if not self._bucket:
            raise _no_recording(_OFF)
        place = split_uri(source.uri) if source else None
        if source is None or place is None:
            raise _no_recording(_NO_OBJECT)
        bucket, name = place
        if bucket != self._bucket:
            raise _no_recording(f"This deployment plays no recordings from the bucket {bucket}.")
        return bucket, name, source.generation

    def _sign(self, bucket: str, name: str, generation: str) -> str:
        stored = self._objects.stat(bucket, name, generation)
        if reason := unreadable_reason(stored):
            raise _no_recording(_UNREADABLE[reason])
        media_type = played_type(stored)
        if media_type is None:
            raise _no_recording(_NO_MEDIA)
        return self._signer.sign(stored, media_type, self._clock() + VALID_FOR)


def _no_recording(words: str) -> RequestError:
    return RequestError(words, code="no_recording", status=404)
