"""The private function that receives upload events: it records and enqueues each object."""

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
from transcripts.backends import open_documents, open_queue
from transcripts.errors import PoisonMessage
from transcripts.logs import Log, utc_now
from transcripts.ports import Documents, SubmitQueue
from transcripts.retry import Retrier
from transcripts.settings import IngestSettings
from transcripts.submissions.intake import Intake
from transcripts.submissions.ledger import Ledger
from transcripts.uploads.events import read_event
from transcripts.web import BodyReader, Handler, error_boundary

MAX_EVENT_BYTES: Final = 1024 * 1024
"""An object's resource has a few kilobytes; its metadata at most 8 KiB."""


def compose(
    settings: IngestSettings,
    *,
    documents: Documents,
    queue: SubmitQueue,
    log: Log,
    retrier: Retrier,
    clock: Callable[[], datetime] = utc_now,
) -> Handler:
    """Build the function around a backend; tests give fakes."""
    ledger = Ledger(documents, retrier, clock=clock, retention_days=settings.retention_days)
    intake = Intake(ledger, queue, log, clock=clock, limits=settings)

    @error_boundary(log, method="POST", hosts=settings.allowed_hosts)
    async def handle(request: Request) -> Response:
        body = await BodyReader(request, MAX_EVENT_BYTES).read()
        try:
            stored = read_event(request.headers.get("ce-type"), body)
        except PoisonMessage as error:
            log.error("event_poisoned", reason=error.message)
            raise
        if stored is None:
            log.info("event_ignored")
        else:
            await intake.enqueue_upload(stored)
        return Response(status_code=204)

    return handle


settings = IngestSettings.load(os.environ)
handle = compose(
    settings,
    documents=open_documents(settings, os.environ),
    queue=open_queue(settings, os.environ),
    log=Log("ingest", project=settings.project),
    retrier=Retrier(),
)


@functions_framework.aio.http
async def ingest(request: Request) -> Response:
    """Answer 204 if the object is enqueued, known or rejected, 422 if the body is no event."""
    return await handle(request)


serving.prepare()
