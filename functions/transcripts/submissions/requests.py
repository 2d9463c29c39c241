"""Reading the body of a request to ``submit``."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from transcripts.errors import RequestError
from transcripts.ids import MAX_KEY_CHARS, MAX_LABELS, MAX_VALUE_CHARS, usable_id, usable_labels
from transcripts.uploads.stored_object import split_uri, usable_generation

MAX_REQUEST_BYTES: Final = 1024 * 1024
MAX_ASSETS: Final = 1_000

_SUBMISSION_ID: Final = re.compile(r"[0-9a-f]{32}")


class SubmitAsset(msgspec.Struct, frozen=True):
    """Submit an asset now."""

    asset_id: str
    labels: dict[str, str]
    force: bool = False


class SubmitAssets(msgspec.Struct, frozen=True):
    """Enqueue assets."""

    asset_ids: tuple[str, ...]
    labels: dict[str, str]
    force: bool = False


class SubmitObject(msgspec.Struct, frozen=True):
    """Enqueue an object; without ``generation``, its current one."""

    bucket: str
    name: str
    generation: str | None
    labels: dict[str, str]
    force: bool = False


class RunSubmission(msgspec.Struct, frozen=True):
    """Work on an entry of the ledger; Cloud Tasks sends this request."""

    submission_id: str


SubmitRequest = SubmitAsset | SubmitAssets | SubmitObject | RunSubmission


class RequestBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A body as it is sent: one of the two ids, ``asset_ids`` or ``uri`` says what to submit."""

    asset_id: str | None = None
    asset_ids: list[str] | None = None
    uri: str | None = None
    generation: str | int | None = None
    submission_id: str | None = None
    force: bool = False
    labels: dict[str, str] = {}


_decode = msgspec.json.Decoder(RequestBody).decode

USAGE: Final = (
    'Give one of {"asset_id": "re_…"}, {"asset_ids": ["re_…", …]} and'
    ' {"uri": "gs://bucket/object", "generation": "…"}.'
)


def read_request(body: bytes) -> SubmitRequest:
    """Read the body of a request; raises ``RequestError`` (400) saying what is wrong."""
    try:
        content = _decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(f"The body does not fit: {error}.", code="invalid_body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("The body is not JSON.", code="invalid_json") from error
    subjects = (content.asset_id, content.asset_ids, content.uri, content.submission_id)
    if sum(subject is not None for subject in subjects) != 1:
        raise RequestError(USAGE, code="invalid_body")
    _check_labels(content.labels)
    if content.asset_id is not None:
        return SubmitAsset(_asset_id(content.asset_id), content.labels, content.force)
    if content.asset_ids is not None:
        return _submit_assets(content.asset_ids, content)
    if content.uri is not None:
        return _submit_object(content.uri, content)
    return _run_submission(content.submission_id or "")


def _asset_id(text: str) -> str:
    if not usable_id(text):
        raise RequestError(
            "asset_id is not 1 to 128 characters A-Z a-z 0-9 _ -, or is of the form __…__.",
            code="invalid_asset_id",
        )
    return text


def _submit_assets(asset_ids: list[str], content: RequestBody) -> SubmitAssets:
    if not 0 < len(asset_ids) <= MAX_ASSETS:
        raise RequestError(f"asset_ids must have 1 to {MAX_ASSETS} ids.", code="invalid_body")
    once = dict.fromkeys(_asset_id(asset_id) for asset_id in asset_ids)
    return SubmitAssets(tuple(once), content.labels, content.force)


def _submit_object(uri: str, content: RequestBody) -> SubmitObject:
    parts = split_uri(uri)
    if parts is None:
        raise RequestError("uri is not gs://bucket/object.", code="invalid_uri")
    generation = None if content.generation is None else str(content.generation)
    if generation is not None and not usable_generation(generation):
        raise RequestError("generation is not a number.", code="invalid_generation")
    return SubmitObject(*parts, generation, content.labels, content.force)


def _run_submission(submission_id: str) -> RunSubmission:
    if not _SUBMISSION_ID.fullmatch(submission_id):
        raise RequestError("submission_id is not 32 hex digits.", code="invalid_submission_id")
    return RunSubmission(submission_id)


def _check_labels(labels: dict[str, str]) -> None:
    if not usable_labels(labels):
        raise RequestError(
            f"labels: at most {MAX_LABELS}, with keys of 1 to {MAX_KEY_CHARS} and values of up to"
            f" {MAX_VALUE_CHARS} characters; a key of the form __…__ is reserved.",
            code="invalid_labels",
        )
