"""Classifies the provider's answers: was a job bought? Pure.

An answer to a submission says that a job was bought, or that none was bought; every other answer
is lost. The HTTP status alone proves nothing: the older generation sends errors as HTTP 200 with a
string ``code``. ``msg`` proves nothing either: the same text means an unknown asset, a wrong model
or real rate limiting. Only the text about a missing webhook is read, because its remedy differs
(https://api-tools.memories.ai/visual-intelligence, whisper page).
"""

from __future__ import annotations

import codecs
import re
from enum import StrEnum
from typing import Any, Final

import msgspec

from transcripts.ids import usable_id

SUCCESS_CODES: Final = frozenset({"200", "0000"})
NO_WEBHOOK_WORDS: Final = ("async request", "webhook")


class Refusal(StrEnum):
    """Why the provider refused; the value is the code that ``submit`` answers."""

    AUTH = "provider_auth"
    NO_CREDIT = "provider_no_credit"
    NO_WEBHOOK = "provider_no_webhook"
    ERROR = "provider_error"


class Accepted(msgspec.Struct, frozen=True):
    """A job was bought."""

    task_id: str


class Refused(msgspec.Struct, frozen=True):
    """Nothing was bought, and the same request would be refused again."""

    refusal: Refusal
    http_status: int


class RateLimited(msgspec.Struct, frozen=True):
    """Nothing was bought; the same request may work later."""

    retry_after_s: float = 0.0


class Ambiguous(msgspec.Struct, frozen=True):
    """Nothing was bought. The 400 may mean an unknown asset, one not ready, or rate limiting."""


class NotSent(msgspec.Struct, frozen=True):
    """The request never reached the provider: nothing was bought."""

    reason: str


class AnswerLost(msgspec.Struct, frozen=True):
    """The request was sent and no usable answer came: it may have been bought."""

    reason: str


SubmitAnswer = Accepted | Refused | RateLimited | Ambiguous | NotSent | AnswerLost


class AssetState(StrEnum):
    """The state of an asset according to its metadata."""

    READY = "SUCCESS"
    WAITING = "WAITING"
    UPLOADING = "UPLOADING"
    FAILED = "FAILED"
    MISSING = "missing"
    UNKNOWN = "unknown"


REFUSED_STATUSES: Final = frozenset({301, 307, 308, 400, 401, 402, 403, 404, 405, 409, 415, 429})
"""The statuses that say that nothing was bought: the errors that Mavi documents, the 404 of its
gateway (https://api-tools.memories.ai/api-reference/getting-started/error-codes), and that the
endpoint has moved (https://www.rfc-editor.org/rfc/rfc9110#status.307). No other status says so: a
proxy may answer 499, or an application 303, although Mavi has accepted the request."""

_ERROR_CODE: Final = re.compile(r"[45][0-9]{2}")

_OLD_CODES: Final = {
    "0001": 400,
    "0003": 400,
    "0401": 401,
    "0402": 402,
    "0403": 403,
    "0409": 409,
    "0429": 429,
    "9009": 403,
}


def read_submit_answer(http_status: int, body: bytes, retry_after_s: float) -> SubmitAnswer:
    """Classify the answer to ``POST /transcriptions/async-generate-multi-speaker``.

    ``retry_after_s`` is the header ``Retry-After``, 0 without one.
    """
    content = _object(body)
    if not 200 <= http_status < 300:
        return _refusal(http_status, content, retry_after_s) or AnswerLost(f"http_{http_status}")
    if content is None:
        return AnswerLost("unreadable_answer")
    code = _code(content)
    if (
        code in SUCCESS_CODES
        and content.get("failed") is not True
        and content.get("success") is not False
    ):
        task_id = _field(content, "task_id")
        if isinstance(task_id, str) and usable_id(task_id):
            return Accepted(task_id)
        return AnswerLost("no_task_id")
    status = _OLD_CODES.get(code)
    if status is None and _ERROR_CODE.fullmatch(code):
        status = int(code)
    if status is None:
        # A 200 that contradicts itself, or has an undocumented code, may still mean a job.
        return AnswerLost("undocumented_answer")
    return _refusal(status, content, retry_after_s) or AnswerLost(f"http_{status}")


def _refusal(
    status: int, content: dict[str, Any] | None, retry_after_s: float
) -> Refused | RateLimited | Ambiguous | None:
    """Return what a status says that is known to refuse; None for any other."""
    if status not in REFUSED_STATUSES:
        return None
    if status == 429:
        return RateLimited(retry_after_s)
    if status == 400:
        words = str((content or {}).get("msg", "")).lower()
        if all(part in words for part in NO_WEBHOOK_WORDS):
            return Refused(Refusal.NO_WEBHOOK, status)
        return Ambiguous()
    if status in (401, 403):
        return Refused(Refusal.AUTH, status)
    if status == 402:
        return Refused(Refusal.NO_CREDIT, status)
    return Refused(Refusal.ERROR, status)


