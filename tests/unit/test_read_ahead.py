"""Reading ahead: order, sizes, errors at any byte, a sender that stops, and bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcripts.errors import (
    ObjectCorrupted,
    ObjectForbidden,
    ObjectNotFound,
    ObjectUnavailable,
    ObjectUnreadable,
    TranscriptsError,
)
from transcripts.mavi.upload_body import BLOCK_BYTES, READ_AHEAD_BYTES, ReadAhead

WAIT_S = 10.0
"""For a thread that certainly does something; a test that waits this long fails."""

ERRORS: list[Callable[[], BaseException]] = [
    lambda: ObjectUnavailable("injected"),
    lambda: ObjectForbidden("injected"),
    lambda: ObjectCorrupted("injected"),
    lambda: ObjectNotFound("injected"),
    lambda: ObjectUnreadable("requester_pays", "injected"),
    KeyboardInterrupt,
]


class Reader:
    """Gives pieces of given sizes, and may fail after some bytes; counts what it gave."""

    def __init__(
        self,
        content: bytes,
        pieces: list[int] | None = None,
        fails_at: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        self.content = content
        self.pieces = list(pieces or [])
        self.fails_at = fails_at
        self.error = error
        self.given = 0
        self.reads = 0
        self.closed = 0
        self.changed = threading.Condition()

    def read(self, size: int, /) -> bytes:
        assert not self.closed
        piece = min(size, self.pieces.pop(0) if self.pieces else size)
        if self.fails_at is not None:
            if self.given >= self.fails_at:
                assert self.error is not None
                raise self.error
            piece = min(piece, self.fails_at - self.given)
        content = self.content[self.given : self.given + piece]
        with self.changed:
            self.given += len(content)
            self.reads += 1
            self.changed.notify_all()
        return content

    def close(self) -> None:
        self.closed += 1

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, WAIT_S)


def ahead(reader: Any, size: int, block: int = 4, waiting: int = 12) -> ReadAhead:
    return ReadAhead(reader, size, block_bytes=block, ahead_bytes=waiting)


def send_to(sent: list[bytes], blocks: ReadAhead) -> None:
    with blocks:
        sent.extend(blocks)


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("read-ahead")]


@given(
    content=st.binary(max_size=60),
    pieces=st.lists(st.integers(1, 9), max_size=20),
    block=st.integers(1, 9),
    blocks=st.integers(1, 5),
)
def test_read_ahead_gives_every_byte_in_order(
    content: bytes, pieces: list[int], block: int, blocks: int
) -> None:
    """The sizes of what is read make no difference; the thread ends, and the reader is closed."""
    reader = Reader(content, pieces)
    with ahead(reader, len(content), block, block * blocks) as given_blocks:
        assert b"".join(given_blocks) == content
    assert (reader.closed, threads()) == (1, [])


@given(
    content=st.binary(min_size=1, max_size=60),
    at=st.integers(0, 60),
    block=st.integers(1, 9),
    error=st.sampled_from(ERRORS),
)
def test_read_ahead_with_an_error_at_any_byte_raises_it(
    content: bytes, at: int, block: int, error: Callable[[], BaseException]
) -> None:
    """The error is the reader's own, and what came before it is never the whole object."""
    raised = error()
    reader = Reader(content, fails_at=min(at, len(content)), error=raised)
    sent: list[bytes] = []
    with pytest.raises(type(raised)) as caught:
        send_to(sent, ahead(reader, len(content), block))
    assert caught.value is raised
    assert content.startswith(b"".join(sent))
    assert len(b"".join(sent)) < len(content)
    assert (reader.closed, threads()) == (1, [])


@given(content=st.binary(min_size=1, max_size=60), by=st.integers(-60, 60), block=st.integers(1, 9))
def test_read_ahead_of_an_object_of_another_size_gives_no_last_block(
    content: bytes, by: int, block: int
) -> None:
    """A server never gets as many bytes as it was promised, so it discards them."""
    size = max(len(content) + by, 0)
    sent: list[bytes] = []
    try:
        send_to(sent, ahead(Reader(content), size, block))
    except ObjectUnavailable:
        assert size != len(content)
        assert len(b"".join(sent)) < max(size, 1)
    else:
        assert (size, b"".join(sent)) == (len(content), content)


