"""The API for programs: how each request is answered; ``docs/openapi.yaml`` describes it."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from transcripts.changes.deletion import Deletion
from transcripts.changes.renormalize import Renormalizer
from transcripts.changes.speaker_names import SpeakerNames, read_changes
from transcripts.errors import RequestError, SubmissionNotFound, TaskNotFound
from transcripts.exports.file_names import content_disposition, file_name
from transcripts.exports.options import read_options
from transcripts.exports.registry import find_format
from transcripts.ids import usable_id
from transcripts.logs import Log
from transcripts.ports import Documents, Read
from transcripts.results import requests
from transcripts.results.accounting import Accountant
from transcripts.results.answers import (
    RenamedSpeakers,
    SubmissionList,
    TaskDeleted,
    TaskList,
)
from transcripts.results.callers import Caller
from transcripts.results.etags import etag, matches
from transcripts.results.filters import SUBMISSION_FILTERS, TASK_FILTERS
from transcripts.results.listing import Listing
from transcripts.results.next_steps import task_next_step
from transcripts.results.streaming import exported, streamed, task_json
from transcripts.results.transcript_pages import TranscriptReader
from transcripts.results.views import (
    SUBMISSION_VIEW_FIELDS,
    SUMMARY_FIELDS,
    submission_view,
    summary,
)
from transcripts.retry import Retrier
from transcripts.submissions.submission import Submission, submission_path
from transcripts.tasks.task import Status, Task
from transcripts.web import JSON, BodyReader, check_content_type, json_answer


def task_listing(documents: Documents, retrier: Retrier) -> Listing[Task]:
    """Return the list of tasks, of which the fields of the summary are read."""
    return Listing(documents, retrier, "tasks", Task, "task_id", SUMMARY_FIELDS, TASK_FILTERS)


class TaskRoutes:
    """Answers ``GET /tasks`` and what lies below."""

    def __init__(self, documents: Documents, retrier: Retrier, log: Log) -> None:
        self._listing = task_listing(documents, retrier)
        self._reader = TranscriptReader(documents, retrier)
        self._log = log

    async def list(self, request: Request) -> Response:
        """Answer a page of summaries, newest first."""
        page = await self._listing.page(request.query_params)
        tasks = [summary(task, await self._reader.speakers(task)) for task in page.items]
        return json_answer(200, TaskList(tasks, page.next_page_token))

    async def show(self, request: Request) -> Response:
        """Answer the whole task, or 304 if the reader has this version."""
        requests.read_parameters({}, request.query_params)
        task_id = request.path_params["task_id"]
        try:
            found = await self._reader.read_task(task_id)
        except TaskNotFound:
            raise TaskNotFound(await self._listing.ids_from(task_id)) from None
        known = request.headers.get("if-none-match")
        tag = etag(found.version, found.value)
        if matches(known, tag):
            return Response(status_code=304, headers={"ETag": tag})
        transcript = await self._reader.open(found)
        return await streamed(
            request,
            self._log,
            task_json(transcript),
            media_type=JSON,
            headers={"ETag": etag(transcript.version, transcript.task)},
        )

    async def export(self, request: Request) -> Response:
        """Answer the transcript as a file; 409 if the task has no transcript."""
        name = request.path_params["format"]
        chosen = find_format(name)
        parsers = dict.fromkeys(request.query_params.keys(), str)
        values = requests.read_parameters(parsers, request.query_params)
        options = read_options(chosen.options, values)
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


MAX_NAMES_BODY_BYTES: Final = 1024 * 1024


class TaskChanges:
    """Answers what changes tasks and submissions."""

    def __init__(
        self,
        names: SpeakerNames,
        deletion: Deletion,
        renormalizer: Renormalizer,
        caller: Caller,
    ) -> None:
        self._names = names
        self._caller = caller
        self._deletion = deletion
        self._renormalizer = renormalizer

    async def rename(self, request: Request) -> Response:
        """Answer the speakers with their new names, and the task's new ``ETag``."""
        task_id = _task_id(request)
        requests.read_parameters({}, request.query_params)
        check_content_type(request)
        changes = read_changes(await BodyReader(request, MAX_NAMES_BODY_BYTES).read())
        renamed = await self._names.rename(
            task_id, changes, request.headers.get("if-match"), self._caller(request)
        )
        content = RenamedSpeakers(task_id, renamed.speakers)
        return json_answer(200, content, {"ETag": renamed.etag})

    async def delete(self, request: Request) -> Response:
        """Answer 204, or 200 with what is left and why."""
        task_id = _task_id(request)
        given = requests.read_parameters({"asset": requests.switch}, request.query_params)
        left = await self._deletion.delete_task(task_id, asset=given.get("asset", False))
        if not left:
            return Response(status_code=204)
        return json_answer(200, TaskDeleted(task_id, left))

    async def delete_submission(self, request: Request) -> Response:
        """Answer what was deleted, what is left and why, and what remains elsewhere."""
        given = requests.read_parameters({"asset": requests.switch}, request.query_params)
        submission_id = request.path_params["submission_id"]
        if not usable_id(submission_id):
            raise SubmissionNotFound
        asset = given.get("asset", False)
        return json_answer(200, await self._deletion.delete_submission(submission_id, asset=asset))

    async def renormalize(self, request: Request) -> Response:
        """Answer the summary of the new result."""
        task_id = _task_id(request)
        requests.read_parameters({}, request.query_params)
        return json_answer(200, await self._renormalizer.renormalize(task_id))


