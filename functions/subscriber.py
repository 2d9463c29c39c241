"""The private function that Pub/Sub pushes to: it stores the result of a callback."""

from __future__ import annotations

import os
from typing import Final

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

import transcripts.starting  # noqa: F401 - before the other imports
from transcripts import serving
from transcripts.backends import open_documents, open_publisher
from transcripts.logs import Log, utc_now
from transcripts.retry import Retrier
from transcripts.settings import SubscriberSettings
from transcripts.tasks.recorder import Announce, Recorder
from transcripts.tasks.store import TaskStore
from transcripts.web import BodyReader, error_boundary

MAX_PUSH_BYTES: Final = 16 * 1024 * 1024
"""A message of 10 MB is a third longer in base64."""

settings = SubscriberSettings.load(os.environ)
log = Log("subscriber")
store = TaskStore(open_documents(settings, os.environ), Retrier())


def _announce() -> Announce | None:
    """Return what tells the results topic; only then is it imported."""
    if not settings.results_topic:
        return None
    from transcripts.results.events import ResultEvents

    publisher = open_publisher(settings, os.environ)
    return ResultEvents(store, publisher, settings.results_topic).publish


recorder = Recorder(
    store,
    settings.retention_days,
    log,
    utc_now,
    redact_faces=settings.redact_faces,
    announce=_announce(),
)


@functions_framework.aio.http
@error_boundary(log, method="POST")
async def subscriber(request: Request) -> Response:
    """Answer 204 if the result is stored and announced, 422 if it never can be stored."""
    await recorder.record(await BodyReader(request, MAX_PUSH_BYTES).read())
    return Response(status_code=204)


serving.prepare()