@given(content=st.binary(min_size=1, max_size=80), taken=st.integers(0, 20))
def test_read_ahead_whose_sender_stops_reads_no_more(content: bytes, taken: int) -> None:
    """At the end of ``with`` the thread has ended, after any number of blocks."""
    reader = Reader(content)
    with ahead(reader, len(content)) as blocks:
        sent = b"".join(islice(blocks, taken))
    assert content.startswith(sent)
    # Beside those that wait, one block is held back, and one is being read.
    assert reader.given <= len(sent) + 12 + 2 * 4
    assert (reader.closed, threads()) == (1, [])


def test_read_ahead_that_is_not_asked_reads_nothing() -> None:
    """A server that cannot be reached costs no reading."""
    reader = Reader(b"12345678")
    with ahead(reader, 8):
        assert threads() == []
    assert (reader.reads, reader.closed) == (0, 1)


def test_read_ahead_of_a_slow_sender_holds_a_bounded_number_of_bytes() -> None:
    """Reading goes on when the sender has taken a block."""
    reader = Reader(bytes(1000))
    with ahead(reader, 1000) as blocks:
        iterator = iter(blocks)
        next(iterator)
        reader.wait_until(lambda: reader.given >= 4 + 12 + 4)
        with reader.changed:
            # Nothing but the time tells that the thread waits.
            assert not reader.changed.wait_for(lambda: reader.given > 4 + 12 + 4, 0.05)
        next(iterator)
        reader.wait_until(lambda: reader.given == 4 + 12 + 4 + 4)


def test_read_ahead_reads_while_a_block_is_sent() -> None:
    """The sender still has the first block when the next ones are read."""
    reader = Reader(bytes(100))
    with ahead(reader, 100) as blocks:
        for _ in blocks:
            reader.wait_until(lambda: reader.given >= 12)
            break


def test_read_ahead_error_comes_before_the_blocks_that_wait() -> None:
    """A request whose object cannot be read ends at once."""
    may_fail = threading.Event()

    class Failing(Reader):
        def read(self, size: int, /) -> bytes:
            if self.given == 16:
                assert may_fail.wait(WAIT_S)
                raise ObjectForbidden("injected")
            return super().read(size)

    with ahead(Failing(bytes(100)), 100, waiting=100) as blocks:
        iterator = iter(blocks)
        next(iterator)
        may_fail.set()
        # The thread does this after the read that fails.
        blocks._thread.submit(int).result(WAIT_S)
        with pytest.raises(ObjectForbidden):
            next(iterator)


def test_read_ahead_holds_the_last_block_back_until_the_end_is_read() -> None:
    """The checksum is known only then."""
    may_end = threading.Event()

    class Slow(Reader):
        def read(self, size: int, /) -> bytes:
            if self.given == len(self.content):
                assert may_end.wait(WAIT_S)
                raise ObjectCorrupted("injected")
            return super().read(size)

    reader = Slow(bytes(8))
    with ahead(reader, 8) as blocks:
        iterator = iter(blocks)
        assert len(next(iterator)) == 4
        may_end.set()
        with pytest.raises(ObjectCorrupted):
            next(iterator)


def test_read_ahead_whose_sender_fails_ends_a_read_that_waits() -> None:
    """The reader is closed while its thread reads, which ends the read."""

    class Waiting(Reader):
        def __init__(self) -> None:
            super().__init__(bytes(100))
            self.reading = threading.Event()
            self.released = threading.Event()

        def read(self, size: int, /) -> bytes:
            if self.reads < 2:
                return super().read(size)
            self.reading.set()
            assert self.released.wait(WAIT_S)
            raise ObjectUnavailable("closed")

        def close(self) -> None:
            super().close()
            self.released.set()

    class SendFailed(Exception):
        """The error of the sender."""

    def send(blocks: ReadAhead) -> None:
        with blocks:
            next(iter(blocks))
            assert reader.reading.wait(WAIT_S)
            raise SendFailed

    reader = Waiting()
    with pytest.raises(SendFailed):
        send(ahead(reader, 100))
    assert (reader.closed, threads()) == (1, [])


def test_read_ahead_memory_of_one_upload_is_bounded() -> None:
    """Eight uploads with two blocks each beside what waits fit into 100 MiB."""
    assert READ_AHEAD_BYTES % BLOCK_BYTES == 0
    assert 8 * (READ_AHEAD_BYTES + 2 * BLOCK_BYTES) <= 100 * 1024 * 1024


def test_errors_of_a_reader_are_all_tried() -> None:
    """The errors that a port promises are among those above."""
    kinds = {type(error()) for error in ERRORS}
    assert kinds >= {ObjectNotFound, ObjectUnreadable, *ObjectUnavailable.__subclasses__()}
    assert all(issubclass(kind, TranscriptsError | KeyboardInterrupt) for kind in kinds)
