"""The private function that the scheduler calls: it continues work that has stopped."""

from __future__ import annotations

import os
from datetime import timedelta

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

import transcripts.starting  # noqa: F401 - before the other imports
from transcripts import serving
from transcripts.backends import open_documents, open_queue
from transcripts.logs import Log, utc_now
from transcripts.retry import Retrier
from transcripts.settings import SweepSettings
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.sweep import Sweeper
from transcripts.web import error_boundary, json_answer

settings = SweepSettings.load(os.environ)
log = Log("sweep")
documents = open_documents(settings, os.environ)
sweeper = Sweeper(
    documents,
    Retrier(),
    Ledger(documents, Retrier(), clock=utc_now, retention_days=settings.retention_days),
    open_queue(settings, os.environ),
    log,
    clock=utc_now,
    overdue_after=timedelta(minutes=settings.overdue_after_minutes),
    resubmit_overdue=settings.resubmit_overdue,
)


@functions_framework.aio.http
@error_boundary(log, method="POST")
async def sweep(_request: Request) -> Response:
    """Answer 200 with the counts of one run, 503 for try again."""
    return json_answer(200, await sweeper.run())


serving.prepare()
