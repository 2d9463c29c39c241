"""Ids of assets."""

from __future__ import annotations

import re
from typing import Final

_ASSET_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


def usable_asset_id(asset_id: str) -> bool:
    """Tell whether ``asset_id`` may stand in a path and name a document; else it is opaque."""
    return _ASSET_ID.fullmatch(asset_id) is not None
