"""An object in a bucket, pinned to one generation."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import msgspec

from transcripts.ids import MAX_KEY_CHARS, MAX_LABELS, MAX_VALUE_CHARS, usable_key

_URI: Final = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/([^\r\n]{1,1024})")
_NAME_BY_CONTENT: Final = re.compile(r"([0-9a-f]{16})/[^/]+")
"""The names that ``transcripts submit`` gives: a hash of the content, and the file's name."""

SKIP_KEY: Final = "mavi-skip"
ASSET_ID_KEY: Final = "mavi-asset-id"
LABEL_PREFIX: Final = "mavi-label-"
"""Custom metadata that uploaders set. Cloud Storage keeps the case of keys, and clients write ``_``
for ``-``, so every spelling counts."""

_GENERATION: Final = re.compile(r"[0-9]{1,20}")


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of an object. ``size`` is in bytes; the uploader has set ``metadata``.

    ``content_encoding`` tells how the stored bytes are compressed, if they are.
    ``customer_encrypted`` tells that reading them needs the uploader's own key
    (https://cloud.google.com/storage/docs/encryption/customer-supplied-keys). ``crc32c`` and
    ``md5`` are base64; a composite object has no MD5.
    """

    bucket: str
    name: str
    generation: str
    content_type: str | None = None
    content_encoding: str | None = None
    customer_encrypted: bool = False
    size: int = 0
    crc32c: str | None = None
    md5: str | None = None
    metadata: dict[str, str] = {}

    @property
    def uri(self) -> str:
        """``gs://bucket/object``."""
        return f"gs://{self.bucket}/{self.name}"


def split_uri(uri: str) -> tuple[str, str] | None:
    """Return bucket and object name of a ``gs://`` address; None if it is none."""
    match = _URI.fullmatch(uri)
    return (match[1], match[2]) if match else None


def usable_generation(generation: str) -> bool:
    """Tell whether ``generation`` is a number as Cloud Storage counts."""
    return _GENERATION.fullmatch(generation) is not None


class _Resource(msgspec.Struct, frozen=True, rename="camel"):
    """https://cloud.google.com/storage/docs/json_api/v1/objects#resource; numbers are strings."""

    bucket: str
    name: str
    generation: str | int
    content_type: str | None = None
    content_encoding: str | None = None
    customer_encryption: dict[str, Any] | None = None
    size: str | int = 0
    crc32c: str | None = None
    md5_hash: str | None = None
    metadata: dict[str, str] | None = None


_decode = msgspec.json.Decoder(_Resource).decode


def read_resource(data: bytes) -> StoredObject:
    """Return the object that Cloud Storage describes in JSON; raises ``ValueError``."""
    try:
        resource = _decode(data)
        size = int(resource.size)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("not the resource of an object") from error
    generation = str(resource.generation)
    if not resource.bucket or not resource.name or not usable_generation(generation) or size < 0:
        raise ValueError("no bucket, name, generation or size")
    return StoredObject(
        bucket=resource.bucket,
        name=resource.name,
        generation=generation,
        content_type=resource.content_type,
        content_encoding=resource.content_encoding,
        customer_encrypted=resource.customer_encryption is not None,
        size=size,
        crc32c=resource.crc32c,
        md5=resource.md5_hash,
        metadata=resource.metadata or {},
    )


def recording_id(stored: StoredObject, *, any_name: bool) -> str | None:
    """Return an id that every generation with the same bytes has; None without a checksum.

    A restored, rewritten or moved object has a new generation with the same bytes. The name counts
    too, unless it was made from the content. With ``any_name`` no name counts in a bucket; that
    needs the MD5, since the 32 bits of a crc32c do not tell all files of a bucket apart.
    """
    checksum = stored.crc32c or stored.md5
    if not checksum or not stored.size:
        return None
    named = _NAME_BY_CONTENT.fullmatch(stored.name)
    name = named[1] + "/" if named else stored.name
    if any_name and stored.md5:
        name, checksum = "", stored.md5
    key = f"gs://{stored.bucket}/{name}#{stored.size}#{checksum}"
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def asked_to_skip(stored: StoredObject) -> bool:
    """Tell whether the uploader wants no transcript."""
    off = ("", "0", "false", "no")
    return any(value.strip().lower() not in off for value in _metadata(stored, SKIP_KEY).values())


def known_asset_ids(stored: StoredObject) -> list[str]:
    """Return the asset that the uploader names, once for each spelling of the key."""
    return list(_metadata(stored, ASSET_ID_KEY).values())


def labels_of(stored: StoredObject) -> dict[str, str]:
    """Return the labels that an object's metadata ask for, cut to what is stored."""
    found = {
        label: value[:MAX_VALUE_CHARS]
        for key, value in _metadata(stored, LABEL_PREFIX).items()
        if usable_key(label := key[len(LABEL_PREFIX) :][:MAX_KEY_CHARS])
    }
    return dict(list(found.items())[:MAX_LABELS])


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
