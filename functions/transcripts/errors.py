"""The errors that functions answer, in two families: permanent and transient.

::

    TranscriptsError
    ├── PermanentError              the pipeline does not retry the request
    │   ├── SettingsError           a variable is missing or bad; the process must not start
    │   ├── RequestError            the caller's request is wrong (4xx)
    │   │   ├── BodyTooLarge        the body is over the function's limit
    │   │   ├── BodyIncomplete      the body did not arrive completely
    │   │   ├── SubmissionNotFound  the submission never was, or has expired
    │   │   ├── TaskNotFound        the task never was, has expired, or is deleted
    │   │   └── UnknownFormat       no export has that name
    │   ├── UnreadableCallback      a callback without a usable ``task_id``
    │   ├── PoisonMessage           a message that can never be stored
    │   ├── MessageTooLarge         a message over the topic's limit, even compressed
    │   ├── ObjectNotFound          the object, or the wanted generation of it, does not exist
    │   ├── ObjectUnreadable        the storage will never return the object; the code says why
    │   ├── TranscriptIncomplete    pages of the transcript are gone
    │   ├── DocumentRefused         the store will never accept the document
    │   └── SubmissionError         the asset was not bought, or perhaps; the code says which
    └── TransientError              the same request may work later; the pipeline retries it
        ├── BodyNotReceived         the HTTP server dropped the body
        ├── PublishUnavailable      the broker did not acknowledge in time
        ├── QueueUnavailable        the queue of submissions did not acknowledge a task
        ├── ObjectUnavailable       the storage did not answer in time
        │   ├── ObjectForbidden     this identity may not read the object
        │   └── ObjectCorrupted     the bytes that were read have another checksum than the object
        ├── RetryLater              a later run continues from the recorded state
        └── StoreUnavailable        the store did not answer in time
            ├── StoreMisconfigured  an index, the database or a right is missing
            └── Conflict            another writer changed the document first

``code`` is stable and public. ``message`` tells an operator what to do; it never holds text,
names, tokens or keys, so it may be logged, and it is answered to callers. What a service says about
an error may name its addresses, so only ``log_text`` has that. Exceptions that one module raises
for its caller to handle, such as ``transitions.LeaseLost``, are never answered, and stand in that
module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec


class ErrorContent(msgspec.Struct, frozen=True):
    """What an answer says about an error; the public function says the code only."""

    code: str
    message: str | msgspec.UnsetType = msgspec.UNSET
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The one shape of every error that a function answers."""

    error: ErrorContent


class TranscriptsError(Exception):
    """The base of both families; never raised itself."""

    code: str = "internal"
    status: int = 503

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, object] | None = None,
        retry_after_s: int | None = None,
        explanation: str = "",
    ) -> None:
        """``explanation`` is what the service says about the error; it is only logged."""
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.retry_after_s = retry_after_s
        self.log_text = f"{message} {explanation}".rstrip()


class PermanentError(TranscriptsError):
    """The pipeline does not retry the request: that cannot help, or might pay twice.

    The caller may repeat it after ``retry_after_s``, if that is set, or after a repair.
    """

    status = 400


class TransientError(TranscriptsError):
    """The same request may work later; queue, topic and scheduler retry it."""

    status = 503


class SettingsError(PermanentError):
    """One or more settings are missing or bad; the message names every one of them."""

    code = "settings"


class RequestError(PermanentError):
    """The caller's request is wrong; ``code`` and ``status`` say how."""

    code = "bad_request"

    def __init__(
        self,
        message: str,
        *,
        code: str = "bad_request",
        status: int = 400,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, details=details)
        self.code = code
        self.status = status


class BodyTooLarge(RequestError):
    """The body is over the function's limit."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The body is over {limit_bytes} bytes.",
            code="body_too_large",
            status=413,
            details={"limit_bytes": limit_bytes},
        )


class BodyIncomplete(RequestError):
    """The connection ended, or stalled, before the announced body was complete."""


class SubmissionNotFound(RequestError):
    """No such submission: it never was, or it has expired. ``ids`` begin with its id."""

    def __init__(self, ids: Sequence[str] = ()) -> None:
        super().__init__(
            "There is no such submission. It may have expired, or its id is misspelled.",
            code="submission_not_found",
            status=404,
            details={"ids": ids} if ids else None,
        )


class TaskNotFound(RequestError):
    """The task never was, has expired, or is deleted. ``ids`` begin with its id."""

    def __init__(self, ids: Sequence[str] = ()) -> None:
        super().__init__(
            "There is no such task. It may have expired, or its id is misspelled.",
            code="task_not_found",
            status=404,
            details={"ids": ids} if ids else None,
        )


class UnknownFormat(RequestError):
    """No export has that name."""

    def __init__(self, formats: Sequence[str]) -> None:
        super().__init__(
            f"There is no such format. Use one of: {', '.join(formats)}.",
            code="unknown_format",
            status=404,
            details={"formats": list(formats)},
        )


class UnreadableCallback(PermanentError):
    """A callback that is no JSON object with a usable ``task_id``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class PoisonMessage(PermanentError):
    """A pushed message that can never be stored; it belongs on the dead-letter topic."""

    code = "poison_message"
    status = 422


