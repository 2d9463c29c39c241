"""The routes of the pages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from transcripts.errors import RequestError, TranscriptsError, TransientError
from transcripts.exports.speakers import displayed_speakers
from transcripts.exports.transcript import title
from transcripts.logs import Log
from transcripts.ports import Documents
from transcripts.results.etags import etag
from transcripts.results.routing import Handler
from transcripts.results.speaker_names import SpeakerNames
from transcripts.results.streaming import streamed, written
from transcripts.results.submissions import submission_listing
from transcripts.results.tasks import task_listing
from transcripts.results.transcript_pages import TranscriptReader
from transcripts.retry import Retrier
from transcripts.tasks.task import Segment, Status, Task
from transcripts.viewer.entries import (
    COUNTS,
    find_entries,
    provider_words,
    submission_entry,
    tabs,
    task_entry,
)
from transcripts.viewer.recordings import Recordings
from transcripts.viewer.renaming import (
    Undo,
    changes_of,
    current_names,
    form_cookie,
    form_token,
    offer_undo,
    offered_undo,
    place_of,
    read_form,
    requested_names,
    set_form_cookie,
)
from transcripts.viewer.rendering import HEADERS, HTML, page, pieces
from transcripts.viewer.states import STATUS_WORDS, TONES, task_step
from transcripts.viewer.transcript import Search, transcript_values


class Pages:
    """Answers the pages, and the forms that they hold."""

    def __init__(
        self,
        documents: Documents,
        retrier: Retrier,
        log: Log,
        names: SpeakerNames,
        recordings: Recordings,
    ) -> None:
        self._documents = documents
        self._retrier = retrier
        self._log = log
        self._names = names
        self._recordings = recordings
        self._reader = TranscriptReader(documents, retrier)
        self._tasks = task_listing(documents, retrier)
        self._submissions = submission_listing(documents, retrier)
        self.list = self._page(self._list)
        self.show = self._page(self._show)
        self.rename = self._page(self._rename)

    def _page(self, handler: Handler) -> Handler:
        """Return a handler whose errors are pages too, and whose answers have the headers."""

        async def answer_page(request: Request) -> Response:
            try:
                answer = await handler(request)
            except TranscriptsError as error:
                if isinstance(error, TransientError):
                    self._log.warning("transient_error", code=error.code, reason=error.message)
                answer = page("error.html", {"error": error}, error.status)
            answer.headers.update(HEADERS)
            return answer

        return answer_page

    async def _list(self, request: Request) -> Response:
        parameters = {name: value for name, value in request.query_params.items() if value}
        query = Search(parameters.pop("q", "")).query
        of_submissions = bool(parameters.keys() & {"state", "uri"})
        listing: Any = self._submissions if of_submissions else self._tasks
        entry: Any = submission_entry if of_submissions else task_entry
        found, numbers = await asyncio.gather(
            find_entries(listing, entry, parameters, query),
            self._retrier.run(lambda: self._documents.count(*COUNTS)),
        )
        parameters.pop("page_token", None)
        context = {
            "found": found,
            "tabs": tabs(numbers),
            "query": query,
            "filters": parameters,
            "of_submissions": of_submissions,
        }
        return page("list.html", context)

    async def _show(self, request: Request) -> Response:
        search = Search(request.query_params.get("q", ""))
        found = await self._reader.read_task(request.path_params["task_id"])
        cookie = form_cookie(request)
        if found.value.status is Status.SUCCEEDED:
            transcript = await self._reader.open(found)
            task, tag = transcript.task, etag(transcript.version)
            values = _task_values(task) | {
                "undo": offered_undo(request, task, tag),
                "recording": self._recordings.offer(task),
                "etag": tag,
                "token": form_token(cookie, f"/view/{task.task_id}/names"),
            }

            def write(segments: Iterable[Segment]) -> Iterator[bytes]:
                return pieces("transcript.html", values | transcript_values(task, search, segments))

            answer = await streamed(
                request, self._log, written(transcript, write), media_type=HTML, headers={}
            )
        else:
            answer = page("pending.html", _task_values(found.value))
        set_form_cookie(answer, cookie)
        return answer

    async def play(self, request: Request) -> Response:
        """Send the browser to the recording, at an address that stands in no page and no log."""
        found = await self._reader.read_task(request.path_params["task_id"])
        address = await self._recordings.address(found.value)
        return RedirectResponse(address, 307, HEADERS)

    async def _rename(self, request: Request) -> Response:
        fields = await read_form(request)
        task_id = request.path_params["task_id"]
        found = await self._reader.read_task(task_id)
        task, tag = found.value, etag(found.version)
        names = requested_names(fields, task)
        if dict(fields).get("etag") != tag:
            return await self._conflict(request, names)
        try:
            renamed = await self._names.rename(task_id, changes_of(names, task), tag)
        except RequestError as error:
            if error.code != "changed_meanwhile":
                raise
            return await self._conflict(request, names)
        before = current_names(task)
        answer = RedirectResponse(f"/view/{task_id}#{place_of(fields)}", 303)
        undo = Undo(renamed.etag, {each: before.get(each, "") for each in names})
        offer_undo(answer, f"/view/{task_id}", undo)
        return answer

    async def _conflict(self, request: Request, names: dict[str, str]) -> Response:
        """Answer what the names are now, what the reader asked for, and a form to repeat it."""
        found = await self._reader.read_task(request.path_params["task_id"])
        task = found.value
        shown = displayed_speakers(task.speakers, task.speaker_names)
        rows = [
            (each.id, each.name, shown.of(each.id).name, names[each.id])
            for each in task.speakers
            if each.id in names
        ]
        context = _task_values(task) | {
            "rows": rows,
            "etag": etag(found.version),
            "token": form_token(form_cookie(request), request.url.path),
        }
        return page("conflict.html", context, 412)


def _task_values(task: Task) -> dict[str, Any]:
    return {
        "task": task,
        "title": title(task),
        "state_words": STATUS_WORDS[task.status],
        "tone": TONES.get(task.status, "neutral"),
        "provider_words": provider_words(task.provider),
        "next_step": task_step(task),
    }
