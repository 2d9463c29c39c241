"""Deleting assets, with a client that the first deletion imports.

Most instances of results never delete an asset, and importing requests takes 60 ms of CPU time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from transcripts.mavi.answers import DeleteAnswer
from transcripts.settings import Secret

if TYPE_CHECKING:
    from transcripts.mavi.client import MaviClient


class Deleter:
    """Deletes assets of one Mavi account."""

    def __init__(self, base_url: str, key: Secret, per_second: float) -> None:
        self._base_url = base_url
        self._key = key
        self._per_second = per_second
        self._opening: asyncio.Future[MaviClient] | None = None

    async def delete(self, asset_id: str, max_wait_s: float) -> DeleteAnswer:
        """Delete an asset; see ``MaviClient.delete``."""
        if self._opening is None:
            # All deletions share one client, since the client keeps the rate limit.
            self._opening = asyncio.ensure_future(asyncio.to_thread(self._open))
        client = await asyncio.shield(self._opening)
        return await client.delete(asset_id, max_wait_s)

    def _open(self) -> MaviClient:
        from transcripts.mavi.client import MaviClient

        return MaviClient(self._base_url, self._key, self._per_second)
