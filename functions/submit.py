"""The private function that buys transcripts, each asset and object once."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from uuid import uuid4

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from transcripts.backends import freeze_imports, open_documents, open_objects, open_queue
from transcripts.errors import RequestError
from transcripts.logs import Log, utc_now
from transcripts.mavi.client import MaviClient
from transcripts.retry import Retrier
from transcripts.settings import SubmitSettings
from transcripts.submissions.buyer import Buyer
from transcripts.submissions.intake import Intake
from transcripts.submissions.orders import (
    MAX_BODY_BYTES,
    AssetsOrder,
    ObjectOrder,
    Order,
    Run,
    check_content_type,
    read_order,
)
from transcripts.submissions.purchase import Purchaser
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.uploader import Uploader
from transcripts.web import BodyReader, guarded, header, json_answer

settings = SubmitSettings.load(os.environ)
log = Log("submit")
store = SubmissionStore(open_documents(settings, os.environ), Retrier(), settings.retention_days)
objects = open_objects(settings)
mavi = MaviClient(settings.mavi_base_url, settings.mavi_api_key, settings.mavi_requests_per_second)
purchaser = Purchaser(
    store,
    Buyer(mavi, log, clock=utc_now, retention_days=settings.retention_days),
    Uploader(objects, mavi, log, clock=utc_now),
    log,
    clock=utc_now,
    new_claim_id=lambda: uuid4().hex,
    cap_per_day=settings.max_submissions_per_day,
)
intake = Intake(
    store,
    open_queue(settings, os.environ),
    log,
    clock=utc_now,
    max_object_bytes=settings.max_object_bytes,
)


@functions_framework.aio.http
@guarded(log)
async def submit(request: Request) -> Response:
    """Answer what became of an order; see "Answers" in the README."""
    if request.scope["path"] != "/":
        raise RequestError("POST to /.", code="not_found", status=404)
    if request.method != "POST":
        raise RequestError("POST only.", code="method_not_allowed", status=405)
    check_content_type(header(request, b"content-type"))
    match read_order(await BodyReader(request, MAX_BODY_BYTES).read()):
        case Order() as order:
            receipt = await purchaser.buy(order)
            status = 200 if receipt.duplicate else 202
            return json_answer(status, asdict(receipt) | {"status": "submitted"})
        case AssetsOrder() as order:
            return json_answer(202, await intake.take_assets(order))
        case ObjectOrder(bucket, name, generation) as order:
            stored = await asyncio.to_thread(objects.stat, bucket, name, generation)
            return json_answer(202, await intake.take_object(order, stored))
        case Run(submission_id):
            return json_answer(200, await purchaser.run(submission_id))


freeze_imports()
