"""Reads an object in a thread of its own, ahead of the caller that sends it.

Storage and receiver are then busy at the same time. The memory of one upload is bounded:
``READ_AHEAD_BYTES`` wait to be sent, one block is being sent and one is being read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Final, Self

from transcripts.errors import ObjectUnavailable
from transcripts.ports import ObjectReader

BLOCK_BYTES: Final = 512 * 1024
"""How many bytes are read and sent at a time. Smaller blocks cost more CPU."""

READ_AHEAD_BYTES: Final = 8 * 1024 * 1024
"""How many bytes of an upload wait to be sent, at most: 0.1 s of a line of 80 MB a second."""


PAUSE_S: Final = 0.01
"""How long to wait after a read that did not fill a block. The bytes that arrive meanwhile are read
at once: a system call and a switch of threads for each packet would cost more than copying them."""


class ReadAhead:
    """The blocks of an object, in order; iterate over them once, under ``with``.

    The iteration starts the thread. A block is given only after the read that follows it, so that
    the last one is held back until the object is complete: if the object is shorter or longer than
    its size, or its checksum is wrong, the caller gets the error and never the last block.

    An error of the reader is raised at the next block, before the blocks that wait. At the end of
    ``with`` the reader is closed and the thread has ended.
    """

    def __init__(
        self,
        reader: ObjectReader,
        size: int,
        *,
        block_bytes: int = BLOCK_BYTES,
        ahead_bytes: int = READ_AHEAD_BYTES,
    ) -> None:
        """The reader has to give ``size`` bytes; this object closes it."""
        self._reader = reader
        self._size = size
        self._block_bytes = block_bytes
        self._ahead_bytes = ahead_bytes
        self._changed = Condition()
        self._blocks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._error: BaseException | None = None
        self._complete = False
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="read-ahead", daemon=True)

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop reading at once, close the reader and wait until the thread has ended."""
        with self._changed:
            self._stopped.set()
            self._changed.notify_all()
        # This also ends a read that is under way.
        self._reader.close()
        if self._thread.ident is not None:
            self._thread.join()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks; raises the errors of the reader, and ``ObjectUnavailable``."""
        self._thread.start()
        while block := self._take():
            yield block

    def _take(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._complete or self._error)
            if self._error is not None:
                raise self._error
            if not self._blocks:
                return b""
            block = self._blocks.popleft()
            self._waiting_bytes -= len(block)
            self._changed.notify_all()
            return block

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that sends
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _read(self) -> None:
        held_back = b""
        received = 0
        while self._has_room():
            block = self._reader.read(self._block_bytes)
            received += len(block)
            if received > self._size:
                raise ObjectUnavailable("The object is longer than its size.")
            if not block and received < self._size:
                raise ObjectUnavailable("The object ended before its size.")
            self._give(held_back, last=not block)
            if not block:
                return
            held_back = block
            if len(block) < self._block_bytes and received < self._size:
                self._stopped.wait(PAUSE_S)

    def _has_room(self) -> bool:
        """Wait until another block may be read; return False if the caller has stopped."""
        with self._changed:
            limit = self._ahead_bytes - self._block_bytes
            self._changed.wait_for(lambda: self._stopped.is_set() or self._waiting_bytes <= limit)
            return not self._stopped.is_set()

    def _give(self, block: bytes, *, last: bool) -> None:
        with self._changed:
            if block:
                self._blocks.append(block)
                self._waiting_bytes += len(block)
            self._complete = last
            self._changed.notify_all()
