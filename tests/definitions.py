"""The definitions of Google's messages: copied from the installed client packages.

`make definitions` copies them again, after `make lock` has changed a version;
``tests/unit/test_google_messages.py`` fails until this is done.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from google.cloud import firestore_v1, tasks_v2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.pubsub_v1 import types as pubsub

from transcripts.google.messages import FOLDER

MESSAGES: Final[dict[str, Sequence[Any]]] = {
    "firestore": (
        firestore_v1.types.BatchGetDocumentsRequest,
        firestore_v1.types.BatchGetDocumentsResponse,
        firestore_v1.types.CommitRequest,
        firestore_v1.types.CommitResponse,
        firestore_v1.types.RunAggregationQueryRequest,
        firestore_v1.types.RunAggregationQueryResponse,
        firestore_v1.types.RunQueryRequest,
        firestore_v1.types.RunQueryResponse,
    ),
    "pubsub": (pubsub.PublishRequest, pubsub.PublishResponse),
    "cloudtasks": (tasks_v2.CreateTaskRequest, tasks_v2.Task),
}
"""The official classes of the messages that the adapters use, by service."""


def definitions(service: str) -> bytes:
    """Return the files that define the messages of a service, each after those it imports.

    The packages list the imports of a file in another order in every process, so they are sorted.
    """
    files: dict[str, FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        for imported in sorted(file.dependencies, key=lambda each: each.name):
            add(imported)
        if file.name not in files:
            copied = files[file.name] = FileDescriptorProto.FromString(file.serialized_pb)
            copied.dependency.sort()

    for message in MESSAGES[service]:
        add(message.pb().DESCRIPTOR.file)
    return FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)


def definitions_path(service: str) -> Path:
    """Return where the definitions of a service are kept."""
    return FOLDER / f"{service}.binpb"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.definitions --write")
    for name in MESSAGES:
        definitions_path(name).write_bytes(definitions(name))
        print(f"wrote {definitions_path(name)}")
