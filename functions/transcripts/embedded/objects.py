"""Objects in folders: ``<data dir>/buckets/<bucket>/<object>``; a generation is a time of writing.

What Cloud Storage keeps as metadata lies beside them, under ``<data dir>/metadata``, as JSON.
"""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from transcripts.errors import ObjectNotFound, ObjectUnavailable
from transcripts.uploads.stored_object import StoredObject


class ObjectAttributes(msgspec.Struct, frozen=True):
    """What an uploader says of an object."""

    content_type: str | None = None
    metadata: dict[str, str] = {}


class FolderObjects:
    """The objects below one data folder."""

    def __init__(self, data_dir: Path) -> None:
        """Name the folder; it need not be there yet."""
        self.buckets = data_dir / "buckets"
        self._metadata = data_dir / "metadata"

    def path(self, bucket: str, name: str) -> Path:
        """Return an object's path; raises ``ObjectNotFound`` for a name that leads elsewhere."""
        return _inside(self.buckets, bucket, name)

    def attributes_path(self, bucket: str, name: str) -> Path:
        """Return where its attributes lie."""
        return _inside(self._metadata, bucket, f"{name}.json")

    def stat(self, bucket: str, name: str, generation: str | None) -> StoredObject:
        """Return what is known of a generation; see ``ports.ObjectSource``."""
        try:
            status = self.path(bucket, name).stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectNotFound("There is no such file.") from error
        except OSError as error:
            raise ObjectUnavailable(f"Folder: {error.strerror}.") from error
        found = str(status.st_mtime_ns)
        if generation not in (None, found):
            raise ObjectNotFound("The file was written anew since.")
        attributes = self._attributes(bucket, name)
        return StoredObject(
            bucket=bucket,
            name=name,
            generation=found,
            content_type=attributes.content_type or mimetypes.guess_type(name)[0],
            size=status.st_size,
            metadata=attributes.metadata,
        )

    def _attributes(self, bucket: str, name: str) -> ObjectAttributes:
        try:
            content = self.attributes_path(bucket, name).read_bytes()
        except OSError:
            return ObjectAttributes()
        return msgspec.json.decode(content, type=ObjectAttributes)

    def open(self, stored: StoredObject) -> BinaryIO:
        """Open just this generation; see ``ports.ObjectSource``."""
        try:
            file = self.path(stored.bucket, stored.name).open("rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectNotFound("There is no such file.") from error
        except OSError as error:
            raise ObjectUnavailable(f"Folder: {error.strerror}.") from error
        if str(os.fstat(file.fileno()).st_mtime_ns) != stored.generation:
            file.close()
            raise ObjectNotFound("The file was written anew since.")
        return file


def _inside(folder: Path, bucket: str, name: str) -> Path:
    root = (folder / bucket).absolute()
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root) or path == root:
        raise ObjectNotFound("The name leads out of its bucket.")
    return path
