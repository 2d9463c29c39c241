"""The private function for people and programs that read, and change nothing.

Its identity can't write to the database. Everything that it answers, ``results`` answers too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

import transcripts.starting  # noqa: F401 - before the other imports
from transcripts import serving
from transcripts.backends import open_documents, open_objects, open_signer
from transcripts.errors import RequestError
from transcripts.logs import Log, utc_now
from transcripts.ports import Documents, MediaSigner, ObjectSource
from transcripts.results.accounting import Accountant
from transcripts.results.compression import compressed
from transcripts.results.dispatch import dispatch, private
from transcripts.results.routes import reading_routes
from transcripts.retry import Retrier
from transcripts.settings import ReaderSettings
from transcripts.viewer.pages import READ_ONLY, Pages, error_pages, page_routes
from transcripts.viewer.recordings import Recordings
from transcripts.web import Handler, error_boundary


def compose(
    settings: ReaderSettings,
    *,
    documents: Documents,
    objects: ObjectSource,
    signer: MediaSigner,
    log: Log,
    retrier: Retrier,
    clock: Callable[[], datetime] = utc_now,
) -> Handler:
    """Build the function around a backend; tests give fakes."""
    accountant = Accountant(documents, retrier, clock=clock, retention_days=settings.retention_days)
    bucket = settings.upload_bucket if settings.play_media else None
    recordings = Recordings(objects, signer, log, clock, bucket=bucket)
    routes = [
        *reading_routes(documents, retrier, log, accountant),
        *page_routes(Pages(documents, retrier, log, recordings)),
    ]

    @compressed
    @private
    @error_pages
    @error_boundary(log, hosts=settings.allowed_hosts)
    async def handle(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise RequestError(READ_ONLY, code="read_only", status=403)
        return await dispatch(routes, request)

    return handle


settings = ReaderSettings.load(os.environ)
handle = compose(
    settings,
    documents=open_documents(settings, os.environ),
    objects=open_objects(settings, os.environ),
    signer=open_signer(settings, os.environ),
    log=Log("reader", project=settings.project),
    retrier=Retrier(),
)


@functions_framework.aio.http
async def reader(request: Request) -> Response:
    """Answer what can be read by the table of routes; docs/reference.md lists every answer."""
    return await handle(request)


serving.prepare()
