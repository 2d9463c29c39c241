"""The sessions of unfinished uploads, kept so that the next run of the command goes on."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

KEPT_S: Final = 6 * 24 * 3600
"""Cloud Storage ends a session after a week
(https://cloud.google.com/storage/docs/resumable-uploads#session-uris)."""


class Session(msgspec.Struct, frozen=True):
    """A session: its address, which is the right to upload, and the object that it makes."""

    address: str
    name: str


class Sessions:
    """Files of this user, one a session, below ``$XDG_CACHE_HOME`` or ``~/.cache``.

    A file that cannot be written or read costs only that the upload starts again.
    """

    @property
    def folder(self) -> Path:
        """Where the files are."""
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(cache) / "transcripts" / "uploads"

    def key(
        self, endpoint: str | None, bucket: str, sha256: str, metadata: Mapping[str, str]
    ) -> str:
        """Return the name of the file of an upload: a session has its object's metadata."""
        parts = [endpoint, bucket, sha256, sorted(metadata.items())]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    def load(self, key: str) -> Session | None:
        """Return a session that is not too old, and remove those that are."""
        with suppress(OSError, msgspec.MsgspecError):
            for path in self.folder.iterdir():
                if time.time() - path.stat().st_mtime > KEPT_S:
                    path.unlink()
            return msgspec.json.decode((self.folder / key).read_bytes(), type=Session)
        return None

    def save(self, key: str, session: Session) -> None:
        """Keep a session, readable for this user only."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.folder / key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(session))

    def forget(self, key: str) -> None:
        """Remove a session that has ended."""
        with suppress(OSError):
            (self.folder / key).unlink()
