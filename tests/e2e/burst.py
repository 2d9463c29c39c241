"""Thousands of uploads at once, each announced several times, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic

from cli.local.bucket import UPLOADS_BUCKET, notification
from cli.local.stack import Stack
from cli.local.topics import UPLOADS
from transcripts.ports import Message, Read
from transcripts.submissions.submission import (
    State,
    Submission,
    submission_id_of_object,
    submission_path,
)
from transcripts.tasks.task import Status, Task, task_path

POLL_S = 0.5
CONCURRENCY = 100
READ_AT_ONCE = 200


@dataclass(frozen=True)
class Figures:
    """The result of a burst; ``seconds`` is from the first event to the last stored result."""

    objects: int
    events: int
    purchases: int
    violations: int
    submitted: int
    results: int
    seconds: float


@dataclass(frozen=True)
class Progress:
    """The progress of a burst."""

    published: int
    purchases: int
    results: int


async def burst(
    stack: Stack,
    *,
    objects: int,
    deliveries: int,
    random: Random,
    within_s: float,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Figures:
    """Upload ``objects`` files, announce each ``deliveries`` times, and wait for every result."""
    uploads = [_upload(stack, number) for number in range(objects)]
    submission_ids = [submission_id for submission_id, _ in uploads]
    messages = [message for _, message in uploads] * deliveries
    random.shuffle(messages)
    began = monotonic()
    published = 0

    async def publish(batch: Sequence[Message]) -> None:
        nonlocal published
        for message in batch:
            await stack.publisher.publish(UPLOADS, message)
            published += 1

    publishing = asyncio.gather(
        *(publish(messages[each::CONCURRENCY]) for each in range(CONCURRENCY))
    )
    entries: dict[str, Submission] = {}
    results: set[str] = set()
    async with asyncio.timeout(within_s):
        while len(results) < objects:
            await asyncio.sleep(POLL_S)
            if publishing.done():
                publishing.result()
            await _look(stack, submission_ids, entries, results)
            on_progress(Progress(published, len(stack.mavi.account.jobs), len(results)))
    await publishing
    return Figures(
        objects=objects,
        events=len(messages),
        purchases=len(stack.mavi.account.jobs),
        violations=sum(stack.mavi.limiter.violations.values()),
        submitted=len(entries),
        results=len(results),
        seconds=monotonic() - began,
    )


def _upload(stack: Stack, number: int) -> tuple[str, Message]:
    path = stack.objects.path(UPLOADS_BUCKET, f"{number:05}.mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"media %d" % number)
    stored = stack.objects.stat(UPLOADS_BUCKET, path.name, None)
    return submission_id_of_object(stored.uri, stored.generation), notification(stored)


async def _look(
    stack: Stack, ids: Sequence[str], entries: dict[str, Submission], results: set[str]
) -> None:
    """Read the purchases and results that the last call did not find."""
    # There are as many entries as jobs, so objects without a job need not be read.
    missing = [each for each in ids if each not in entries]
    for first in range(0, len(missing) if len(stack.mavi.account.jobs) else 0, READ_AT_ONCE):
        part = missing[first : first + READ_AT_ONCE]
        reads = [Read(submission_path(each), Submission) for each in part]
        for found in await stack.documents.read(*reads):
            if found is not None and found.value.state is State.SUBMITTED:
                entries[found.value.submission_id] = found.value
    waiting = [each for each in entries.values() if each.submission_id not in results]
    for first in range(0, len(waiting), READ_AT_ONCE):
        part_of = waiting[first : first + READ_AT_ONCE]
        paths = [task_path(each.task_id or "") for each in part_of]
        fields = ("task_id", "status", "submission_id")
        for task in await stack.documents.read(*[Read(path, Task, fields) for path in paths]):
            if task is not None and task.value.status is Status.SUCCEEDED:
                results.add(task.value.submission_id or "")
