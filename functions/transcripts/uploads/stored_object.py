"""An object in a bucket, pinned to one generation."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

_URI: Final = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/([^\r\n]{1,1024})")
_GENERATION: Final = re.compile(r"[0-9]{1,20}")


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of an object. ``size`` is in bytes; the uploader has set ``metadata``.

    ``content_encoding`` tells how the stored bytes are compressed, if they are.
    ``customer_encrypted`` tells that reading them needs the uploader's own key
    (https://cloud.google.com/storage/docs/encryption/customer-supplied-keys).
    """

    bucket: str
    name: str
    generation: str
    content_type: str | None = None
    content_encoding: str | None = None
    customer_encrypted: bool = False
    size: int = 0
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
        metadata=resource.metadata or {},
    )
