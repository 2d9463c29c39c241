"""The private function that buys transcripts, once for each asset and object."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import uuid4

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

import transcripts.starting  # noqa: F401 - before the other imports
from transcripts import serving
from transcripts.backends import open_announcer, open_documents, open_objects, open_queue
from transcripts.errors import RequestError
from transcripts.logs import Log, utc_now
from transcripts.mavi.client import MaviApi, MaviClient
from transcripts.ports import Announce, Documents, ObjectSource, SubmitQueue
from transcripts.retry import Retrier
from transcripts.settings import SubmitSettings
from transcripts.submissions.intake import Intake
from transcripts.submissions.ledger import Ledger
from transcripts.submissions.requests import (
    MAX_REQUEST_BYTES,
    RunSubmission,
    SubmitAsset,
    SubmitAssets,
    SubmitObject,
    read_request,
)
from transcripts.submissions.service import SubmissionService
from transcripts.submissions.submitter import Submitter
from transcripts.submissions.uploader import Uploader
from transcripts.web import BodyReader, Handler, check_content_type, error_boundary, json_answer


def compose(  # noqa: PLR0913 - every part of the function, each by its name
    settings: SubmitSettings,
    *,
    documents: Documents,
    objects: ObjectSource,
    queue: SubmitQueue,
    provider: MaviApi,
    log: Log,
    retrier: Retrier,
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    announce: Announce | None = None,
) -> Handler:
    """Build the function around a backend and a provider; tests give fakes.

    ``announce`` tells of a result that came before its submission.
    """
    days = settings.retention_days
    ledger = Ledger(documents, retrier, clock=clock, retention_days=days, sleep=sleep)
    service = SubmissionService(
        ledger,
        Submitter(provider, log, clock=clock, sleep=sleep, retention_days=days, announce=announce),
        Uploader(objects, provider, log, clock=clock, sleep=sleep),
        log,
        clock=clock,
        new_lease_id=lambda: uuid4().hex,
        cap_per_day=settings.max_submissions_per_day,
    )
    intake = Intake(ledger, queue, log, clock=clock, limits=settings)

    @error_boundary(log, method="POST", hosts=settings.allowed_hosts)
    async def handle(request: Request) -> Response:
        if request.scope["path"] != "/":
            raise RequestError("POST to /.", code="not_found", status=404)
        check_content_type(request)
        match read_request(await BodyReader(request, MAX_REQUEST_BYTES).read()):
            case SubmitAsset() as wanted:
                receipt = await service.submit(wanted)
                return json_answer(200 if receipt.duplicate else 202, receipt)
            case SubmitAssets() as wanted:
                return json_answer(202, await intake.enqueue_assets(wanted))
            case SubmitObject(bucket, name, generation) as wanted:
                stored = await asyncio.to_thread(objects.stat, bucket, name, generation)
                return json_answer(202, await intake.enqueue_object(wanted, stored))
            case RunSubmission(submission_id):
                return json_answer(200, await service.run(submission_id))

    return handle


settings = SubmitSettings.load(os.environ)
documents = open_documents(settings, os.environ)
handle = compose(
    settings,
    documents=documents,
    objects=open_objects(settings, os.environ),
    queue=open_queue(settings, os.environ),
    provider=MaviClient(
        settings.mavi_base_url, settings.mavi_api_key, settings.mavi_requests_per_second
    ),
    log=Log("submit", project=settings.project),
    retrier=Retrier(),
    announce=open_announcer(settings, documents, os.environ),
)


@functions_framework.aio.http
async def submit(request: Request) -> Response:
    """Submit an asset, enqueue assets or an object, or work on an entry; see docs/reference.md."""
    return await handle(request)


serving.prepare()
