"""Ids of others that name our documents: opaque, so their length and characters are bounded."""

from __future__ import annotations

import re
from typing import Final

_ID: Final = re.compile(r"(?!__.*__\Z)[A-Za-z0-9_-]{1,128}\Z")


def usable_id(text: str) -> bool:
    """Tell whether a task's or an asset's id may name a document and stand in a path.

    Firestore reserves ``__.*__``
    (https://cloud.google.com/firestore/quotas#collections_documents_and_fields).
    """
    return _ID.match(text) is not None


def usable_key(text: str) -> bool:
    """Tell whether ``text`` may name a field of a document: neither empty nor reserved."""
    return bool(text) and not (text.startswith("__") and text.endswith("__"))
