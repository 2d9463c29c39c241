"""The cost of reading: a page of a list, and an export through the whole function.

The conventional way is Google's own client, which loads the whole task, and one string.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final

import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore

from cli.local.emulators import emulators_installed, start_emulators, stop_emulators
from tests.bench.exports import SEGMENTS, segments
from tests.bench.figures import Figures
from tests.bench.servers import serving
from transcripts.callbacks.kinds import Kind
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.google.documents import FirestoreDocuments
from transcripts.ports import ABSENT, Documents, Write
from transcripts.settings import EMBEDDED, GOOGLE
from transcripts.tasks.merge import merge
from transcripts.tasks.store import result_writes
from transcripts.tasks.task import Speaker, Status, Task, task_path

TASKS: Final = 10_000
PROJECT: Final = "bench"
TASK_ID: Final = "0123456789abcdef"
NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)
LIST: Final = "/tasks?page_size=50"
SRT: Final = f"/tasks/{TASK_ID}.srt"


def _task(number: int, **changes: Any) -> Task:
    at = NOW + timedelta(seconds=number)
    speakers = [Speaker(f"s{each}", f"Speaker {each}", 9, 90, 9.5, 0.3, 0.0) for each in (1, 2, 3)]
    fields: dict[str, Any] = {
        "task_id": f"task-{number}",
        "kind": Kind.MULTI_SPEAKER,
        "status": Status.SUCCEEDED,
        "created_at": at,
        "received_at": at,
        "stored_at": at,
        "revision": f"{number:016x}",
        "speakers": speakers,
    }
    return Task(**fields | changes)


async def _fill(documents: Documents, tasks: int) -> None:
    """Store many short tasks, and one of ``SEGMENTS`` segments."""
    for first in range(0, tasks, 200):
        numbers = range(first, min(first + 200, tasks))
        short = [_task(number, segments=segments(20)) for number in numbers]
        await documents.commit(*(Write(task_path(task.task_id), task) for task in short))
    long = _task(0, task_id=TASK_ID, segments=segments(SEGMENTS), segment_count=SEGMENTS)
    for writes in result_writes(merge(None, long), b"", ABSENT):
        await documents.commit(*writes)


def _get(environ: Mapping[str, str], path: str, rounds: int) -> dict[str, float]:
    """Return the median time of a request, and its mean CPU time in the function."""
    with serving("results", environ) as server:
        url = f"http://127.0.0.1:{server.port}{path}"
        times: list[float] = []
        cpu_s = 0.0
        for turn in range(rounds + 1):
            begin, before_s = perf_counter(), server.cpu_s()
            answer = requests.get(url, timeout=120)
            answer.raise_for_status()
            if turn:
                # The first request connects and imports.
                times.append(perf_counter() - begin)
                cpu_s += server.cpu_s() - before_s
        return {"wall_ms": median(times) * 1e3, "cpu_ms": cpu_s / rounds * 1e3}


def _client() -> firestore.Client:
    return firestore.Client(project=PROJECT, credentials=AnonymousCredentials())


def conventional_list() -> None:
    """Load the newest 50 tasks, whole."""
    query = _client().collection("tasks").order_by("created_at", direction="DESCENDING").limit(50)
    [each.to_dict() for each in query.stream()]


def conventional_export() -> None:
    """Load a task with all its pages, and build the file as one string."""
    task = _client().document(f"tasks/{TASK_ID}")
    parts = (task.get().to_dict() or {}).get("segments") or []
    for page in task.collection("segments").order_by("__name__").stream():
        parts += (page.to_dict() or {})["segments"]
    "\n".join(
        f"{number}\n{part['start_s']} --> {part['end_s']}\n{part['text']}\n"
        for number, part in enumerate(parts, 1)
    ).encode()


CONVENTIONAL: Final = {"list": conventional_list, "export": conventional_export}


def _conventional_cpu_s(name: str, host: str) -> float:
    """Return the CPU time of the conventional way, in a process of its own, without its imports."""
    done = subprocess.run(  # noqa: S603 - our own fixed command
        [sys.executable, "-m", "tests.bench.results", name],
        env={**os.environ, "FIRESTORE_EMULATOR_HOST": host},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def _measure_embedded(rounds: int) -> dict[str, Figures]:
    with tempfile.TemporaryDirectory(prefix="transcripts-bench-") as folder:
        database = Database(Path(folder))
        asyncio.run(_fill(SqliteDocuments(database), TASKS))
        database.close()
        environ = {"TRANSCRIPTS_BACKEND": EMBEDDED, "TRANSCRIPTS_DATA_DIR": folder}
        return {
            f"a page of 50 of {TASKS:,} tasks, embedded": _get(environ, LIST, rounds),
            f"SRT of {SEGMENTS:,} segments, embedded": _get(environ, SRT, rounds),
        }


async def _measure_emulated(rounds: int) -> dict[str, Figures]:
    rows: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="transcripts-bench-") as folder:
        emulators = await start_emulators(Path(folder), ["firestore"])
        try:
            host = emulators[0].host
            await _fill(FirestoreDocuments(PROJECT, "(default)", host), 200)
            environ = {"TRANSCRIPTS_BACKEND": GOOGLE, "FIRESTORE_EMULATOR_HOST": host}
            for name, path, words in (
                ("list", LIST, "a page of 50 of 200 tasks, Firestore emulator"),
                ("export", SRT, f"SRT of {SEGMENTS:,} segments, Firestore emulator"),
            ):
                ours = await asyncio.to_thread(_get, environ, path, rounds)
                theirs_s = await asyncio.to_thread(_conventional_cpu_s, name, host)
                rows[words] = {**ours, "conventional_ms": theirs_s * 1e3}
        finally:
            await stop_emulators(emulators)
    return rows


def measure(rounds: int) -> dict[str, Figures]:
    """Return the figures of each request; those of Firestore only where the emulators are."""
    emulated = asyncio.run(_measure_emulated(rounds)) if emulators_installed() else {}
    return _measure_embedded(rounds) | emulated


if __name__ == "__main__":
    run = CONVENTIONAL[sys.argv[1]]
    _client()
    begin = process_time()
    run()
    print(process_time() - begin)
