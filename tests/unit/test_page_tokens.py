"""Page tokens: bound to their query, and useless once altered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from transcripts.errors import RequestError
from transcripts.ports import Query
from transcripts.results.listing import decode_token, encode_token
from transcripts.tasks.task import Task

QUERY: Query[Task] = Query("tasks", Task, order_by="created_at", limit=50)
MOMENTS = st.datetimes(timezones=st.just(UTC))
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@given(MOMENTS, IDS)
def test_decode_returns_what_was_encoded(moment: datetime, document_id: str) -> None:
    """To the microsecond, in characters that need no escaping in a URL."""
    token = encode_token(QUERY, (moment, document_id))
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    assert decode_token(QUERY, token) == (moment, document_id)


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{1,200}", fullmatch=True))
def test_decode_of_any_other_text_raises(text: str) -> None:
    """It is the caller's error, and never another one."""
    with pytest.raises(RequestError) as caught:
        decode_token(QUERY, text)
    assert caught.value.code == "bad_page_token"


@pytest.mark.parametrize(
    "change",
    [
        {"collection": "submissions"},
        {"where": (("status", "failed"),)},
        {"where": (("submission_id", None),)},
        {"contains": ("label_pairs", "a:b")},
        {"since": NOW},
        {"until": NOW},
    ],
)
def test_decode_with_another_query_raises(change: dict[str, Any]) -> None:
    """For each part of a query that selects; the size of a page may change."""
    token = encode_token(QUERY, (NOW, "t"))
    assert decode_token(replace(QUERY, limit=2), token) == (NOW, "t")
    with pytest.raises(RequestError):
        decode_token(replace(QUERY, **change), token)
