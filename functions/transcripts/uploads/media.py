"""Which objects are worth a transcript. Pure.

The formats are those that Mavi documents for upload; images are media, but nobody speaks in them
(https://api-tools.memories.ai/visual-intelligence, base/upload).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from transcripts.ids import usable_id, usable_key
from transcripts.labels import MAX_KEY_CHARS, MAX_LABELS, MAX_VALUE_CHARS
from transcripts.uploads.stored_object import StoredObject

VIDEO: Final = frozenset({"mp4", "mov", "avi", "webm", "mkv", "flv", "wmv", "mpeg", "mpg"})
AUDIO: Final = frozenset({"mp3", "wav", "aac", "flac", "ogg", "m4a"})

EXTENSIONS: Final = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/x-msvideo": "avi",
    "video/avi": "avi",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-flv": "flv",
    "video/x-ms-wmv": "wmv",
    "video/mpeg": "mpeg",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/ogg": "ogg",
    "application/ogg": "ogg",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
}
"""For names without an extension: what the content type stands for."""

UNTOLD: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
"""Content types that say nothing: uploaders send them for anything."""

_LABEL_PREFIX: Final = "mavi-label-"


class RejectReason(StrEnum):
    """Why an object is refused."""

    FOLDER = "folder"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_MEDIA = "not_media"
    SKIPPED = "skipped"
    BAD_ASSET_ID = "bad_asset_id"


@dataclass(frozen=True)
class Media:
    """An object to be uploaded and transcribed, under the file name that Mavi is told."""

    filename: str


@dataclass(frozen=True)
class KnownAsset:
    """An object whose content is at Mavi already, as the uploader says in ``mavi-asset-id``."""

    asset_id: str


def classify(stored: StoredObject, max_bytes: int) -> Media | KnownAsset | RejectReason:
    """Tell what an object is to us; ``max_bytes`` is the largest that is taken."""
    if stored.name.endswith("/"):
        return RejectReason.FOLDER
    if _is_set(stored.metadata.get("mavi-skip")):
        return RejectReason.SKIPPED
    asset_id = stored.metadata.get("mavi-asset-id")
    if asset_id is not None:
        return KnownAsset(asset_id) if usable_id(asset_id) else RejectReason.BAD_ASSET_ID
    filename = stored.name.rpartition("/")[2]
    extension = filename.rpartition(".")[2].lower() if "." in filename else ""
    content_type = (stored.content_type or "").partition(";")[0].strip().lower()
    if extension in VIDEO | AUDIO:
        if not (content_type in UNTOLD or _may_be_media(content_type)):
            return RejectReason.NOT_MEDIA
    elif not extension and content_type in EXTENSIONS:
        filename = f"{filename}.{EXTENSIONS[content_type]}"
    else:
        return RejectReason.NOT_MEDIA
    if stored.size == 0:
        return RejectReason.EMPTY
    if stored.size > max_bytes:
        return RejectReason.TOO_LARGE
    return Media(filename)


def _may_be_media(content_type: str) -> bool:
    return content_type.startswith(("video/", "audio/")) or content_type in EXTENSIONS


def _is_set(value: str | None) -> bool:
    return value is not None and value.strip().lower() not in ("", "0", "false", "no")


def labels_of(stored: StoredObject) -> dict[str, str]:
    """Return the labels that an object's metadata ask for, cut to what is stored."""
    found = {
        label: value[:MAX_VALUE_CHARS]
        for key, value in sorted(stored.metadata.items())
        if key.startswith(_LABEL_PREFIX)
        and usable_key(label := key.removeprefix(_LABEL_PREFIX)[:MAX_KEY_CHARS])
    }
    return dict(list(found.items())[:MAX_LABELS])