def read_metadata_answer(
    http_status: int, body: bytes, retry_after_s: float
) -> AssetState | RateLimited | None:
    """Classify the answer to ``GET /{asset_id}/metadata``; None means to ask again."""
    content = _object(body)
    status = http_status if content is None else _status(http_status, content)
    if status == 429:
        return RateLimited(retry_after_s)
    if status != 200 or content is None:
        return AssetState.MISSING if status in (400, 404) else None
    resources = _field(content, "resource")
    if not isinstance(resources, list) or not resources:
        return AssetState.MISSING
    state = resources[0].get("upload_status") if isinstance(resources[0], dict) else None
    try:
        return AssetState(str(state).upper())
    except ValueError:
        return AssetState.UNKNOWN


class DeleteAnswer(StrEnum):
    """How Mavi answered the deletion of an asset; the value is the reason in our answer."""

    GONE = "gone"
    REFUSED = "provider_error"
    UNAVAILABLE = "provider_unavailable"


def read_delete_answer(http_status: int, body: bytes) -> DeleteAnswer | None:
    """Classify the answer to ``DELETE /{asset_id}``; None means that the metadata tell.

    Deleting an asset twice is an error, which a 400 does not tell from rate limiting.
    """
    status = _status(http_status, _object(body) or {})
    if status in (200, 404):
        return DeleteAnswer.GONE
    if status == 400:
        return None
    return DeleteAnswer.REFUSED if status in (401, 402, 403) else DeleteAnswer.UNAVAILABLE


class SignedUrl(msgspec.Struct, frozen=True):
    """The address for an asset's bytes; the asset has its id before the first byte is sent."""

    asset_id: str
    url: str


class Uploaded(msgspec.Struct, frozen=True):
    """An asset that has all its bytes."""

    asset_id: str


class Sent(StrEnum):
    """The result of sending bytes to a signed address."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    """No connection, or a server error."""
    INTERRUPTED = "interrupted"
    """The connection broke, after some or all of the bytes, perhaps after the answer."""


def read_sent_answer(http_status: int) -> Sent:
    """Classify the status of the undocumented answer to the bytes."""
    if 200 <= http_status < 300:
        return Sent.ACCEPTED
    return Sent.UNREACHABLE if http_status in (408, 429) or http_status >= 500 else Sent.REFUSED


class Unreachable(msgspec.Struct, frozen=True):
    """No answer, or a server error: it may work later."""


UploadAnswer = SignedUrl | Uploaded | Refused | RateLimited | Unreachable | None
"""None: it did not work this time; uploading costs nothing, so it may be tried again."""


def read_upload_answer(http_status: int, body: bytes, retry_after_s: float) -> UploadAnswer:
    """Classify the answer to ``POST /upload`` and ``POST /upload/signed-url``."""
    content = _object(body)
    if not 200 <= http_status < 300:
        return _upload_refusal(http_status, content, retry_after_s)
    if content is None:
        return None
    code = _code(content)
    if code not in SUCCESS_CODES:
        status = _OLD_CODES.get(code)
        return _upload_refusal(status, content, retry_after_s) if status else None
    asset_id, url = _field(content, "asset_id"), _field(content, "signed_url")
    if not isinstance(asset_id, str) or not usable_id(asset_id):
        return None
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return SignedUrl(asset_id, url)
    return Uploaded(asset_id)


def _upload_refusal(
    status: int, content: dict[str, Any] | None, retry_after_s: float
) -> UploadAnswer:
    """Classify what is no success. An upload costs nothing, so it may be repeated when in doubt."""
    refusal = _refusal(status, content, retry_after_s)
    if isinstance(refusal, Ambiguous):
        # A 400 may be rate limiting, here too.
        return None
    if refusal is None and 300 <= status < 500 and status not in (408, 499):
        return Refused(Refusal.ERROR, status)
    return refusal or Unreachable()


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        content = msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _status(http_status: int, content: dict[str, Any]) -> int:
    """Return the status that an answer means; the older generation says it in ``code`` only."""
    if not 200 <= http_status < 300:
        return http_status
    code = _code(content)
    return 200 if code in SUCCESS_CODES else _OLD_CODES.get(code, 500)


def _code(content: dict[str, Any]) -> str:
    return str(content.get("code", "")).strip()


def _field(content: dict[str, Any], name: str) -> Any:
    data = content.get("data")
    return data.get(name) if isinstance(data, dict) else None