def _task_id(request: Request) -> str:
    task_id: str = request.path_params["task_id"]
    if not usable_id(task_id):
        raise TaskNotFound
    return task_id


def submission_listing(documents: Documents, retrier: Retrier) -> Listing[Submission]:
    """Return the list of submissions, of which the fields of the view are read."""
    return Listing(
        documents,
        retrier,
        "submissions",
        Submission,
        "submission_id",
        SUBMISSION_VIEW_FIELDS,
        SUBMISSION_FILTERS,
    )


class SubmissionRoutes:
    """Answers ``/submissions`` and what lies below."""

    def __init__(self, documents: Documents, retrier: Retrier) -> None:
        self._documents = documents
        self._retrier = retrier
        self._listing = submission_listing(documents, retrier)

    async def list(self, request: Request) -> Response:
        """Answer a page of entries, newest first."""
        page = await self._listing.page(request.query_params)
        submissions = [submission_view(each) for each in page.items]
        return json_answer(200, SubmissionList(submissions, page.next_page_token))

    async def show(self, request: Request) -> Response:
        """Answer one entry."""
        requests.read_parameters({}, request.query_params)
        submission_id = request.path_params["submission_id"]
        submission = await self._read(submission_id) if usable_id(submission_id) else None
        if submission is None:
            raise SubmissionNotFound(await self._listing.ids_from(submission_id))
        return json_answer(200, submission_view(submission))

    async def _read(self, submission_id: str) -> Submission | None:
        read = Read(submission_path(submission_id), Submission, SUBMISSION_VIEW_FIELDS)
        (found,) = await self._retrier.run(lambda: self._documents.read(read))
        return found.value if found else None


class AccountingRoutes:
    """Answers ``GET /accounting``."""

    def __init__(self, accountant: Accountant) -> None:
        self._accountant = accountant

    async def show(self, request: Request) -> Response:
        """Answer the counts, and whether they balance."""
        requests.read_parameters({}, request.query_params)
        return json_answer(200, await self._accountant.account())


def reading_routes(
    documents: Documents, retrier: Retrier, log: Log, accountant: Accountant
) -> tuple[Route, ...]:
    """Return the routes for programs that read, as ``docs/openapi.yaml`` describes them."""
    tasks = TaskRoutes(documents, retrier, log)
    submissions = SubmissionRoutes(documents, retrier)
    return (
        Route("/tasks", tasks.list, methods=["GET"]),
        Route("/tasks/{task_id:name}", tasks.show, methods=["GET"]),
        Route("/tasks/{task_id:name}.{format}", tasks.export, methods=["GET"]),
        Route("/submissions", submissions.list, methods=["GET"]),
        Route("/submissions/{submission_id}", submissions.show, methods=["GET"]),
        Route("/accounting", AccountingRoutes(accountant).show, methods=["GET"]),
    )


def changing_routes(changes: TaskChanges) -> tuple[Route, ...]:
    """Return the routes for programs that change something."""
    return (
        Route("/tasks/{task_id:name}", changes.delete, methods=["DELETE"]),
        Route("/tasks/{task_id:name}/speaker_names", changes.rename, methods=["PATCH"]),
        Route("/tasks/{task_id:name}/renormalize", changes.renormalize, methods=["POST"]),
        Route("/submissions/{submission_id}", changes.delete_submission, methods=["DELETE"]),
    )
