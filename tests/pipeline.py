"""The pipeline on fakes: service, intake and sweep around one ledger, one bucket and one queue."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import (
    Clock,
    LogLines,
    MemoryDocuments,
    MemoryObjects,
    MemoryQueue,
    ScriptedProvider,
    Sleeper,
    TryOnce,
)
from tests.stored import read_submission
from transcripts.errors import (
    StoreUnavailable,
    SubmissionError,
)
from transcripts.ports import SubmitQueue, Write
from transcripts.retry import Retrier
from transcripts.settings import ObjectLimits
from transcripts.submissions.intake import Intake
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.requests import SubmitAsset
from transcripts.submissions.service import SubmissionService
from transcripts.submissions.submission import (
    State,
    Submission,
    submission_id_of_asset,
    submission_id_of_object,
    submission_path,
)
from transcripts.submissions.submitter import Submitter
from transcripts.submissions.sweep import Sweeper
from transcripts.submissions.uploader import Uploader
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Task

ASSET = "re_1"
ID = submission_id_of_asset(ASSET)
CONTENT = b"a recording of a meeting"
OVERDUE = timedelta(hours=6)
REQUEST = SubmitAsset(ASSET, {"case": "7"})
FORCED = SubmitAsset(ASSET, {}, force=True)


class Pipeline:
    """A service and the parts around it. Each ``instance`` is a process of its own.

    Tests change its behavior by hooks: those of the fakes (``tests.fakes``), and the arguments of
    ``instance``, ``sweeper`` and ``restart``.
    """

    def __init__(
        self,
        *,
        retention_days: int = 0,
        limits: ObjectLimits | None = None,
        queue: SubmitQueue | None = None,
        **options: Any,
    ) -> None:
        self.retention_days = retention_days
        self.documents = MemoryDocuments()
        self.clock = Clock()
        self.sleeper = Sleeper(self.clock)
        self.provider = ScriptedProvider()
        self.objects = MemoryObjects()
        self.lines = LogLines()
        self.options = options
        self._lease_ids = map(str, itertools.count(1))
        self.service = self.instance()
        self.queue = MemoryQueue()
        self.ledger = self._ledger()
        self.intake = Intake(
            self.ledger,
            queue or self.queue,
            self.lines.log,
            clock=self.clock,
            limits=limits or ObjectLimits(max_object_bytes=1000),
        )

    def _ledger(
        self,
        retrier: Retrier | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> Ledger:
        return Ledger(
            self.documents,
            retrier or Retrier(sleep=Sleeper()),
            clock=self.clock,
            sleep=sleep or self.sleeper,
            retention_days=self.retention_days,
        )

    def instance(
        self,
        *,
        retrier: Retrier | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        submitter: Submitter | None = None,
    ) -> SubmissionService:
        log, clock, sleep = self.lines.log, self.clock, sleep or self.sleeper
        days = self.retention_days
        return SubmissionService(
            self._ledger(retrier, sleep),
            submitter
            or Submitter(self.provider, log, clock=clock, sleep=sleep, retention_days=days),
            Uploader(self.objects, self.provider, log, clock=clock, sleep=sleep),
            log,
            clock=clock,
            new_lease_id=lambda: next(self._lease_ids),
            **self.options,
        )

    def restart(self, **parts: Any) -> None:
        """Replace the service by a new instance with these parts."""
        self.service = self.instance(**parts)

    def lose_the_store_after_the_claim(self) -> None:
        """Let the commit after the next one fail until ``documents.before`` is set again."""
        self.restart(retrier=TryOnce())
        claimed = len(self.documents.commits) + 1

        def before(operation: str) -> None:
            if operation == "commit" and len(self.documents.commits) == claimed:
                raise StoreUnavailable("no store")

        self.documents.before = before

    async def submission(self) -> Submission:
        return await self.entry(ID)

    async def refused(self, order: SubmitAsset = REQUEST) -> SubmissionError:
        with pytest.raises(SubmissionError) as caught:
            await self.service.submit(order)
        return caught.value

    async def drop(self, name: str = "a/talk.mp4", content: bytes = CONTENT, **more: Any) -> str:
        """Put an object into the bucket, deliver its event, and return its submission."""
        stored = self.objects.put(name, content, **more)
        await self.intake.enqueue_upload(stored)
        return submission_id_of_object(stored.uri, stored.generation)

    async def sender_died(self, submission_id: str) -> None:
        """Record that a holder began an upload to the asset ``re_7`` and died."""
        died = replace(
            await self.entry(submission_id),
            state=State.UPLOADING,
            asset_id="re_7",
            lease_id="gone",
            lease_expires_at=self.clock.now,
            sent_at=self.clock.now,
            uploads=1,
        )
        await self.documents.commit(Write(submission_path(submission_id), died))

    async def entry(self, submission_id: str) -> Submission:
        retrier = Retrier(sleep=Sleeper())
        found = await retrier.run(lambda: read_submission(self.documents, submission_id))
        assert found is not None
        return found

    def sweeper(self, *, retrier: Retrier | None = None, **options: Any) -> Sweeper:
        clock = options.pop("clock", self.clock)
        retrier = retrier or Retrier(sleep=Sleeper())
        return Sweeper(
            self.documents,
            retrier,
            Ledger(self.documents, retrier, clock=clock, retention_days=self.retention_days),
            self.queue,
            self.lines.log,
            **{"clock": clock, "overdue_after": OVERDUE, **options},
        )

    async def task(self, task_id: str = "task-1") -> Task:
        found = await TaskStore(self.documents, Retrier()).read_task(task_id)
        assert found is not None
        return found
