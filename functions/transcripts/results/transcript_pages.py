"""A transcript as it is read: its task, and its segments a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import msgspec

from transcripts.errors import Conflict, TaskNotFound, TranscriptIncomplete
from transcripts.ids import usable_id
from transcripts.ports import Documents, Read, Snapshot, Version
from transcripts.retry import Retrier
from transcripts.tasks.speakers import ShownSpeakers, needs_segments, shown_speakers
from transcripts.tasks.task import Page, Segment, Status, Task, page_paths, task_path


class _PageHead(msgspec.Struct, frozen=True):
    """The part of a page that is read to learn whether the page exists."""

    expires_at: datetime | None = None


@dataclass(frozen=True)
class OpenTranscript:
    """A task of one version, of whose pages the first is read and all others were there."""

    task: Task
    version: Version
    first: Sequence[Segment]
    _reader: TranscriptReader

    @property
    def page_count(self) -> int:
        """How many pages there are; the segments of a task without pages count as one."""
        return max(self.task.pages, 1)

    async def page(self, index: int) -> Sequence[Segment]:
        """Return the segments of a page; raises ``StoreUnavailable`` and ``TranscriptIncomplete``.

        A page can be gone although it was there: the task was deleted or has expired.
        """
        return self.first if index == 0 else await self._reader.read_page(self.task, index)

    async def pages(self) -> AsyncIterator[Sequence[Segment]]:
        """Yield every page, and hold one at a time."""
        for index in range(self.page_count):
            yield await self.page(index)

    async def speakers(self) -> ShownSpeakers:
        """Return who is shown as one speaker; raises as ``page`` does.

        Segments are read first only if two speakers who are shown as one may overlap.
        """
        if not needs_segments(self.task):
            return shown_speakers(self.task)
        pages = [page async for page in self.pages()]
        return shown_speakers(self.task, chain.from_iterable(pages))


class TranscriptReader:
    """Opens transcripts."""

    def __init__(self, documents: Documents, retrier: Retrier) -> None:
        self._documents = documents
        self._retrier = retrier

    async def read_task(self, task_id: str) -> Snapshot[Task]:
        """Return a task as it is stored.

        Raises ``RequestError`` (``task_not_found``) and ``StoreUnavailable``.
        """
        return await self._retrier.run(lambda: self._read_task(task_id))

    async def _read_task(self, task_id: str) -> Snapshot[Task]:
        if usable_id(task_id):
            (found,) = await self._documents.read(Read(task_path(task_id), Task))
            if found is not None and found.value.status is not Status.DELETED:
                return found
        raise TaskNotFound

    async def open(self, snapshot: Snapshot[Task]) -> OpenTranscript:
        """Return the transcript of a task, or of the one that has replaced it in the meantime.

        Raises ``RequestError`` (``task_not_found``), ``TranscriptIncomplete`` and
        ``StoreUnavailable``.
        """
        latest = snapshot

        async def attempt() -> OpenTranscript:
            nonlocal latest
            try:
                return await self._open_once(latest)
            except TranscriptIncomplete:
                before, latest = latest, await self._read_task(latest.value.task_id)
                if latest.version == before.version:
                    raise
            raise Conflict("The transcript was replaced while it was opened.")

        return await self._retrier.run(attempt)

    async def _open_once(self, snapshot: Snapshot[Task]) -> OpenTranscript:
        task = snapshot.value
        if not task.pages:
            return OpenTranscript(task, snapshot.version, task.segments, self)
        # An answer that has begun can't become an error, so every page must be there before.
        heads = [Read(path, _PageHead, ("expires_at",)) for path in page_paths(task)]
        if None in await self._documents.read(*heads):
            raise _incomplete()
        return OpenTranscript(task, snapshot.version, await self._read_page(task, 0), self)

    async def speakers(self, task: Task) -> ShownSpeakers:
        """Return who is shown as one speaker of a task of which the summary's fields were read.

        Raises ``StoreUnavailable``. Of a task that is being deleted or replaced, talk times are as
        exact as ``shown_speakers`` has them without segments.
        """
        if needs_segments(task):
            try:
                transcript = await self.open(await self.read_task(task.task_id))
                if transcript.task.revision == task.revision:
                    return await transcript.speakers()
            except (TaskNotFound, TranscriptIncomplete):
                pass
        return shown_speakers(task)

    async def read_page(self, task: Task, index: int) -> Sequence[Segment]:
        """Return the segments of a page; raises ``TranscriptIncomplete``."""
        return await self._retrier.run(lambda: self._read_page(task, index))

    async def _read_page(self, task: Task, index: int) -> Sequence[Segment]:
        (found,) = await self._documents.read(Read(page_paths(task)[index], Page))
        if found is None:
            raise _incomplete()
        return found.value.segments


def _incomplete() -> TranscriptIncomplete:
    return TranscriptIncomplete(
        "A part of this transcript is gone: the task has expired or is being deleted. If it is"
        " still there tomorrow, restore it from the stored callback with POST …/renormalize."
    )
