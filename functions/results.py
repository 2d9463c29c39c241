"""The private function that people and programs read: tasks, transcripts, submissions."""

from __future__ import annotations

import os
from typing import Final

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from transcripts import serving
from transcripts.backends import open_documents
from transcripts.logs import Log
from transcripts.results.accounting import AccountingRoutes
from transcripts.results.routing import dispatch, private
from transcripts.results.submissions import SubmissionRoutes
from transcripts.results.tasks import TaskRoutes
from transcripts.retry import Retrier
from transcripts.settings import ResultsSettings
from transcripts.web import error_boundary

settings = ResultsSettings.load(os.environ)
log = Log("results")
documents = open_documents(settings, os.environ)
retrier = Retrier()
tasks = TaskRoutes(documents, retrier, log)
submissions = SubmissionRoutes(documents, retrier)
accounting = AccountingRoutes(documents, retrier)

ROUTES: Final = (
    Route("/tasks", tasks.list, methods=["GET"]),
    Route("/tasks/{task_id:name}", tasks.show, methods=["GET"]),
    Route("/tasks/{task_id:name}.{format}", tasks.export, methods=["GET"]),
    Route("/submissions", submissions.list, methods=["GET"]),
    Route("/submissions/{submission_id}", submissions.show, methods=["GET"]),
    Route("/accounting", accounting.show, methods=["GET"]),
)


@functions_framework.aio.http
@private
@error_boundary(log)
async def results(request: Request) -> Response:
    """Answer a request by the table of routes; docs/reference.md lists every answer."""
    return await dispatch(ROUTES, request)


serving.prepare()
