"""The routes of the pages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from functools import wraps
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from transcripts.changes.speaker_names import SpeakerNames
from transcripts.errors import RequestError
from transcripts.exports.options import DEFAULTS
from transcripts.exports.transcript import Transcript, title
from transcripts.logs import Log
from transcripts.ports import Documents
from transcripts.results.callers import Caller, no_caller
from transcripts.results.etags import etag
from transcripts.results.streaming import streamed, written
from transcripts.results.transcript_pages import TranscriptReader
from transcripts.retry import Retrier
from transcripts.tasks.speakers import shown_speakers
from transcripts.tasks.task import Segment, Status, Task
from transcripts.viewer.entries import COUNTS, FILTER_WORDS, EntryList, provider_words, tabs
from transcripts.viewer.recordings import Recordings
from transcripts.viewer.renaming import (
    CONFLICT_COOKIE,
    UNDO_COOKIE,
    KeptNames,
    Names,
    changes_of,
    current_names,
    form_cookie,
    form_token,
    keep_names,
    kept_names,
    read_form,
    requested_names,
    set_form_cookie,
)
from transcripts.viewer.rendering import HEADERS, HTML, page, pieces, root, show_asset
from transcripts.viewer.states import STATUS_WORDS, TONES, task_step
from transcripts.viewer.transcript import Search, transcript_values
from transcripts.web import JSON, Handler

READ_ONLY: Final = (
    "Nothing can be changed at this address, which is for readers. Editors use the address of the"
    " function results."
)

RENEWED_S: Final = 60
"""The page of a task that waits for Mavi renews itself after so many seconds."""


class Pages:
    """Answers the pages, and the forms that they hold."""

    def __init__(
        self,
        documents: Documents,
        retrier: Retrier,
        log: Log,
        recordings: Recordings,
        names: SpeakerNames | None = None,
        caller: Caller = no_caller,
    ) -> None:
        """Without ``names``, the pages have no forms."""
        self._documents = documents
        self._retrier = retrier
        self._log = log
        self._names = names
        self._caller = caller
        self._recordings = recordings
        self._reader = TranscriptReader(documents, retrier)
        self._entries = EntryList(documents, retrier)

    async def list(self, request: Request) -> Response:
        """Answer a page of the list, or what a search finds."""
        parameters = {name: value for name, value in request.query_params.items() if value}
        query = Search(parameters.pop("q", "")).query
        found, numbers = await asyncio.gather(
            self._entries.find(parameters, query),
            self._retrier.run(lambda: self._documents.count(*COUNTS)),
        )
        parameters.pop("page_token", None)
        context = {"found": found, "tabs": tabs(numbers), "query": query, "filters": parameters}
        shown = [
            (words.shown, parameters[name])
            for name, words in FILTER_WORDS.items()
            if words.shown and name in parameters
        ]
        return page(request, "list.html", context | {"shown_filters": shown})

    async def show(self, request: Request) -> Response:
        """Answer a transcript, or what is known of a task that has none."""
        search = Search(request.query_params.get("q", ""))
        found = await self._reader.read_task(request.path_params["task_id"])
        if found.value.status is not Status.SUCCEEDED:
            waits = found.value.status in (Status.SUBMITTED, Status.OVERDUE)
            values = _task_values(found.value) | {"renewed_s": RENEWED_S if waits else None}
            headers = {"Refresh": str(RENEWED_S)} if waits else None
            return page(request, "pending.html", values, headers=headers)
        transcript = await self._reader.open(found)
        task = transcript.task
        tag = etag(transcript.version, task)
        cookie = form_cookie(request)
        undo = kept_names(request, UNDO_COOKIE, task)
        values = _task_values(task) | {
            # Undoing would overwrite a later change.
            "undo": undo.names if undo and undo.etag == tag else None,
            "recording": self._recordings.offer(task),
            "etag": tag,
            "token": form_token(cookie, f"/view/{task.task_id}/names"),
            "root": root(request),
            "editing": self._names is not None,
        }

        speakers = await transcript.speakers()

        def write(segments: Iterable[Segment]) -> Iterator[bytes]:
            shown = transcript_values(Transcript(task, speakers, segments, DEFAULTS), search)
            return pieces("transcript.html", values | shown)

        answer = await streamed(
            request, self._log, written(transcript, write), media_type=HTML, headers=HEADERS
        )
        set_form_cookie(answer, cookie, root(request))
        return answer

    async def play(self, request: Request) -> Response:
        """Send the browser to the recording, at an address that stands in no page and no log."""
        found = await self._reader.read_task(request.path_params["task_id"])
        address = await self._recordings.address(found.value)
        local = root(request) if address.startswith("/") else ""
        return RedirectResponse(local + address, 307, HEADERS)

    async def rename(self, request: Request) -> Response:
        """Save the names of a form, and lead back to the transcript or to the conflict."""
        if self._names is None:
            raise RequestError(READ_ONLY, code="read_only", status=403)
        fields = await read_form(request)
        task_id = request.path_params["task_id"]
        task = (await self._reader.read_task(task_id)).value
        names = requested_names(fields, task)
        tag = dict(fields).get("etag", "")
        before = current_names(task)
        path = f"{root(request)}/view/{task_id}"
        try:
            renamed = await self._names.rename(
                task_id, changes_of(names, task), tag, self._caller(request)
            )
        except RequestError as error:
            if error.code != "changed_meanwhile":
                raise
            answer: Response = RedirectResponse(f"{path}/names", 303)
            if keep_names(answer, CONFLICT_COOKIE, path, KeptNames(tag, names)):
                return answer
            return await self._conflict(request, names, 412)
        answer = RedirectResponse(path, 303)
        undo = KeptNames(renamed.etag, {each: before.get(each, "") for each in names})
        offered = keep_names(answer, UNDO_COOKIE, path, undo)
        answer.headers["Location"] = f"{path}#{'saved' if offered else 'speakers'}"
        answer.delete_cookie(CONFLICT_COOKIE, path)
        return answer

    async def conflict(self, request: Request) -> Response:
        """Answer the names that were not saved; without any, lead to the transcript."""
        found = await self._reader.read_task(request.path_params["task_id"])
        kept = kept_names(request, CONFLICT_COOKIE, found.value)
        if kept is None:
            return RedirectResponse(f"{root(request)}/view/{found.value.task_id}", 303)
        return await self._conflict(request, kept.names, 200)

    async def _conflict(self, request: Request, names: Names, status: int) -> Response:
        """Answer what the names are now, what the reader asked for, and a form to repeat it."""
        found = await self._reader.read_task(request.path_params["task_id"])
        task = found.value
        shown = shown_speakers(task)
        rows = [
            (each.id, each.name, shown.of(each.id).name, names[each.id])
            for each in task.speakers
            if each.id in names
        ]
        cookie = form_cookie(request)
        context = _task_values(task) | {
            "rows": rows,
            "etag": etag(found.version, task),
            "token": form_token(cookie, request.url.path),
        }
        answer = page(request, "conflict.html", context, status)
        set_form_cookie(answer, cookie, root(request))
        return answer


def page_routes(pages: Pages) -> tuple[Route, ...]:
    """Return the routes for people; the paths below /view may change."""
    return (
        Route("/", pages.list, methods=["GET"]),
        Route("/view/{task_id}", pages.show, methods=["GET"]),
        Route("/view/{task_id}/media", pages.play, methods=["GET"]),
        Route("/view/{task_id}/names", pages.conflict, methods=["GET"]),
        Route("/view/{task_id}/names", pages.rename, methods=["POST"]),
        Route("/viewer/{version}/{name}", show_asset, methods=["GET"]),
    )


def _task_values(task: Task) -> dict[str, Any]:
    return {
        "task": task,
        "title": title(task),
        "state_words": STATUS_WORDS[task.status],
        "tone": TONES.get(task.status, "neutral"),
        "provider_words": provider_words(task.provider),
        "next_step": task_step(task),
    }


class _Error(msgspec.Struct):
    code: str
    message: str


class _ErrorAnswer(msgspec.Struct):
    error: _Error


def error_pages(handler: Handler) -> Handler:
    """Decorate an entry: a browser that opens an address gets its errors as pages."""

    @wraps(handler)
    async def answer_page(request: Request) -> Response:
        answer = await handler(request)
        wanted = request.headers.get("accept") or ""
        if "text/html" not in wanted or answer.status_code < 400 or answer.media_type != JSON:
            return answer
        error = msgspec.json.decode(answer.body, type=_ErrorAnswer).error
        shown = page(request, "error.html", {"error": error}, answer.status_code)
        for name, value in answer.headers.items():
            if name not in ("content-length", "content-type"):
                shown.headers[name] = value
        return shown

    return answer_page
