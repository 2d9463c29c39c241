"""The events that a finished upload causes, in both forms.

* a CloudEvent ``google.cloud.storage.object.v1.finalized`` in binary mode, as Eventarc sends it:
  the type is a header, the body is the object's resource
  (https://googleapis.github.io/google-cloudevents/examples/binary/storage/StorageObjectData-simple.json)
* the Pub/Sub push of a bucket notification, payload format JSON_API_V1: the type is an attribute,
  the data is the same resource (https://cloud.google.com/storage/docs/pubsub-notifications)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from transcripts.errors import PoisonMessage
from transcripts.push import read_push
from transcripts.uploads.stored_object import StoredObject, usable_generation

FINALIZED: Final = "google.cloud.storage.object.v1.finalized"
STORAGE_PREFIX: Final = "google.cloud.storage."
FINALIZE: Final = "OBJECT_FINALIZE"


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


def read_event(event_type: str | None, body: bytes) -> StoredObject | None:
    """Return the object that was uploaded; None for an event about anything else.

    ``event_type`` is the request's ``ce-type`` header. Raises ``PoisonMessage`` if the event can
    never be understood.
    """
    if event_type is not None and event_type.startswith(STORAGE_PREFIX):
        return _object(body) if event_type == FINALIZED else None
    push = read_push(body)
    attributes: Mapping[str, str] = push.message.attributes
    if attributes.get("eventType", FINALIZE) != FINALIZE:
        return None
    return _object(push.message.data)


def _object(data: bytes) -> StoredObject:
    try:
        resource = _decode(data)
        size = int(resource.size)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise PoisonMessage("The event holds no object of Cloud Storage.") from error
    generation = str(resource.generation)
    if not resource.bucket or not resource.name or not usable_generation(generation) or size < 0:
        raise PoisonMessage("The event's object has no bucket, name, generation or size.")
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
