"""Runs the whole pipeline on this machine: functions as processes, with broker, queue and store.

``embedded`` keeps everything in one SQLite file; ``emulators`` runs the same functions against
Google's official emulators, with real push subscriptions. In both, a folder stands for the bucket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from cli.fake_mavi.faults import Faults
from cli.fake_mavi.server import FakeMavi
from cli.local.broker import Broker, Post, poster
from cli.local.bucket import UPLOADS_BUCKET, BucketServer, BucketWatch
from cli.local.emulators import (
    Emulator,
    make_subscriptions,
    start_emulators,
    stop_emulators,
)
from cli.local.processes import ChildProcess, Event, free_port, function_process
from cli.local.queue_runner import QUEUE, RETRY, QueueRunner
from cli.local.state import LocalStack, write_state
from cli.local.topics import CALLBACKS, PROJECT, REJECTED, RESULTS, UPLOADS, subscriptions
from transcripts.embedded.database import Database
from transcripts.embedded.documents import SqliteDocuments
from transcripts.embedded.objects import FolderObjects
from transcripts.embedded.publisher import SqlitePublisher
from transcripts.embedded.queue import SqliteQueue
from transcripts.logs import Log
from transcripts.ports import Documents, Publisher
from transcripts.retry import Retrier
from transcripts.settings import EMBEDDED, FUNCTIONS, GOOGLE, LOOPBACK
from transcripts.tasks.store import TaskStore

EMULATORS: Final = "emulators"
NO_LIMIT_PER_S: Final = 1_000.0
"""``MAVI_REQUESTS_PER_SECOND`` of the functions if the fake Mavi has no limit."""

PORTS: Final = {
    "submit": 8081,
    "callback": 8082,
    "subscriber": 8083,
    "ingest": 8084,
    "bucket": 8085,
    "sweep": 8086,
    "results": 8087,
    "mavi": 8090,
}


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """The options of a stack."""

    backend: str = EMBEDDED
    data_dir: Path = Path(".transcripts")
    functions: tuple[str, ...] = tuple(name for name in FUNCTIONS if name != "reader")
    """Everybody on this machine is an editor."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """More settings for the functions."""
    faults: Faults = field(default_factory=Faults)
    mavi_per_second: float = 1.0
    recorded: bytes | None = None
    """A callback the fake posts instead of its sample."""
    fixed_ports: bool = False
    sweep_every_s: float = 0.0
    """Seconds between sweeps; 0 sweeps only on request."""
    queue_backoff_s: float = 10.0
    state_file: Path | None = None
    """Where other commands find the stack while it runs."""
    watch_bucket: bool = True
    """False: the test itself announces its uploads."""
    emulators: Sequence[Emulator] = ()
    """Running emulators, without topics of the pipeline; if there are none, it starts its own."""


class Stack:
    """Starts and stops everything; use it as an async context manager."""

    def __init__(
        self, options: StackOptions, on_event: Callable[[Event], None] = lambda _: None
    ) -> None:
        """``on_event`` is given every log line of the functions."""
        self.options = options
        self.events: list[Event] = []
        self._on_event = on_event
        self._exit = AsyncExitStack()
        self.token = secrets.token_urlsafe(32)
        self.key = f"local-{secrets.token_hex(8)}"
        self.mavi = FakeMavi(
            self.key,
            faults=options.faults,
            per_second=options.mavi_per_second,
            recorded=options.recorded,
            journal=options.data_dir / "mavi.jsonl",
        )
        self.objects = FolderObjects(options.data_dir)
        self.folder = self.objects.buckets / UPLOADS_BUCKET
        """The folder that stands for the bucket of uploads."""
        self.bucket = BucketServer(self.objects)
        self.processes: dict[str, ChildProcess] = {}
        self.environ: dict[str, str] = {}
        self.emulators: Sequence[Emulator] = options.emulators
        self._database = Database(options.data_dir)
        self._queue = SqliteQueue(self._database)
        self.documents: Documents = SqliteDocuments(self._database)
        """The store, as the functions see it."""
        self.publisher: Publisher = SqlitePublisher(self._database)
        """The broker, as the functions see it."""

    def url(self, name: str) -> str:
        """Return where a function is served."""
        return self.processes[name].url

    @property
    def callback_url(self) -> str:
        """The URL that Mavi posts to, token included."""
        return f"{self.url('callback')}/{self.token}"

    @property
    def tasks(self) -> TaskStore:
        """The tasks in the store."""
        return TaskStore(self.documents, Retrier())

    async def __aenter__(self) -> Self:
        """Start everything; stops what was started if a part does not start."""
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything, in reverse order."""
        await self._exit.aclose()

    async def _start(self) -> None:
        options = self.options
        self.folder.mkdir(parents=True, exist_ok=True)
        self._exit.callback(self._database.close)
        client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1_800))
        self._exit.push_async_callback(client.close)
        self._exit.push_async_callback(self.mavi.stop)
        await self.mavi.start(self._port("mavi"))
        self._exit.push_async_callback(self.bucket.stop)
        await self.bucket.start(self._port("bucket"))
        ports = {name: self._port(name) for name in options.functions}
        self.environ = self.variables(ports)
        if options.backend == EMULATORS:
            self.environ |= await self._start_emulators()
        for name, port in ports.items():
            log_file = options.data_dir / "logs" / f"{name}.log"
            self.processes[name] = function_process(name, port, self.environ, log_file, self._heard)
        self._exit.push_async_callback(self._stop_processes)
        await asyncio.gather(*(process.start() for process in self.processes.values()))
        if "callback" in self.processes:
            self.mavi.webhook_url = self.callback_url
        await self._start_beside(poster(client))
        if options.state_file is not None:
            write_state(options.state_file, self._state())
            self._exit.callback(options.state_file.unlink, missing_ok=True)

    def _port(self, name: str) -> int:
        return free_port(PORTS.get(name, 0) if self.options.fixed_ports else 0)

    def _heard(self, event: Event) -> None:
        self.events.append(event)
        self._on_event(event)

    async def _stop_processes(self) -> None:
        await asyncio.gather(*(process.stop() for process in self.processes.values()))

    def variables(self, ports: Mapping[str, int]) -> dict[str, str]:
        """Return the environment of the functions, which listen on ``ports``."""
        options = self.options
        return {
            "TRANSCRIPTS_BACKEND": GOOGLE if options.backend == EMULATORS else EMBEDDED,
            "TRANSCRIPTS_DATA_DIR": str(options.data_dir),
            "ALLOWED_HOSTS": LOOPBACK,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "MAVI_API_KEY": self.key,
            "MAVI_BASE_URL": self.mavi.url,
            "MAVI_REQUESTS_PER_SECOND": f"{options.mavi_per_second or NO_LIMIT_PER_S:g}",
            "PLAY_MEDIA": "true",
            "UPLOAD_BUCKET": UPLOADS_BUCKET,
            "CALLBACK_TOKENS": self.token,
            "CALLBACK_TOPIC": CALLBACKS,
            "REJECTED_TOPIC": REJECTED,
            "RESULTS_TOPIC": RESULTS,
            "SUBMIT_QUEUE": QUEUE,
            "SUBMIT_URL": f"http://127.0.0.1:{ports.get('submit', 1)}",
            **options.environ,
        }

    async def _start_emulators(self) -> dict[str, str]:
        """Start what stands for Google's services, and return the variables that lead there."""
        from cli.local.tasks_server import TasksServer
        from transcripts.google.documents import FirestoreDocuments
        from transcripts.google.publisher import PubSubPublisher

        if not self.emulators:
            self.emulators = await start_emulators(self.options.data_dir)
            self._exit.push_async_callback(stop_emulators, self.emulators)
        tasks = TasksServer(self._queue)
        await tasks.start()
        self._exit.push_async_callback(tasks.stop)
        hosts = {emulator.variable: emulator.host for emulator in self.emulators}
        self.documents = FirestoreDocuments(PROJECT, "(default)", hosts["FIRESTORE_EMULATOR_HOST"])
        self.publisher = PubSubPublisher(hosts["PUBSUB_EMULATOR_HOST"])
        return hosts | {
            "CLOUD_TASKS_EMULATOR_HOST": tasks.host,
            "STORAGE_EMULATOR_HOST": self.bucket.url,
        }

    async def _start_beside(self, post: Post) -> None:
        """Start what delivers to the functions: subscriptions, bucket events, queue, schedule."""
        options = self.options
        urls = {name: process.url for name, process in self.processes.items()}
        pushed = subscriptions(urls.get("subscriber"), urls.get("ingest"))
        if options.backend == EMULATORS:
            host = self.environ["PUBSUB_EMULATOR_HOST"]
            await asyncio.to_thread(make_subscriptions, host, pushed)
        else:
            self._run_beside(Broker(self._database, pushed, post, self._log("broker")).run())
        if options.watch_bucket:
            self._run_beside(BucketWatch(self.objects, self.publisher, UPLOADS).run())
        if "submit" in urls:
            runner = QueueRunner(
                self._database,
                urls["submit"],
                post,
                self._log("queue"),
                per_second=options.mavi_per_second,
                concurrent=8,
                retry=replace(RETRY, first_pause_s=options.queue_backoff_s),
            )
            self._run_beside(runner.run())
        if options.sweep_every_s and "sweep" in urls:
            self._run_beside(_schedule(options.sweep_every_s, urls["sweep"], post))

    def _log(self, name: str) -> Log:
        return Log(name, lambda line: self._heard(msgspec.json.decode(line)), project=PROJECT)

    def _run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        self._exit.push_async_callback(_cancel, asyncio.create_task(work))

    def _state(self) -> LocalStack:
        hosts = {key: self.environ[key] for key in self.environ if key.endswith("_EMULATOR_HOST")}
        return LocalStack(
            pid=os.getpid(),
            backend=self.options.backend,
            data_dir=str(self.options.data_dir.absolute()),
            urls={name: process.url for name, process in self.processes.items()}
            | {"mavi": self.mavi.url},
            bucket=UPLOADS_BUCKET,
            bucket_url=self.bucket.url,
            callback_url=self.callback_url,
            environ=hosts,
        )


async def _schedule(every_s: float, url: str, post: Post) -> None:
    while True:
        await asyncio.sleep(every_s)
        await post(url, b"", {})


async def _cancel(task: asyncio.Task[None]) -> None:
    """Stop a background task; raises its error if it has ended early."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
