"""Random runs of submissions on fakes, and the changes of state in them."""

from __future__ import annotations

import random

from tests.fakes import TryOnce
from tests.pipeline import CONTENT, Pipeline
from transcripts.errors import StoreUnavailable, TranscriptsError
from transcripts.mavi.answers import (
    Ambiguous,
    AnswerLost,
    AssetState,
    NotSent,
    RateLimited,
    Refusal,
    Refused,
    Sent,
    SubmitAnswer,
    Unreachable,
)
from transcripts.submissions.requests import SubmitAsset, SubmitAssets, SubmitObject
from transcripts.submissions.submission import Submission
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import Status, Task

NEW = "[*]"
RUNS = 150
LENGTH = 24
STEPS = [
    "submit",
    "force",
    "list",
    "drop",
    "object",
    "object",
    "folder",
    "run",
    "run",
    "run",
    "run",
    "sweep",
    "result",
    "wait",
]


FAILED_ANSWERS: list[SubmitAnswer] = [
    Refused(Refusal.NO_CREDIT, 402),
    AnswerLost("timeout"),
    RateLimited(),
    Ambiguous(),
    NotSent("connection_failed"),
]


class RandomRun:
    """One random run: requests, events, runs, sweeps and faults, in random order."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pipeline = Pipeline(cap_per_day=50)
        self.outage = 0.0
        self.pipeline.documents.before = self._before
        self.pipeline.restart(retrier=TryOnce())

    def _before(self, operation: str) -> None:
        if operation == "commit" and self.random.random() < self.outage:
            raise StoreUnavailable("random outage")

    def _script_the_provider(self) -> None:
        provider, chance = self.pipeline.provider, self.random.random
        pick = self.random.choice
        provider.answers = [pick(FAILED_ANSWERS) for _ in range(pick([0, 0, 1, 8]))]
        provider.states = [pick([*AssetState, None]) for _ in range(pick([0, 0, 1, 3]))]
        provider.sends = [pick(list(Sent)) for _ in range(pick([0, 0, 1]))]
        provider.signed = [Unreachable()] if chance() < 0.1 else []
        provider.uploads = [Refused(Refusal.ERROR, 415)] if chance() < 0.3 else []
        provider.busy_s = 300.0 if chance() < 0.05 else 0.0
        provider.on_submit = self._expire if chance() < 0.2 else (lambda _: None)

    async def _expire(self, _asset_id: str) -> None:
        """Let the lease end during the call, and a sweep notice it."""
        self.pipeline.clock.advance(minutes=6)
        await self.pipeline.sweeper().run()

    async def step(self) -> None:
        pipeline, chance = self.pipeline, self.random.random
        self._script_the_provider()
        self.outage = 0.3 if chance() < 0.2 else 0.0
        what = self.random.choice(STEPS)
        ids = [path.partition("/")[2] for path in pipeline.documents.paths("submissions/")]
        try:
            if what in ("submit", "force"):
                asset = self.random.choice(["re_1", "re_2"])
                await pipeline.service.submit(SubmitAsset(asset, {}, force=what == "force"))
            elif what == "list":
                await pipeline.intake.enqueue_assets(
                    SubmitAssets(("re_1", "re_2"), {}, force=chance() < 0.5)
                )
            elif what == "drop":
                await pipeline.drop()
            elif what == "object":
                stored = pipeline.objects.put("a/talk.mp4", CONTENT)
                request = SubmitObject("uploads", stored.name, "1", {}, force=True)
                await pipeline.intake.enqueue_object(request, stored)
            elif what == "folder":
                await pipeline.drop("folder/")
            elif what == "run" and ids:
                await pipeline.service.run(self.random.choice(ids))
            elif what == "sweep":
                await pipeline.sweeper(resubmit_overdue=2).run()
            elif what == "result":
                await self._result()
            elif what == "wait":
                pipeline.clock.advance(hours=self.random.choice([0.1, 3, 7]))
        except TranscriptsError:
            # Any refusal is an ordinary end of a step.
            return

    async def _result(self) -> None:
        paths = [path for path in self.pipeline.documents.paths("tasks/") if path.count("/") == 1]
        if paths:
            path = self.random.choice(paths)
            task = Task(
                task_id=path.partition("/")[2],
                status=Status.SUCCEEDED,
                revision="r",
                received_at=self.pipeline.clock.now,
                stored_at=self.pipeline.clock.now,
            )
            await TaskStore(self.pipeline.documents, TryOnce()).save_result(task, b"raw")

    def edges(self) -> set[tuple[str, str]]:
        """Return every change of state that was committed."""
        before: dict[str, str] = {}
        found: set[tuple[str, str]] = set()
        for commit in self.pipeline.documents.commits:
            for write in commit:
                if isinstance(write.value, Submission):
                    state = str(write.value.state)
                    previous = before.get(write.path, NEW)
                    if previous != state:
                        found.add((previous, state))
                    before[write.path] = state
        return found


async def explore(runs: int = RUNS) -> dict[tuple[str, str], int]:
    """Return every change of state that was seen, with the number of its runs."""
    seen: dict[tuple[str, str], int] = {}
    for seed in range(runs):
        run = RandomRun(seed)
        for _ in range(LENGTH):
            await run.step()
        for edge in run.edges():
            seen[edge] = seen.get(edge, 0) + 1
    return seen
