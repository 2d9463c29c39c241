"""Labels: what a caller or an uploader attaches to a submission, and finds its task by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from transcripts.ids import usable_key

MAX_LABELS: Final = 64
MAX_KEY_CHARS: Final = 63
MAX_VALUE_CHARS: Final = 256


def usable_labels(labels: Mapping[str, str]) -> bool:
    """Tell whether labels are within the limits, and no key is reserved."""
    return len(labels) <= MAX_LABELS and all(
        usable_key(key) and len(key) <= MAX_KEY_CHARS and len(value) <= MAX_VALUE_CHARS
        for key, value in labels.items()
    )


def label_pairs(labels: Mapping[str, str]) -> list[str]:
    """Return ``["key:value", …]``, sorted: what a query for one label compares."""
    return sorted(f"{key}:{value}" for key, value in labels.items())