class MessageTooLarge(PermanentError):
    """A message over the 10 MB that Pub/Sub accepts, even compressed."""

    code = "message_too_large"
    status = 413


class ObjectNotFound(PermanentError):
    """The object, or the wanted generation of it, does not exist."""

    code = "object_not_found"
    status = 404


class ObjectUnreadable(PermanentError):
    """The storage answers that it will never return this object; ``code`` tells why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TranscriptIncomplete(PermanentError):
    """Pages of a transcript are gone, although its task still names them."""

    code = "transcript_incomplete"
    status = 410


class DocumentRefused(PermanentError):
    """The store answers that it will never accept the document."""

    code = "document_refused"
    status = 422


class SubmissionError(PermanentError):
    """The asset was not bought, or it is not known whether it was; ``code`` tells which."""

    STATUSES: ClassVar[Mapping[str, int]] = {
        "asset_not_found": 404,
        "asset_not_ready": 409,
        "submission_in_progress": 409,
        "submit_unknown": 504,
        "transcript_deleted": 409,
        "provider_rate_limited": 429,
        "budget_exhausted": 429,
        "provider_auth": 502,
        "provider_no_credit": 502,
        "provider_no_webhook": 502,
        "provider_error": 502,
    }
    REMEDIES: ClassVar[Mapping[str, str]] = {
        "asset_not_found": "Mavi knows no asset of this id: upload it first, or check the id.",
        "asset_not_ready": "The asset's upload is not complete: submit again once Mavi has"
        " processed it; if that has failed, upload it again.",
        "submission_in_progress": "Another request is buying this asset right now: ask again"
        " later.",
        "submit_unknown": "Mavi's answer was lost, so the job may have been bought. Nothing"
        " repeats it automatically: wait for a callback without submission, or submit with force"
        " to buy it again.",
        "transcript_deleted": "The transcript of this asset was bought and then deleted. Submit"
        " with force to buy it again.",
        "provider_rate_limited": "Mavi's limit of 1 request a second is used up: submit again"
        " later.",
        "budget_exhausted": "MAX_SUBMISSIONS_PER_DAY is reached: submit again tomorrow (UTC).",
        "provider_auth": "Mavi refuses the key or this address: store a valid key (make"
        " set-api-key), and check that the account is active, and that its address allow-list holds"
        " this function's egress.",
        "provider_no_credit": "The Mavi account has too little credit: top it up, then submit"
        " again.",
        "provider_no_webhook": "The Mavi account has no webhook: set this deployment's callback"
        " URL at https://api-platform.memories.ai/webhooks, then submit again.",
        "provider_error": "Mavi refuses this request although the asset is ready.",
    }
    """The sentence for each code: what to do about it."""

    def __init__(
        self,
        code: str,
        *,
        status: int | None = None,
        details: Mapping[str, object] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """The HTTP status follows from the code unless given."""
        super().__init__(self.REMEDIES[code], details=details, retry_after_s=retry_after_s)
        self.code = code
        self.status = status if status is not None else self.STATUSES[code]


class BodyNotReceived(TransientError):
    """The HTTP server dropped the body, so its content is unknown.

    httptools drops what follows the head of a request with ``Upgrade``
    (https://github.com/Kludex/uvicorn/issues/2722).
    """

    code = "body_not_received"


class PublishUnavailable(TransientError):
    """The broker did not acknowledge in time; nothing is known to be published."""

    code = "publish_unavailable"


class QueueUnavailable(TransientError):
    """The queue of submissions did not acknowledge a task; it may or may not have the task."""

    code = "queue_unavailable"


class ObjectUnavailable(TransientError):
    """The storage did not answer in time, or its answer ended early."""

    code = "object_unavailable"


class ObjectForbidden(ObjectUnavailable):
    """This identity may not read the object, which an administrator can change."""

    code = "object_forbidden"


class ObjectCorrupted(ObjectUnavailable):
    """The bytes that were read have another checksum than the object; another read may not."""

    code = "object_corrupted"


class RetryLater(TransientError):
    """The steps done so far are recorded, and a later run continues from there.

    The status is not 503: after that or 429, Cloud Tasks slows down the whole queue
    (https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2#httprequest).
    """

    code = "retry_later"
    status = 409


class StoreUnavailable(TransientError):
    """The store did not answer in time; a write may or may not have happened."""

    code = "store_unavailable"


class Conflict(StoreUnavailable):
    """Another writer changed the document between the read and the write."""

    code = "store_conflict"


class StoreMisconfigured(StoreUnavailable):
    """The store lacks an index, the database or a right; repeating the operation does not help.

    Deploying repairs it, so queue, topic and scheduler retry the request.
    """

    code = "store_misconfigured"
