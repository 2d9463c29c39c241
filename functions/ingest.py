"""The private function that receives upload events: it records and enqueues each object."""

from __future__ import annotations

import os
from typing import Final

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

import transcripts.starting  # noqa: F401 - before the other imports
from transcripts import serving
from transcripts.backends import open_documents, open_queue
from transcripts.errors import PoisonMessage
from transcripts.logs import Log, utc_now
from transcripts.retry import Retrier
from transcripts.settings import IngestSettings
from transcripts.submissions.intake import Intake
from transcripts.submissions.ledger import Ledger
from transcripts.uploads.events import read_event
from transcripts.web import BodyReader, error_boundary, header

MAX_EVENT_BYTES: Final = 1024 * 1024
"""An object's resource has a few kilobytes; its metadata at most 8 KiB."""

settings = IngestSettings.load(os.environ)
log = Log("ingest")
intake = Intake(
    Ledger(
        open_documents(settings, os.environ),
        Retrier(),
        clock=utc_now,
        retention_days=settings.retention_days,
    ),
    open_queue(settings, os.environ),
    log,
    clock=utc_now,
    limits=settings,
)


@functions_framework.aio.http
@error_boundary(log, method="POST")
async def ingest(request: Request) -> Response:
    """Answer 204 if the object is enqueued, known or rejected, 422 if the body is no event."""
    body = await BodyReader(request, MAX_EVENT_BYTES).read()
    try:
        stored = read_event(header(request, b"ce-type"), body)
    except PoisonMessage as error:
        log.error("event_poisoned", reason=error.message)
        raise
    if stored is None:
        log.info("event_ignored")
    else:
        await intake.enqueue_upload(stored)
    return Response(status_code=204)


serving.prepare()
