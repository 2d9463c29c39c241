"""Peak memory of a function under the largest load it accepts, with the real server."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import requests

from cli.local.emulators import emulators_installed
from cli.local.stack import EMULATORS, Stack, StackOptions
from tests.bench.figures import Figures
from tests.bench.servers import TOKEN, peak_mib, serving
from tests.builders import callback_body, push_body
from tests.polling import eventually
from tests.stored import read_submission
from transcripts.callbacks.message import MAX_CALLBACK_BYTES, pack
from transcripts.settings import EMBEDDED
from transcripts.submissions.submission import State, Submission, submission_id_of_object
from transcripts.tasks.values import MAX_ITEMS

PUSHES: Final = 8
CALLBACKS: Final = 80
UPLOADS: Final = 8
UPLOAD_BYTES: Final = 100 * 1024 * 1024
MIB: Final = 1024 * 1024
NO_ANSWER: Final = 0
STALLED_FOR_S: Final = 30.0
"""A silent broker delays each pair of large bodies for 10 s; the peak comes before that."""


def _result(task_id: str, items: bytes) -> bytes:
    """Return a callback of at most 32 MiB whose segments are ``items``, repeated."""
    head = b'{"code":"0000","task_id":"%s","data":{"success":true,"data":{"audio_transcription":['
    count = min((MAX_CALLBACK_BYTES - 200) // len(items), MAX_ITEMS - 1)
    body = head % task_id.encode() + items * count
    return body.rstrip(b",") + b"]}}}"


def _long_text(task_id: str, text: bytes) -> bytes:
    segment = b'{"start_time":0,"end_time":1,"speaker":"A","text":"%s"},'
    return _result(task_id, segment % (text * ((MAX_CALLBACK_BYTES - 400) // len(text))))


BODIES: Final[dict[str, Callable[[str], bytes]]] = {
    "a usual result of 30 MiB": lambda task_id: callback_body(segments=230_000, task_id=task_id),
    "empty segments": lambda task_id: _result(task_id, b"{},"),
    "segments that are numbers": lambda task_id: _result(task_id, b"1,"),
    "short segments": lambda task_id: _result(task_id, b'{"text":"a","speaker":"b"},'),
    "a text of 32 MiB": lambda task_id: _long_text(task_id, b"word "),
    "a text of lone surrogates": lambda task_id: _long_text(task_id, rb"\ud83d"),
    "a text of Han characters": lambda task_id: _long_text(task_id, "今天".encode()),
}
"""Each has nearly the largest size of a body, and compresses to one message."""


def worker_peak_mib(pid: int) -> float:
    """Return the highest resident memory of a process's only child, the server's worker."""
    (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return peak_mib(worker)


def _peak_mib(
    function: str,
    environ: Mapping[str, str],
    path: str,
    bodies: Sequence[bytes],
    expected: set[int],
    timeout_s: float = 600.0,
) -> float:
    """Post all bodies at once to a new process; return its peak when all have ended."""

    def post(body: bytes) -> int:
        url = f"http://127.0.0.1:{server.port}{path}"
        headers = {"Content-Type": "application/json"}
        try:
            return requests.post(url, body, headers=headers, timeout=timeout_s).status_code
        except requests.RequestException:
            return NO_ANSWER

    with serving(function, environ) as server, ThreadPoolExecutor(len(bodies)) as threads:
        statuses = set(threads.map(post, bodies))
        if not statuses <= expected:
            raise RuntimeError(f"{function} answered {statuses}")
        return worker_peak_mib(server.pid)


def measure_subscriber(make: Callable[[str], bytes]) -> float:
    """Push a body to a subscriber as eight tasks at once."""
    pushes = []
    for number in range(PUSHES):
        attributes = {"task_id": f"task-{number}", "kind": "multi_speaker"}
        message = pack(make(attributes["task_id"]), datetime.now(UTC), attributes)
        pushes.append(push_body(message.data, dict(message.attributes)))
    with tempfile.TemporaryDirectory(prefix="transcripts-bench-") as folder:
        environ = {"TRANSCRIPTS_BACKEND": EMBEDDED, "TRANSCRIPTS_DATA_DIR": folder}
        return _peak_mib("subscriber", environ, "/", pushes, {204})


def measure_callback() -> float:
    """Post 80 bodies of 32 MiB at once while the broker is silent."""
    body = BODIES["short segments"]("t")
    # The system accepts connections for a socket that listens; nobody answers.
    with socket.create_server(("127.0.0.1", 0), backlog=CALLBACKS) as broker:
        environ = {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{broker.getsockname()[1]}"}
        bodies = [body] * CALLBACKS
        ends = {503, NO_ANSWER}
        return _peak_mib("callback", environ, f"/{TOKEN}", bodies, ends, STALLED_FOR_S)


async def measure_submit() -> float:
    """Upload eight objects of 100 MiB at once, through Google's client."""
    with tempfile.TemporaryDirectory(prefix="transcripts-bench-") as folder:
        options = StackOptions(
            backend=EMULATORS,
            data_dir=Path(folder),
            functions=("submit", "ingest", "callback", "subscriber"),
            mavi_per_second=0.0,
        )
        async with Stack(options) as stack:
            ids = []
            for number in range(UPLOADS):
                path = stack.folder / f"{number}.mp4"
                with path.open("wb") as file:
                    file.truncate(UPLOAD_BYTES)
                stored = stack.objects.stat(stack.folder.name, path.name, None)
                ids.append(submission_id_of_object(stored.uri, stored.generation))

            async def all_submitted() -> bool:
                entries: list[Submission | None] = [
                    await read_submission(stack.documents, each) for each in ids
                ]
                return all(each and each.state is State.SUBMITTED for each in entries)

            await eventually(all_submitted, within_s=300)
            return worker_peak_mib(stack.processes["submit"].pid)


LIMITS_MIB: Final = {"submit": 512, "callback": 512, "subscriber": 1024}
"""The memory of an instance, as ``infra`` sets it."""


def measure() -> dict[str, Figures]:
    """Return the peak of each function and body."""
    rows: dict[str, Figures] = {}

    def row(function: str, load: str, peak: float) -> None:
        limit = LIMITS_MIB[function]
        rows[f"{function}: {load}"] = {"peak_mib": peak, "limit_mib": limit}

    for name, make in BODIES.items():
        load = f"{PUSHES} at once of {name}, {len(make('t')) / MIB:.0f} MiB"
        row("subscriber", load, measure_subscriber(make))
    load = f"{CALLBACKS} bodies of 32 MiB at once while the broker is silent"
    row("callback", load, measure_callback())
    if emulators_installed():
        load = f"{UPLOADS} uploads of {UPLOAD_BYTES / MIB:.0f} MiB at once"
        row("submit", load, asyncio.run(measure_submit()))
    return rows
