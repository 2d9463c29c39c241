"""A file's path through all processes: bucket, ingest, queue, submit, Mavi, and back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from cli.local.bucket import UPLOADS_BUCKET
from cli.local.stack import Stack
from tests.builders import callback_body
from tests.e2e.burst import burst
from tests.e2e.conftest import BUYING, FILES, Start, on_embedded
from tests.e2e.test_pipeline import events, post_callback, result, submit
from tests.polling import eventually
from tests.stored import read_submission
from transcripts.ports import Write
from transcripts.submissions.submission import (
    OPEN,
    State,
    Submission,
    submission_id_of_object,
)
from transcripts.tasks.task import Status, task_path

MIB = 1024 * 1024
OBJECT_BYTES = 256 * MIB
MEMORY_BYTES = 150 * MIB


async def put(stack: Stack, name: str, content: bytes, **headers: str) -> dict[str, Any]:
    """Upload over the local storage endpoint; returns the object's resource."""
    url = f"{stack.bucket.url}/{UPLOADS_BUCKET}/{name}"
    async with (
        aiohttp.ClientSession() as client,
        client.put(url, data=content, headers=headers) as response,
    ):
        assert response.status == 200
        resource: dict[str, Any] = await response.json()
        return resource


async def ended(stack: Stack, name: str, within_s: float = 60) -> Submission:
    """Wait until the purchase of the current generation of an object has ended."""
    stored = stack.objects.stat(UPLOADS_BUCKET, name, None)
    submission_id = submission_id_of_object(stored.uri, stored.generation)
    found: list[Submission] = []

    async def has_ended() -> bool:
        entry = await read_submission(stack.documents, submission_id)
        if entry is not None and entry.state in (
            State.SUBMITTED,
            State.REJECTED,
            State.SUBMIT_UNKNOWN,
        ):
            found.append(entry)
        return bool(found)

    await eventually(has_ended, within_s)
    return found[0]


async def trace(stack: Stack, bought: Submission, names: Collection[str]) -> str:
    """Return the one trace of the lines about a purchase that have these names."""
    submission_id, task_id = bought.submission_id, bought.task_id
    ids = {(submission_id, None), (submission_id, task_id), (None, task_id)}

    def found() -> dict[str, str]:
        return {
            event["message"]: event["logging.googleapis.com/trace"]
            for event in stack.events
            if event["message"] in names
            and (event.get("submission_id"), event.get("task_id")) in ids
        }

    await eventually(lambda: found().keys() == set(names))
    (only,) = set(found().values())
    return only


async def test_file_in_the_bucket_becomes_a_transcript(start: Start) -> None:
    """A file uploaded by PUT and a copied one each reach Mavi once, unchanged."""
    stack = await start(functions=FILES)
    content = os.urandom(300_000)
    await put(stack, "talk.mp4", content, **{"x-goog-meta-mavi-label-case": "7"})
    stack.folder.joinpath("copied.mp3").write_bytes(b"a copy")
    bought = await ended(stack, "talk.mp4")
    task = await result(stack, bought.task_id or "")
    assert task.source is not None
    assert (task.source.uri, task.source.size) == ("gs://uploads/talk.mp4", len(content))
    assert (task.labels, task.segment_count) == ({"case": "7"}, 10)
    copied = await ended(stack, "copied.mp3")
    await result(stack, copied.task_id or "")
    held = {each.filename: each.size for each in stack.mavi.account.assets.values()}
    assert held == {"talk.mp4": len(content), "copied.mp3": 6}
    assert len(stack.mavi.account.jobs) == 2
    # Mavi posts callbacks without our trace.
    bought_in = await trace(stack, bought, {"upload_enqueued", "uploaded", "submitted"})
    assert bought_in != await trace(stack, bought, {"callback_published", "result_stored"})


@on_embedded
async def test_files_rejected_known_or_replaced_are_recorded(start: Start) -> None:
    """A rejected file has its reason; a new generation is a new purchase."""
    stack = await start(functions=FILES)
    known = stack.mavi.add_asset("known.mp4")
    await put(stack, "notes.txt", b"text", **{"Content-Type": "text/plain"})
    await put(stack, "left-alone.mp4", b"x", **{"x-goog-meta-mavi-skip": "true"})
    await put(stack, "known.mp4", b"x", **{"x-goog-meta-mavi-asset-id": known.asset_id})
    await put(stack, "talk.mp4", b"first")
    for name, reason in (("notes.txt", "not_media"), ("left-alone.mp4", "skipped")):
        refused = await ended(stack, name)
        assert (refused.state, refused.reason) == (State.REJECTED, reason)
    first = await ended(stack, "talk.mp4")
    await put(stack, "talk.mp4", b"second")
    second = await ended(stack, "talk.mp4")
    assert first.task_id != second.task_id
    await eventually(lambda: len(stack.mavi.account.jobs) == 3)
    assert known.asset_id in {job.asset_id for job in stack.mavi.account.jobs}
    assert len(stack.mavi.account.assets) == 3


