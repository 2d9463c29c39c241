"""Decides which objects are media, and so are transcribed. Pure.

The name decides first, since people see it, and the content type second. Rejecting a recording
loses it, while uploading another file costs only a little time. So a media format's extension is
overruled only by a content type that names something else.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from transcripts.ids import usable_id, usable_key
from transcripts.labels import MAX_KEY_CHARS, MAX_LABELS, MAX_VALUE_CHARS
from transcripts.settings import ObjectLimits
from transcripts.uploads.formats import (
    FORMAT_OF_EXTENSION,
    FORMAT_OF_TYPE,
    TYPE_OF_FORMAT,
    UNINFORMATIVE_TYPES,
)
from transcripts.uploads.stored_object import StoredObject

SKIP_KEY: Final = "mavi-skip"
ASSET_ID_KEY: Final = "mavi-asset-id"
LABEL_PREFIX: Final = "mavi-label-"
"""Custom metadata that uploaders set. Cloud Storage keeps the case of keys, and clients write ``_``
for ``-``, so every spelling counts."""

_EXTENSION: Final = re.compile(r"(?=[0-9]*[A-Za-z])(?:[a-z0-9]{1,8}|[A-Z0-9]{1,8})")
"""The form of an extension: short, of one case, with a letter. ``Smith`` and ``2024`` are none.

An unknown extension of up to eight lower-case letters decides: ``notes.txt`` is no recording,
whatever its content type says.
"""

_TEMPORARY_PART: Final = re.compile(
    r"(?:^|/)(?:gcloud|gsutil)/tmp/parallel_composite_uploads/"
    r"|(?:^|/)gcs-go-sdk-pu-tmp/"
    r"|[\w-]{16,};[\w-]{16,};[0-9-]+\.part\Z",
    re.ASCII,
)
"""Parts of a large file that an uploader makes, composes and deletes: gcloud and gsutil, in any
folder, the Go client, and the Java client.

