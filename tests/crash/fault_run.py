"""Runs a scenario with one fault until no work is left, and checks its end."""

from __future__ import annotations

from tests.crash.backend import Backend
from tests.crash.fault_plan import (
    LEASE_OVER_S,
    STALLED_S,
    Environment,
    FaultPlan,
    Killed,
    Run,
    Work,
)
from tests.crash.scenarios import Scenario, Subject
from tests.stored import read_submission
from transcripts.errors import (
    SubmissionError,
    TransientError,
)
from transcripts.ports import Read
from transcripts.submissions.submission import (
    OPEN,
    State,
    Submission,
)
from transcripts.tasks.task import Task, task_path

ROUNDS = 12


class FaultRun:
    """Runs a scenario in an environment, with its faults, until no work is left."""

    def __init__(
        self, environment: Environment, scenario: Scenario, subject: Subject, fault_plan: FaultPlan
    ) -> None:
        self.environment = environment
        self.scenario = scenario
        self.subject = subject
        self.fault_plan = fault_plan
        self.killed = False
        self.left: Submission | None = None
        self._instance = Run(environment, fault_plan)

    async def entry(self) -> Submission | None:
        """Return the ledger's entry as it is now."""
        return await read_submission(self.environment.documents, self.subject.submission_id)

    async def attempt(self, work: Work) -> bool:
        """Tell whether the call got a final answer; a healthy process replaces a dead one."""
        try:
            await work(self._instance)
        except Killed:
            self.killed = True
            self.left = await self.entry()
            self._instance = Run(self.environment, FaultPlan())
            return False
        except TransientError:
            return False
        except SubmissionError as error:
            return error.code != "submission_in_progress"
        return True

    async def run(self) -> Submission | None:
        """Deliver every request and event, and let time pass; return the entry at the end."""
        environment = self.environment
        end = environment.clock() + self.scenario.goes_on_for
        await self._arrive()
        for _ in range(ROUNDS):
            for name, submission_id in await environment.waiting():
                if await self.attempt(running(submission_id)):
                    await environment.done(name)
            found = await self.entry()
            settled = found is None or found.state not in OPEN
            if settled and not await environment.waiting() and environment.clock() >= end:
                break
            for pause_s in (LEASE_OVER_S, STALLED_S):
                environment.clock.advance(seconds=pause_s)
                await self.attempt(sweeping)
        if self.scenario.will_retry:
            await self._arrive()
        return await self.entry()

    async def _arrive(self) -> None:
        if not self.scenario.will_retry:
            await self.attempt(self._arrival)
            return
        for _ in range(2):
            while not await self.attempt(self._arrival):
                self.environment.clock.advance(seconds=LEASE_OVER_S)

    async def _arrival(self, instance: Run) -> object:
        return await self.scenario.arrive(instance, self.subject)


def running(submission_id: str) -> Work:
    """Return the request that the queue sends."""
    return lambda instance: instance.service.run(submission_id)


async def sweeping(instance: Run) -> object:
    """Sweep, as the scheduler does."""
    return await instance.sweeper.run()


async def check(run: FaultRun, entry: Submission | None) -> None:
    """Assert the facts that hold at the end of every run."""
    scenario, environment = run.scenario, run.environment
    jobs = [job.task_id for job in environment.mavi.account.jobs]
    if scenario.assets is not None:
        assert len(environment.mavi.account.assets) <= scenario.assets
    if entry is None:
        # The process died before it recorded the entry, and so before its caller got an answer.
        assert run.killed
        assert not scenario.will_retry
        assert jobs == []
        return
    spent = await environment.spent()
    if run.left is not None and run.left.state is State.SUBMITTING:
        assert entry.state is State.SUBMIT_UNKNOWN
        most = max(scenario.jobs, 1)
        assert len(jobs) <= most
        assert max(len(jobs), 1) <= spent <= most
        return
    if run.killed and not scenario.will_retry and len(jobs) == scenario.jobs_before < scenario.jobs:
        # The process died before it recorded the request: the earlier purchase is unchanged.
        assert (entry.state, spent) == (State.SUBMITTED, scenario.jobs_before)
        return
    assert entry.state is scenario.end
    assert len(jobs) == scenario.jobs
    assert spent == scenario.jobs
    if entry.state is State.SUBMITTED:
        assert entry.task_id == jobs[-1]
        (task,) = await environment.documents.read(Read(task_path(jobs[-1]), Task))
        assert task is not None
        assert task.value.submission_id == entry.submission_id


async def run_once(backend: Backend, scenario: Scenario, fault_plan: FaultPlan) -> FaultPlan:
    """Run a scenario once and check its end."""
    async with backend.environment(scenario) as (environment, subject):
        fault_run = FaultRun(environment, scenario, subject, fault_plan)
        try:
            await check(fault_run, await fault_run.run())
        except AssertionError as error:
            point = (
                f"{fault_plan.seen[fault_plan.point]}, number {fault_plan.point}"
                if fault_plan.point is not None
                else "none"
            )
            left = fault_run.left.state if fault_run.left else None
            raise AssertionError(f"{fault_plan.mode}: {point}; left {left}: {error}") from error
    return fault_plan
