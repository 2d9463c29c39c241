"""Ids and labels that others give: they name documents and fields, so they are bounded.

An id is opaque. Labels are what a caller or an uploader attaches to a submission, and finds its
task by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_ID: Final = re.compile(r"(?!__.*__\Z)[A-Za-z0-9_-]{1,128}\Z")

MAX_LABELS: Final = 64
MAX_KEY_CHARS: Final = 63
MAX_VALUE_CHARS: Final = 256


def usable_id(text: str) -> bool:
    """Tell whether a task's or an asset's id may name a document and stand in a path.

    Firestore reserves ``__.*__``
    (https://cloud.google.com/firestore/quotas#collections_documents_and_fields).
    """
    return _ID.match(text) is not None


def usable_key(text: str) -> bool:
    """Tell whether ``text`` may name a field of a document: neither empty nor reserved."""
    return bool(text) and not (text.startswith("__") and text.endswith("__"))


def usable_labels(labels: Mapping[str, str]) -> bool:
    """Tell whether labels are within the limits, and no key is reserved."""
    return len(labels) <= MAX_LABELS and all(
        usable_key(key) and len(key) <= MAX_KEY_CHARS and len(value) <= MAX_VALUE_CHARS
        for key, value in labels.items()
    )


def label_pairs(labels: Mapping[str, str]) -> list[str]:
    """Return ``["key:value", …]``, sorted: what a query for one label compares."""
    return sorted(f"{key}:{value}" for key, value in labels.items())
