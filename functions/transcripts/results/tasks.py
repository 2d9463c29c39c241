"""The routes that read tasks and transcripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from transcripts.errors import RequestError
from transcripts.exports import content_disposition, file_name, find_format
from transcripts.logs import Log
from transcripts.ports import Documents
from transcripts.results import parameters
from transcripts.results.etags import etag, matches
from transcripts.results.listing import Filter, Listing
from transcripts.results.next_steps import task_next_step
from transcripts.results.streaming import exported, streamed, task_json
from transcripts.results.summaries import SUMMARY_FIELDS, summary
from transcripts.results.transcript_pages import TranscriptReader
from transcripts.retry import Retrier
from transcripts.tasks.task import Status, Task
from transcripts.web import JSON, header, json_answer

FILTERS: Final[Mapping[str, Filter]] = {
    "status": Filter("status", parameters.one_of(Status)),
    "asset_id": Filter("asset_id", parameters.an_id),
    "submission_id": Filter("submission_id", parameters.an_id),
    "label": Filter("label_pairs", parameters.label, is_list=True),
    "unmatched": Filter("submission_id", parameters.null_if_true),
}


def task_listing(documents: Documents, retrier: Retrier) -> Listing[Task]:
    """Return the list of tasks, of which the fields of the summary are read."""
    return Listing(documents, retrier, "tasks", Task, "task_id", SUMMARY_FIELDS, FILTERS)


class TaskRoutes:
    """Answers ``GET /tasks`` and what lies below."""

    def __init__(self, documents: Documents, retrier: Retrier, log: Log) -> None:
        self._listing = task_listing(documents, retrier)
        self._reader = TranscriptReader(documents, retrier)
        self._log = log

    async def list(self, request: Request) -> Response:
        """Answer a page of summaries, newest first."""
        page = await self._listing.page(request.query_params)
        tasks = [summary(task) for task in page.items]
        return json_answer(200, {"tasks": tasks, "next_page_token": page.next_page_token})

    async def show(self, request: Request) -> Response:
        """Answer the whole task, or 304 if the reader has this version."""
        parameters.read_parameters({}, request.query_params)
        found = await self._reader.read_task(request.path_params["task_id"])
        known = header(request, b"if-none-match")
        if matches(known, etag(found.version)):
            return Response(status_code=304, headers={"ETag": etag(found.version)})
        transcript = await self._reader.open(found)
        return await streamed(
            request,
            self._log,
            task_json(transcript),
            media_type=JSON,
            headers={"ETag": etag(transcript.version)},
        )

    async def export(self, request: Request) -> Response:
        """Answer the transcript as a file; 409 if the task has no transcript."""
        name = request.path_params["format"]
        chosen = find_format(name)
        parsers = dict.fromkeys(request.query_params.keys(), str)
        options = chosen.read_options(parameters.read_parameters(parsers, request.query_params))
        found = await self._reader.read_task(request.path_params["task_id"])
        _require_transcript(found.value)
        transcript = await self._reader.open(found)
        _require_transcript(transcript.task)
        disposition = content_disposition(file_name(transcript.task, name))
        return await streamed(
            request,
            self._log,
            exported(name, transcript, options),
            media_type=chosen.media_type,
            headers={"Content-Disposition": disposition},
        )


def _require_transcript(task: Task) -> None:
    if task.status is not Status.SUCCEEDED:
        raise RequestError(
            f"There is no transcript. {task_next_step(task)}",
            code="no_transcript",
            status=409,
            details={"status": task.status},
        )
