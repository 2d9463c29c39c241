"""Decides which objects are transcribed, and why others are rejected. Pure.

The name decides first, since people see it, and the content type second. Rejecting a recording
loses it, while uploading another file costs only a little time. So a media format's extension is
overruled only by a content type that names something else.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from transcripts.ids import usable_id
from transcripts.settings import ObjectLimits
from transcripts.uploads.formats import media_filename
from transcripts.uploads.stored_object import StoredObject, asked_to_skip, known_asset_ids

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
    if asked_to_skip(stored):
        return RejectReason.SKIPPED
    for asset_id in known_asset_ids(stored):
        return KnownAsset(asset_id) if usable_id(asset_id) else RejectReason.BAD_ASSET_ID
    return _classify_content(stored, limits)


def _classify_content(stored: StoredObject, limits: ObjectLimits) -> Media | RejectReason:
    basename = stored.name.rpartition("/")[2].strip()
    if basename.startswith(_APPLE_DOUBLE_PREFIX):
        return RejectReason.APPLE_DOUBLE
    if _UNFINISHED_DOWNLOAD.search(stored.name.strip()):
        return RejectReason.UNFINISHED_DOWNLOAD
    filename = media_filename(basename, stored.content_type)
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
