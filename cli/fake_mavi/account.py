"""The fake's one account: its assets, its jobs, and its rate limit."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from cli.fake_mavi.faults import Faults

FIRST_ASSET: Final = 100_000_000_000_000_001
TOLERANCE: Final = 0.98
"""Fraction of the interval that is tolerated: network delays vary, and no exact rule is known."""


class Asset(msgspec.Struct, kw_only=True):
    """A file of the account; ``complete_at`` is when its last byte came (clock seconds)."""

    asset_id: str
    filename: str
    size: int = 0
    sha256: str | None = None
    complete_at: float | None = None
    fails: bool = False
    created_ms: int = 0
    deleted: bool = False


class Job(msgspec.Struct, kw_only=True):
    """A job that was bought."""

    task_id: str
    asset_id: str
    answered: bool = True
    posted: int = 0


class Account:
    """The state of the fake, in memory; its assets outlive it in a file."""

    def __init__(self, faults: Faults, clock: Callable[[], float], journal: Path | None) -> None:
        """``clock`` counts seconds. ``journal`` has a line for each change of an asset."""
        self._faults = faults
        self._clock = clock
        self._journal = journal
        self.jobs: list[Job] = []
        lines = journal.read_bytes() if journal is not None and journal.exists() else b""
        latest = {each.asset_id: each for each in msgspec.json.Decoder(Asset).decode_lines(lines)}
        self.assets = {key: asset for key, asset in latest.items() if not asset.deleted}
        self._numbers = itertools.count(FIRST_ASSET + len(latest))

    def _save(self, asset: Asset) -> None:
        if self._journal is not None:
            self._journal.parent.mkdir(parents=True, exist_ok=True)
            with self._journal.open("ab") as file:
                file.write(msgspec.json.encode(asset) + b"\n")

    def add_asset(self, filename: str, *, complete: bool) -> Asset:
        """Make an asset; it has its id before any byte arrives."""
        asset = Asset(
            asset_id=f"re_{next(self._numbers)}",
            filename=filename,
            created_ms=int(self._clock() * 1000),
            complete_at=0.0 if complete else None,
        )
        self.assets[asset.asset_id] = asset
        self._save(asset)
        return asset

    def complete(self, asset: Asset, size: int, sha256: str) -> None:
        """Record that the last byte has arrived."""
        asset.size, asset.sha256 = size, sha256
        asset.fails = self._faults.take("upload_fails")
        asset.complete_at = self._clock()
        self._save(asset)

    def delete(self, asset_id: str) -> bool:
        """Delete an asset; tells whether there was one."""
        asset = self.assets.pop(asset_id, None)
        if asset is not None:
            asset.deleted = True
            self._save(asset)
        return asset is not None

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


class Limiter:
    """Counts requests by endpoint; ``violations`` are those that came too soon."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        """Allow ``per_second`` requests to each endpoint; 0 is no limit."""
        self._interval_s = TOLERANCE / per_second if per_second else 0.0
        self._clock = clock
        self._last: dict[str, float] = {}
        self.requests: dict[str, int] = {}
        self.violations: dict[str, int] = {}

    def allows(self, endpoint: str) -> bool:
        """Count a request and tell whether it is within the limit."""
        now = self._clock()
        self.requests[endpoint] = self.requests.get(endpoint, 0) + 1
        if now - self._last.get(endpoint, float("-inf")) < self._interval_s:
            self.violations[endpoint] = self.violations.get(endpoint, 0) + 1
            return False
        self._last[endpoint] = now
        return True
