"""The events that a finished upload causes, in both forms.

* a CloudEvent ``google.cloud.storage.object.v1.finalized`` in binary mode, as Eventarc sends it:
  the type is a header, the body is the object's resource
  (https://googleapis.github.io/google-cloudevents/examples/binary/storage/StorageObjectData-simple.json)
* the Pub/Sub push of a bucket notification, payload format JSON_API_V1: the type is an attribute,
  the data is the same resource (https://cloud.google.com/storage/docs/pubsub-notifications)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from transcripts.errors import PoisonMessage
from transcripts.push import read_push
from transcripts.uploads.stored_object import StoredObject, read_resource

FINALIZED: Final = "google.cloud.storage.object.v1.finalized"
STORAGE_PREFIX: Final = "google.cloud.storage."
FINALIZE: Final = "OBJECT_FINALIZE"


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
        return read_resource(data)
    except ValueError as error:
        raise PoisonMessage("The event holds no object of Cloud Storage.") from error