https://cloud.google.com/storage/docs/parallel-composite-uploads,
https://pkg.go.dev/cloud.google.com/go/storage#ParallelUploadConfig,
https://cloud.google.com/java/docs/reference/google-cloud-storage/latest/com.google.cloud.storage.ParallelCompositeUploadBlobWriteSessionConfig.PartNamingStrategy
"""

_UNFINISHED_DOWNLOAD: Final = re.compile(
    r"\.(?:part|partial|filepart|dtapart|crdownload|download|opdownload|fdmdownload|aria2|ytdl|tmp"
    r"|temp|incomplete|unfinished|xltd|!qb|!ut|bc!|jc!)\Z|(?:^|/)[^/]+\.download/",
    re.IGNORECASE,
)
"""Names of downloads that have not ended: Firefox, Chrome and Edge, Safari (whose file lies in a
folder ``talk.mp4.download``), Opera, older Edge, WinSCP, download managers and BitTorrent clients.
A case-insensitive file system may have changed the case."""

_APPLE_DOUBLE_PREFIX: Final = "._"
"""macOS keeps a file's attributes beside it on foreign volumes, under the same extension
(https://www.rfc-editor.org/rfc/rfc1740, appendix A)."""

_CODINGS: Final = frozenset(
    {
        "aes128gcm",
        "br",
        "compress",
        "dcb",
        "dcz",
        "deflate",
        "exi",
        "gzip",
        "pack200-gzip",
        "x-compress",
        "x-gzip",
        "zstd",
    }
)
"""IANA's content codings but for ``identity``
(https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding). Any other
value, ``utf-8`` for one, is a mistake of an uploader that leaves the bytes as they are."""


class RejectReason(StrEnum):
    """Why an object is rejected."""

    FOLDER = "folder"
    TEMPORARY_PART = "temporary_part"
    UNFINISHED_DOWNLOAD = "unfinished_download"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_MEDIA = "not_media"
    APPLE_DOUBLE = "apple_double"
    COMPRESSED = "compressed"
    CUSTOMER_KEY = "customer_key"
    SKIPPED = "skipped"
    BAD_ASSET_ID = "bad_asset_id"


class Media(msgspec.Struct, frozen=True):
    """An object to upload and transcribe; ``filename`` is its name at Mavi."""

    filename: str


class KnownAsset(msgspec.Struct, frozen=True):
    """An object whose content is at Mavi already, as the uploader says in ``mavi-asset-id``."""

    asset_id: str


def classify(stored: StoredObject, limits: ObjectLimits) -> Media | KnownAsset | RejectReason:
    """Tell what an object is, or why it is rejected."""
    if stored.name.endswith("/"):
        return RejectReason.FOLDER
    if _TEMPORARY_PART.search(stored.name):
        return RejectReason.TEMPORARY_PART
    if any(map(_is_set, _metadata(stored, SKIP_KEY).values())):
        return RejectReason.SKIPPED
    for asset_id in _metadata(stored, ASSET_ID_KEY).values():
        return KnownAsset(asset_id) if usable_id(asset_id) else RejectReason.BAD_ASSET_ID
    return _classify_content(stored, limits)


def _classify_content(stored: StoredObject, limits: ObjectLimits) -> Media | RejectReason:
    basename = stored.name.rpartition("/")[2].strip()
    if basename.startswith(_APPLE_DOUBLE_PREFIX):
        return RejectReason.APPLE_DOUBLE
    if _UNFINISHED_DOWNLOAD.search(stored.name.strip()):
        return RejectReason.UNFINISHED_DOWNLOAD
    filename = _media_filename(basename, stored.content_type)
    if filename is None:
        return RejectReason.NOT_MEDIA
    if stored.size == 0:
        return RejectReason.EMPTY
    if stored.size > limits.max_object_bytes:
        return RejectReason.TOO_LARGE
    return unreadable_reason(stored) or Media(filename)


def unreadable_reason(stored: StoredObject) -> RejectReason | None:
    """Return why an object's bytes cannot be uploaded to Mavi, or None if no reason is known.

    A compressed object is not unpacked: an upload needs its length beforehand, and the length of
    gzip data is known only after unpacking all of it. The user can upload the file uncompressed.
    """
    if stored.customer_encrypted:
        return RejectReason.CUSTOMER_KEY
    codings = (stored.content_encoding or "").lower().split(",")
    if any(coding.strip() in _CODINGS for coding in codings):
        return RejectReason.COMPRESSED
    return None


def played_type(stored: StoredObject) -> str | None:
    """Return the content type to play an object with, or None if it is no media.

    It is ``audio/…`` or ``video/…``, whatever the uploader has set.
    """
    filename = _media_filename(stored.name.rpartition("/")[2].strip(), stored.content_type)
    if filename is None:
        return None
    return TYPE_OF_FORMAT.get(FORMAT_OF_EXTENSION[filename.rpartition(".")[2].lower()])


def _media_filename(basename: str, content_type: str | None) -> str | None:
    """Return the name with an extension that Mavi documents, or None if it is no media."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    tail = basename.rpartition(".")[2] if "." in basename else ""
    media_format = FORMAT_OF_EXTENSION.get(tail.lower())
    if media_format is not None:
        if not _may_be_media(media_type):
            return None
        return basename if tail.lower() == media_format else f"{basename}.{media_format}"
    media_format = FORMAT_OF_TYPE.get(media_type)
    if media_format is None or _EXTENSION.fullmatch(tail):
        return None
    return f"{basename}.{media_format}"


def without_extension(filename: str) -> str:
    """Return a file's name without its extension; ``Interview with Dr. Smith`` has none."""
    stem, _, tail = filename.rpartition(".")
    return stem if stem and _EXTENSION.fullmatch(tail.rstrip()) else filename


def _may_be_media(media_type: str) -> bool:
    return (
        media_type in UNINFORMATIVE_TYPES
        or media_type.startswith(("video/", "audio/"))
        or media_type in FORMAT_OF_TYPE
    )


def _is_set(value: str) -> bool:
    return value.strip().lower() not in ("", "0", "false", "no")


def _metadata(stored: StoredObject, prefix: str) -> dict[str, str]:
    """Return the metadata whose keys begin with ``prefix`` in any spelling, by the whole key.

    A ``prefix`` without ``-`` at its end is a whole key.
    """
    return {
        key: value
        for key, value in sorted(stored.metadata.items())
        if (spelling := key.lower().replace("_", "-")) == prefix
        or (prefix.endswith("-") and spelling.startswith(prefix))
    }


def labels_of(stored: StoredObject) -> dict[str, str]:
    """Return the labels that an object's metadata ask for, cut to what is stored."""
    found = {
        label: value[:MAX_VALUE_CHARS]
        for key, value in _metadata(stored, LABEL_PREFIX).items()
        if usable_key(label := key[len(LABEL_PREFIX) :][:MAX_KEY_CHARS])
    }
    return dict(list(found.items())[:MAX_LABELS])
