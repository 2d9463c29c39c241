"""The private function that people and programs read: tasks, transcripts, submissions."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import transcripts.starting  # noqa: F401 - before the other imports
from transcripts import serving
from transcripts.backends import open_assets, open_documents, open_objects, open_signer
from transcripts.changes.deletion import AssetDeleter, Deletion
from transcripts.changes.renormalize import Renormalizer
from transcripts.changes.speaker_names import SpeakerNames
from transcripts.embedded.objects import MEDIA_PATH, FolderSigner
from transcripts.logs import Log, utc_now
from transcripts.ports import Documents, MediaSigner, ObjectSource
from transcripts.results.accounting import Accountant
from transcripts.results.callers import checked_caller, no_caller
from transcripts.results.compression import compressed
from transcripts.results.dispatch import dispatch, private
from transcripts.results.routes import TaskChanges, changing_routes, reading_routes
from transcripts.retry import Retrier
from transcripts.settings import ResultsSettings
from transcripts.tasks.store import TaskStore
from transcripts.viewer.pages import Pages, error_pages, page_routes
from transcripts.viewer.recordings import Recordings
from transcripts.web import Handler, error_boundary


def compose(
    settings: ResultsSettings,
    *,
    documents: Documents,
    objects: ObjectSource,
    signer: MediaSigner,
    assets: AssetDeleter | None,
    log: Log,
    retrier: Retrier,
    clock: Callable[[], datetime] = utc_now,
) -> Handler:
    """Build the function around a backend; tests give fakes.

    Without ``assets``, a deletion leaves Mavi's copy of the media.
    """
    names = SpeakerNames(documents, retrier)
    # Nobody is checked on the local stack.
    caller = no_caller if settings.allowed_hosts else checked_caller
    deletion = Deletion(
        documents,
        retrier,
        log,
        clock,
        retention_days=settings.retention_days,
        assets=assets,
    )
    renormalizer = Renormalizer(
        TaskStore(documents, retrier), retrier, log, clock, redact_faces=settings.redact_faces
    )
    accountant = Accountant(documents, retrier, clock=clock, retention_days=settings.retention_days)
    bucket = settings.upload_bucket if settings.play_media else None
    recordings = Recordings(objects, signer, log, clock, bucket=bucket)
    routes = [
        *reading_routes(documents, retrier, log, accountant),
        *changing_routes(TaskChanges(names, deletion, renormalizer, caller)),
        *page_routes(Pages(documents, retrier, log, recordings, names, caller)),
    ]
    if isinstance(signer, FolderSigner):
        # The recordings of the local stack; in the cloud, browsers read them from Cloud Storage.
        routes.append(Route(MEDIA_PATH, signer.show, methods=["GET"]))

    @compressed
    @private
    @error_pages
    @error_boundary(log, hosts=settings.allowed_hosts)
    async def handle(request: Request) -> Response:
        return await dispatch(routes, request)

    return handle


settings = ResultsSettings.load(os.environ)
handle = compose(
    settings,
    documents=open_documents(settings, os.environ),
    objects=open_objects(settings, os.environ),
    signer=open_signer(settings, os.environ),
    assets=open_assets(settings),
    log=Log("results", project=settings.project),
    retrier=Retrier(),
)


@functions_framework.aio.http
async def results(request: Request) -> Response:
    """Answer a request by the table of routes; docs/reference.md lists every answer."""
    return await handle(request)


serving.prepare()
