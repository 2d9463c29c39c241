"""The private function that people and programs read: tasks, transcripts, submissions."""

from __future__ import annotations

import os
from typing import Final

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import transcripts.starting  # noqa: F401 - before the other imports
from transcripts import serving
from transcripts.backends import open_documents, open_objects, open_signer
from transcripts.changes.deletion import AssetDeleter, Deletion
from transcripts.changes.renormalize import Renormalizer
from transcripts.changes.speaker_names import SpeakerNames
from transcripts.embedded.media import PATH, FolderSigner
from transcripts.logs import Log, utc_now
from transcripts.mavi.deleter import Deleter
from transcripts.results.accounting import Accountant
from transcripts.results.dispatch import dispatch, private
from transcripts.results.routes import (
    AccountingRoutes,
    SubmissionRoutes,
    TaskChanges,
    TaskRoutes,
)
from transcripts.retry import Retrier
from transcripts.settings import ResultsSettings, Secret
from transcripts.tasks.store import TaskStore
from transcripts.viewer.assets import show_asset
from transcripts.viewer.pages import Pages
from transcripts.viewer.recordings import Recordings
from transcripts.web import error_boundary

settings = ResultsSettings.load(os.environ)
log = Log("results")
documents = open_documents(settings, os.environ)
retrier = Retrier()
tasks = TaskRoutes(documents, retrier, log)
accounting = AccountingRoutes(
    Accountant(documents, retrier, clock=utc_now, retention_days=settings.retention_days)
)


def _assets() -> AssetDeleter | None:
    """Return what deletes assets; without a key, a deletion leaves them."""
    key = settings.mavi_api_key
    if not isinstance(key, Secret):
        return None
    return Deleter(settings.mavi_base_url, key, settings.mavi_requests_per_second)


names = SpeakerNames(documents, retrier)
signer = open_signer(settings, os.environ)
recordings = Recordings(
    open_objects(settings, os.environ),
    signer,
    log,
    utc_now,
    bucket=settings.upload_bucket if settings.play_media else None,
)
pages = Pages(documents, retrier, log, names, recordings)
deletion = Deletion(
    documents,
    retrier,
    log,
    utc_now,
    retention_days=settings.retention_days,
    assets=_assets(),
)
submissions = SubmissionRoutes(documents, retrier, deletion)
changes = TaskChanges(
    names,
    deletion,
    Renormalizer(
        TaskStore(documents, retrier), retrier, log, utc_now, redact_faces=settings.redact_faces
    ),
)

API: Final = (
    Route("/tasks", tasks.list, methods=["GET"]),
    Route("/tasks/{task_id:name}", tasks.show, methods=["GET"]),
    Route("/tasks/{task_id:name}", changes.delete, methods=["DELETE"]),
    Route("/tasks/{task_id:name}/speaker_names", changes.rename, methods=["PATCH"]),
    Route("/tasks/{task_id:name}/renormalize", changes.renormalize, methods=["POST"]),
    Route("/tasks/{task_id:name}.{format}", tasks.export, methods=["GET"]),
    Route("/submissions", submissions.list, methods=["GET"]),
    Route("/submissions/{submission_id}", submissions.show, methods=["GET"]),
    Route("/submissions/{submission_id}", submissions.delete, methods=["DELETE"]),
    Route("/accounting", accounting.show, methods=["GET"]),
)
"""For programs, as docs/openapi.yaml describes it."""

PAGES: Final = (
    Route("/", pages.list, methods=["GET"]),
    Route("/view/{task_id}", pages.show, methods=["GET"]),
    Route("/view/{task_id}/media", pages.play, methods=["GET"]),
    Route("/view/{task_id}/names", pages.rename, methods=["POST"]),
    Route("/viewer/{name}", show_asset, methods=["GET"]),
)
"""For people; the paths below ``/view`` may change."""

FILES: Final = (
    (Route(PATH, signer.show, methods=["GET"]),) if isinstance(signer, FolderSigner) else ()
)
"""The recordings of the local stack; in the cloud, browsers read them from Cloud Storage."""

ROUTES: Final = (*API, *PAGES, *FILES)


@functions_framework.aio.http
@private
@error_boundary(log)
async def results(request: Request) -> Response:
    """Answer a request by the table of routes; docs/reference.md lists every answer."""
    return await dispatch(ROUTES, request)


serving.prepare()
