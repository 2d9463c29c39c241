"""The protobuf messages of Google's services, without importing Google's client packages.

Importing ``google.cloud.firestore_v1`` takes 250 ms of CPU time, because it imports every client,
requests and cryptography (``docs/performance.md``). The adapters use only messages. The folder
``definitions`` has a copy of their definitions from Google's packages (``google-cloud-firestore``,
``google-cloud-pubsub``, ``google-cloud-tasks``), and protobuf builds the classes from it in 2 ms.
``tests/definitions.py`` makes the copy; a test compares it with the installed packages.

Each service has a descriptor pool of its own, since Google's packages define the same names in the
default pool. A message can't be copied between pools, but its bytes are the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

FOLDER: Final = Path(__file__).with_name("definitions")
"""Has a serialized ``FileDescriptorSet`` for each service."""


class Messages:
    """The message classes of one service."""

    def __init__(self, service: str, package: str) -> None:
        """Read the definitions; ``package`` is the protobuf package of the messages."""
        self._package = package
        self._pool = DescriptorPool()
        content = (FOLDER / f"{service}.binpb").read_bytes()
        for file in FileDescriptorSet.FromString(content).file:
            self._pool.Add(file)

    def type(self, name: str) -> Any:
        """Return the class of a message; raises ``KeyError`` if the service has no such message."""
        return GetMessageClass(self._pool.FindMessageTypeByName(f"{self._package}.{name}"))