async def test_burst_with_repeated_events_buys_each_file_once(start: Start) -> None:
    """Each event comes three times, shuffled; the rate limit is kept and each result is stored."""
    stack = await start(functions=FILES, mavi_per_second=50.0, watch_bucket=False)
    figures = await burst(stack, objects=60, deliveries=3, random=Random(7), within_s=100)
    assert (figures.violations, figures.purchases, figures.results) == (0, 60, 60)


async def test_submit_killed_during_a_burst_buys_each_file_once(start: Start) -> None:
    """A SIGKILL in the middle of the work loses nothing."""
    stack = await start(functions=FILES, mavi_per_second=50.0, watch_bucket=False)
    running = asyncio.ensure_future(
        burst(stack, objects=80, deliveries=2, random=Random(8), within_s=100)
    )
    submit, random = stack.processes["submit"], Random(9)
    for kills in range(1, 5):
        wanted = kills * 8
        await eventually(
            lambda wanted=wanted: running.done() or len(stack.mavi.account.jobs) >= wanted  # type: ignore[misc] # bound early on purpose
        )
        await submit.stop(signal.SIGKILL)
        await asyncio.sleep(random.random() / 10)
        await submit.start()
    await eventually(lambda: running.done() or len(stack.mavi.account.jobs) >= 40)
    await all_on_record(stack, 80)
    await submit.stop(signal.SIGKILL)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    bought = [job.asset_id for job in stack.mavi.account.jobs]
    assert len(bought) == len(set(bought))
    assert 40 <= len(bought) <= 80
    entries = await all_on_record(stack, 80)
    assert {entry.state for entry in entries} <= OPEN | {State.SUBMITTED}
    recorded = {entry.task_id for entry in entries if entry.state is State.SUBMITTED}
    jobs = {job.task_id for job in stack.mavi.account.jobs}
    assert recorded <= jobs
    # A job bought at the moment of the kill is recorded as a call, which is not repeated.
    calling = [entry for entry in entries if entry.state is State.SUBMITTING]
    assert len(jobs - recorded) <= len(calling)


async def all_on_record(stack: Stack, objects: int) -> list[Submission]:
    """Return the entries of the whole burst, once each of its events is processed."""
    names = sorted(path.name for path in stack.folder.iterdir())
    assert len(names) == objects
    stats = [stack.objects.stat(UPLOADS_BUCKET, name, None) for name in names]
    ids = [submission_id_of_object(stored.uri, stored.generation) for stored in stats]
    found: list[Submission | None] = []

    async def look() -> bool:
        found[:] = [await read_submission(stack.documents, submission_id) for submission_id in ids]
        return None not in found

    await eventually(look)
    return [entry for entry in found if entry is not None]


@on_embedded
async def test_late_result_after_the_sweep_replaces_overdue(start: Start) -> None:
    """The task is overdue, bought once more as configured, and its late result is stored."""
    stack = await start(
        {"drop": 1}, functions=(*BUYING, "sweep"), environ={"RESUBMIT_OVERDUE": "1"}
    )
    asset = stack.mavi.add_asset("a.mp4")
    _, answer = await submit(stack, asset.asset_id)
    task = await stack.tasks.read_task(answer["task_id"])
    assert task is not None
    assert task.submitted_at is not None
    long_ago = replace(task, submitted_at=task.submitted_at - timedelta(hours=7))
    await stack.documents.commit(Write(task_path(task.task_id), long_ago, ("submitted_at",)))
    counts = {"overdue": 1, "submit_unknown": 0, "requeued": 0, "resubmitted": 1}
    counts |= {"failed": 0, "more": False}
    assert await sweep(stack) == (200, counts)
    overdue = await stack.tasks.read_task(task.task_id)
    assert overdue is not None
    assert overdue.status is Status.OVERDUE
    await eventually(lambda: len(stack.mavi.account.jobs) == 2)
    assert await sweep(stack) == (200, dict.fromkeys(counts, 0) | {"more": False})
    assert await post_callback(stack, callback_body(task_id=task.task_id)) == 200
    late = await result(stack, task.task_id)
    assert late.asset_id == asset.asset_id


async def sweep(stack: Stack) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as client, client.post(stack.url("sweep")) as response:
        return response.status, await response.json()


@pytest.mark.timeout(300)
async def test_submit_of_a_large_file_takes_little_memory(start: Start) -> None:
    """The kernel's peak of the submit process stays small for 256 MiB."""
    stack = await start({"signed_url_method": "PUT"}, functions=FILES)
    path = stack.folder / "long.mp4"
    with path.open("wb") as file:
        file.truncate(OBJECT_BYTES)
    bought = await ended(stack, "long.mp4", within_s=240)
    assert bought.state is State.SUBMITTED
    (asset,) = stack.mavi.account.assets.values()
    assert asset.size == OBJECT_BYTES
    peak = peak_bytes(stack.processes["submit"].pid)
    print(f"peak of submit: {peak / MIB:.0f} MiB")
    assert peak < MEMORY_BYTES
    assert len(events(stack, "uploaded")) == 1


def peak_bytes(pid: int) -> int:
    """Return the largest resident set a process ever had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not tell")
