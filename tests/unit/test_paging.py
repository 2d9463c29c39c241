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


def test_paged_usual_result_is_one_document() -> None:
    """An hour of speech stays whole."""
    task = result_task(600)
    assert paginate(task) == (task, [])


def test_paged_result_of_20_000_segments_keeps_each_in_order() -> None:
    """Every page and the task itself fit a document."""
    task = result(callback_body([segment(n, text="ä" * 60) for n in range(20_000)]))
    stored, pages = paginate(task)
    assert stored.segments == []
    assert stored.pages == len(pages) > 1
    assert [part for page in pages for part in page] == task.segments
    assert encoded_size(stored) < HARD_LIMIT
    assert all(encoded_size(Page(page, NOW)) < HARD_LIMIT for page in pages)


def test_paged_largest_whole_result_fits_a_document() -> None:
    """The largest result without pages fits a document with room to spare."""
    low, high = 1, 20_000
    while low < high - 1:
        middle = (low + high) // 2
        _, pages = paginate(result_task(middle))
        low, high = (low, middle) if pages else (middle, high)
    largest = result_task(low)
    assert paginate(largest)[1] == []
    assert INLINE_LIMIT_BYTES * 0.8 < encoded_size(largest) < HARD_LIMIT


@given(st.lists(st.text(max_size=300), max_size=80), st.integers(200, 5000))
def test_paged_at_any_limit_keeps_every_segment(texts: list[str], limit: int) -> None:
    """A page has at least one segment, and no more than fit."""
    task = result(callback_body([segment(n, text="x" + text) for n, text in enumerate(texts)]))
    stored, pages = paginate(task, limit)
    if not pages:
        assert stored == task
        return
    assert all(pages)
    assert [part for page in pages for part in page] == task.segments


def test_paged_silence_is_one_document() -> None:
    """Silence has no segments to cut, however small the limit."""
    stored, pages = paginate(result(callback_body([])), 1)
    assert (stored.pages, pages) == (0, [])


@given(st.binary(max_size=100), st.integers(1, 40))
def test_chunks_of_any_body_are_complete_and_not_empty(raw: bytes, limit: int) -> None:
    """An empty body has one block, so that it differs from a missing one."""
    cut = chunks(raw, limit)
    assert b"".join(cut) == raw
    assert len(cut) >= 1
    assert all(len(block) <= limit for block in cut)


def test_raw_block_with_its_framing_fits_a_document() -> None:
    """A block and its framing are under the document limit."""
    assert RAW_CHUNK_BYTES < HARD_LIMIT - 10_000
