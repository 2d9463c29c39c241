"""The private function that the scheduler calls: it continues work that has stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

import transcripts.starting  # noqa: F401 - before the other imports
from transcripts import serving
from transcripts.backends import open_documents, open_queue
from transcripts.logs import Log, utc_now
from transcripts.ports import Documents, SubmitQueue
from transcripts.retry import Retrier
from transcripts.settings import SweepSettings
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.sweep import Sweeper
from transcripts.web import Handler, error_boundary, json_answer


def compose(
    settings: SweepSettings,
    *,
    documents: Documents,
    queue: SubmitQueue,
    log: Log,
    retrier: Retrier,
    clock: Callable[[], datetime] = utc_now,
) -> Handler:
    """Build the function around a backend; tests give fakes."""
    sweeper = Sweeper(
        documents,
        retrier,
        Ledger(documents, retrier, clock=clock, retention_days=settings.retention_days),
        queue,
        log,
        clock=clock,
        overdue_after=timedelta(minutes=settings.overdue_after_minutes),
        resubmit_overdue=settings.resubmit_overdue,
    )

    @error_boundary(log, method="POST", hosts=settings.allowed_hosts)
    async def handle(_request: Request) -> Response:
        return json_answer(200, await sweeper.run())

    return handle


settings = SweepSettings.load(os.environ)
handle = compose(
    settings,
    documents=open_documents(settings, os.environ),
    queue=open_queue(settings, os.environ),
    log=Log("sweep", project=settings.project),
    retrier=Retrier(),
)


@functions_framework.aio.http
async def sweep(request: Request) -> Response:
    """Answer 200 with the counts of one run, 503 for try again."""
    return await handle(request)


serving.prepare()
