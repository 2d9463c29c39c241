"""What may name a document or a field."""

from __future__ import annotations

import pytest

from transcripts.ids import usable_key


@pytest.mark.parametrize("key", ["a", "__a", "a__", "_", "ä b", "a:b"])
def test_usable_key_accepts_what_firestore_accepts(key: str) -> None:
    """Only names with two underscores on both sides are reserved."""
    assert usable_key(key)


@pytest.mark.parametrize("key", ["", "__a__", "____"])
def test_usable_key_refuses_empty_and_reserved_names(key: str) -> None:
    """Firestore refuses the whole commit."""
    assert not usable_key(key)
