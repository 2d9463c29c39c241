"""How a transcript is cut into documents."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import callback_body, segment
from tests.contracts.documents import result_task
from tests.fakes import NOW
from tests.unit.test_normalize import result
from transcripts.google.documents import encode_commit
from transcripts.ports import Write
from transcripts.tasks.paging import INLINE_LIMIT_BYTES, RAW_CHUNK_BYTES, chunks, paginate
from transcripts.tasks.task import Page

DATABASE = "projects/local/databases/(default)"
HARD_LIMIT = 1024 * 1024


def encoded_size(value: object) -> int:
    return len(encode_commit(DATABASE, [Write("tasks/t", value)]).SerializeToString())  # type: ignore[arg-type] # every stored document is a Struct


def test_a_usual_result_is_one_document() -> None:
    """An hour of speech stays whole."""
    task = result_task(600)
    assert paginate(task) == (task, [])


def test_twenty_thousand_segments_are_paged() -> None:
    """In order, complete, every page and the task itself inside a document."""
    task = result(callback_body([segment(n, text="ä" * 60) for n in range(20_000)]))
    stored, pages = paginate(task)
    assert stored.segments == []
    assert stored.pages == len(pages) > 1
    assert [part for page in pages for part in page] == task.segments
    assert encoded_size(stored) < HARD_LIMIT
    assert all(encoded_size(Page(page, NOW)) < HARD_LIMIT for page in pages)


def test_the_border_is_below_what_the_store_takes() -> None:
    """The largest result that stays whole fits a document with room to spare."""
    low, high = 1, 20_000
    while low < high - 1:
        middle = (low + high) // 2
        _, pages = paginate(result_task(middle))
        low, high = (low, middle) if pages else (middle, high)
    largest = result_task(low)
    assert paginate(largest)[1] == []
    assert INLINE_LIMIT_BYTES * 0.8 < encoded_size(largest) < HARD_LIMIT


@given(st.lists(st.text(max_size=300), max_size=80), st.integers(200, 5000))
def test_any_limit_keeps_every_segment(texts: list[str], limit: int) -> None:
    """A page has at least one segment, and no more than fit."""
    task = result(callback_body([segment(n, text="x" + text) for n, text in enumerate(texts)]))
    stored, pages = paginate(task, limit)
    if not pages:
        assert stored == task
        return
    assert all(pages)
    assert [part for page in pages for part in page] == task.segments


def test_silence_is_never_paged() -> None:
    """There is nothing to cut, however small the limit."""
    stored, pages = paginate(result(callback_body([])), 1)
    assert (stored.pages, pages) == (0, [])


@given(st.binary(max_size=100), st.integers(1, 40))
def test_blocks_are_complete_and_never_none(raw: bytes, limit: int) -> None:
    """Even nothing is one block, so that it can be told from what is missing."""
    cut = chunks(raw, limit)
    assert b"".join(cut) == raw
    assert len(cut) >= 1
    assert all(len(block) <= limit for block in cut)


def test_a_raw_block_fits_a_document() -> None:
    """With its framing."""
    assert RAW_CHUNK_BYTES < HARD_LIMIT - 10_000
