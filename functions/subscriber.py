"""The private function that Pub/Sub pushes to: it stores the result of a callback."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Final

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

import transcripts.starting  # noqa: F401 - before the other imports
from transcripts import serving
from transcripts.backends import open_announcer, open_documents
from transcripts.logs import Log, utc_now
from transcripts.ports import Announce, Documents
from transcripts.retry import Retrier
from transcripts.settings import SubscriberSettings
from transcripts.tasks.recorder import Recorder
from transcripts.tasks.store import TaskStore
from transcripts.web import BodyReader, Handler, error_boundary

MAX_PUSH_BYTES: Final = 16 * 1024 * 1024
"""A message of 10 MB is a third longer in base64."""


def compose(
    settings: SubscriberSettings,
    *,
    documents: Documents,
    log: Log,
    retrier: Retrier,
    announce: Announce | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Handler:
    """Build the function around a backend; tests give fakes."""
    recorder = Recorder(
        TaskStore(documents, retrier),
        settings.retention_days,
        log,
        clock,
        redact_faces=settings.redact_faces,
        announce=announce,
    )

    @error_boundary(log, method="POST", hosts=settings.allowed_hosts)
    async def handle(request: Request) -> Response:
        await recorder.record(await BodyReader(request, MAX_PUSH_BYTES).read())
        return Response(status_code=204)

    return handle


settings = SubscriberSettings.load(os.environ)
documents = open_documents(settings, os.environ)
handle = compose(
    settings,
    documents=documents,
    log=Log("subscriber", project=settings.project),
    retrier=Retrier(),
    announce=open_announcer(settings, documents, os.environ),
)


@functions_framework.aio.http
async def subscriber(request: Request) -> Response:
    """Answer 204 if the result is stored and announced, 422 if it never can be stored."""
    return await handle(request)


serving.prepare()
