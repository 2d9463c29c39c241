"""Peak memory of a function under the largest load it accepts, with the real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import requests

from cli.local.emulators import emulators_installed
from cli.local.stack import EMULATORS, Stack, StackOptions
from tests.bench.servers import TOKEN, peak_mib, serving
from tests.builders import callback_body, push_body
from tests.polling import eventually
from transcripts.callbacks.message import MAX_BODY_BYTES, pack
from transcripts.settings import EMBEDDED
from transcripts.submissions.submission import State, Submission, submission_id_of_object
from transcripts.tasks.items import MAX_ITEMS

PUSHES: Final = 8
CALLBACKS: Final = 80
UPLOADS: Final = 8
UPLOAD_BYTES: Final = 100 * 1024 * 1024
MIB: Final = 1024 * 1024
NO_ANSWER: Final = 0
STALLED_FOR_S: Final = 30.0
"""The silent broker delays each pair of large bodies for 10 s; the peak comes before that."""


def _result(items: bytes) -> bytes:
    """Return a callback of at most 32 MiB whose segments are ``items``, repeated."""
    head = b'{"code":"0000","task_id":"%s","data":{"success":true,"data":{"audio_transcription":['
    count = min((MAX_BODY_BYTES - 200) // len(items), MAX_ITEMS - 1)
    body = (head % b"t") + items * count
    return body.rstrip(b",") + b"]}}}"


def _long_text(text: bytes) -> bytes:
    segment = b'{"start_time":0,"end_time":1,"speaker":"A","text":"%s"},'
    return _result(segment % (text * ((MAX_BODY_BYTES - 400) // len(text))))


BODIES: Final[dict[str, Callable[[], bytes]]] = {
    "a usual result of 30 MiB": lambda: callback_body(segments=230_000),
    "empty segments": lambda: _result(b"{},"),
    "segments that are numbers": lambda: _result(b"1,"),
    "short segments": lambda: _result(b'{"text":"a","speaker":"b"},'),
    "a text of 32 MiB": lambda: _long_text(b"word "),
    "a text of lone surrogates": lambda: _long_text(rb"\ud83d"),
    "a text of Han characters": lambda: _long_text("今天".encode()),
}
"""Each has nearly the largest size of a body, and compresses to one message."""


def worker_peak_mib(pid: int) -> float:
    """Return the highest resident memory of a process's only child, the server's worker."""
    (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return peak_mib(worker)


def _post_at_once(url: str, bodies: list[bytes], timeout_s: float) -> list[int]:
    def post(body: bytes) -> int:
        headers = {"Content-Type": "application/json"}
        try:
            return requests.post(url, data=body, headers=headers, timeout=timeout_s).status_code
        except requests.RequestException:
            return NO_ANSWER

    with ThreadPoolExecutor(len(bodies)) as threads:
        return sorted(threads.map(post, bodies))


def measure_subscriber(body: bytes) -> tuple[float, list[int]]:
    """Push a body to a new subscriber as eight tasks at once; return its peak and its answers."""
    pushes = []
    for number in range(PUSHES):
        task_id = f"task-{number}"
        own = json.dumps(task_id).encode()
        changed = body.replace(b'"task_id":"t"', b'"task_id":' + own, 1)
        if changed is body:
            task_id = json.loads(body)["task_id"]
        message = pack(changed, datetime.now(UTC), {"task_id": task_id, "kind": "multi_speaker"})
        pushes.append(push_body(message.data, dict(message.attributes)))
    with tempfile.TemporaryDirectory(prefix="transcripts-bench-") as folder:
        environ = {"TRANSCRIPTS_BACKEND": EMBEDDED, "TRANSCRIPTS_DATA_DIR": folder}
        with serving("subscriber", environ) as server:
            answers = _post_at_once(f"http://127.0.0.1:{server.port}/", pushes, 600)
            return worker_peak_mib(server.pid), answers


@contextlib.contextmanager
def _silent_broker() -> Iterator[str]:
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepted: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(listening.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in accepted:
            connection.close()


def measure_callback() -> tuple[float, list[int]]:
    """Post 80 bodies of 32 MiB at once while the broker is silent."""
    body = BODIES["short segments"]()
    with (
        _silent_broker() as host,
        serving("callback", {"PUBSUB_EMULATOR_HOST": host}) as server,
    ):
        url = f"http://127.0.0.1:{server.port}/{TOKEN}"
        answers = _post_at_once(url, [body] * CALLBACKS, STALLED_FOR_S)
        return worker_peak_mib(server.pid), answers


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
                    await stack.submissions.read(each) for each in ids
                ]
                return all(each and each.state is State.SUBMITTED for each in entries)

            await eventually(all_submitted, within_s=300)
            return worker_peak_mib(stack.processes["submit"].pid)


def _counts(answers: list[int]) -> str:
    return ", ".join(
        f"{answers.count(each)} x {each or 'no answer yet'}" for each in sorted(set(answers))
    )


LIMITS_MIB: Final = {"submit": 512, "callback": 512, "subscriber": 1024}
"""The memory of an instance, as ``infra`` sets it."""


def report() -> dict[str, dict[str, float]]:
    """Print and return a row for each function and body."""
    rows: dict[str, dict[str, float]] = {}

    def row(function: str, load: str, peak: float) -> None:
        limit = LIMITS_MIB[function]
        rows[f"{function}: {load}"] = {"peak_mib": peak, "limit_mib": limit}

    print(f"\nMemory: subscriber, {PUSHES} pushes of 32 MiB at once; peak of the worker")
    for name, make in BODIES.items():
        body = make()
        peak, answers = measure_subscriber(body)
        print(
            f"  {name:<28} {len(body) / MIB:4.0f} MiB   {peak:5.0f} MiB   {_counts(answers)}",
            flush=True,
        )
        row("subscriber", f"{PUSHES} at once of {name}, {len(body) / MIB:.0f} MiB", peak)
    peak, answers = measure_callback()
    print(f"Memory: callback, {CALLBACKS} bodies of 32 MiB at once, no answer of the broker")
    print(f"  {peak:5.0f} MiB   {_counts(answers)}", flush=True)
    row("callback", f"{CALLBACKS} bodies of 32 MiB at once while the broker is silent", peak)
    if emulators_installed():
        print(f"Memory: submit, {UPLOADS} uploads of {UPLOAD_BYTES / MIB:.0f} MiB at once")
        peak = asyncio.run(measure_submit())
        print(f"  {peak:5.0f} MiB")
        row("submit", f"{UPLOADS} uploads of {UPLOAD_BYTES / MIB:.0f} MiB at once", peak)
    return rows
