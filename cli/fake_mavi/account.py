"""The assets and jobs of the fake's one account."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final
from uuid import uuid4

import msgspec

from cli.fake_mavi.faults import Faults

FIRST_ASSET: Final = 100_000_000_000_000_001


class Asset(msgspec.Struct, kw_only=True):
    """A file of the account; ``complete_at`` is when its last byte came (clock seconds)."""

    asset_id: str
    filename: str
    size: int = 0
    sha256: str | None = None
    complete_at: float | None = None
    fails: bool = False
    created_ms: int = 0


class Job(msgspec.Struct, kw_only=True):
    """A job that was bought."""

    task_id: str
    asset_id: str
    answered: bool = True
    posted: int = 0


class Account:
    """The state of the fake, in memory."""

    def __init__(self, faults: Faults, clock: Callable[[], float]) -> None:
        """``clock`` counts seconds."""
        self._faults = faults
        self._clock = clock
        self._numbers = itertools.count(FIRST_ASSET)
        self.assets: dict[str, Asset] = {}
        self.jobs: list[Job] = []

    def add_asset(self, filename: str, *, complete: bool) -> Asset:
        """Make an asset; it has its id before any byte arrives."""
        asset = Asset(
            asset_id=f"re_{next(self._numbers)}",
            filename=filename,
            created_ms=int(self._clock() * 1000),
            complete_at=float("-inf") if complete else None,
        )
        self.assets[asset.asset_id] = asset
        return asset

    def complete(self, asset: Asset, size: int, sha256: str) -> None:
        """Record that the last byte has arrived."""
        asset.size, asset.sha256 = size, sha256
        asset.fails = self._faults.take("upload_fails")
        asset.complete_at = self._clock()

    def upload_status(self, asset: Asset) -> str:
        """Return ``WAITING``, ``UPLOADING``, ``SUCCESS`` or ``FAILED``."""
        if asset.complete_at is None:
            return "WAITING"
        if self._clock() - asset.complete_at < self._faults.upload_delay_s:
            return "UPLOADING"
        return "FAILED" if asset.fails else "SUCCESS"

    def buy(self, asset_id: str, task_id: str | None = None) -> Job:
        """Buy a job. The provider has no idempotency: the same asset twice is two jobs."""
        job = Job(task_id=task_id or uuid4().hex, asset_id=asset_id)
        self.jobs.append(job)
        return job

    def metadata(self, asset: Asset) -> dict[str, str]:
        """Describe an asset as the metadata endpoint does: sizes and times are strings."""
        stem, _, extension = asset.filename.rpartition(".")
        return {
            "asset_id": asset.asset_id,
            "extension": extension if stem else "",
            "original_filename": stem or asset.filename,
            "file_size": str(asset.size),
            "upload_status": self.upload_status(asset),
            "create_time": str(asset.created_ms),
            "modify_time": str(asset.created_ms),
        }
