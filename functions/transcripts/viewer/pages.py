"""The routes of the pages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from transcripts.changes.speaker_names import SpeakerNames
from transcripts.errors import RequestError, TranscriptsError, TransientError
from transcripts.exports.options import DEFAULTS
from transcripts.exports.registry import FORMATS
from transcripts.exports.transcript import Transcript, title
from transcripts.logs import Log
from transcripts.ports import Documents
from transcripts.results.dispatch import Handler
from transcripts.results.requests import etag
from transcripts.results.routes import submission_listing, task_listing
from transcripts.results.streaming import streamed, written
from transcripts.results.transcript_pages import TranscriptReader
from transcripts.retry import Retrier
from transcripts.tasks.speakers import ShownSpeakers, shown_speakers
from transcripts.tasks.task import Segment, Status, Task
from transcripts.viewer import forms
from transcripts.viewer.entries import (
    COUNTS,
    find_entries,
    provider_words,
    submission_entry,
    tabs,
    task_entry,
)
from transcripts.viewer.paragraphs import Search, blocks, shown_paragraphs
from transcripts.viewer.recordings import Offer, Recordings
from transcripts.viewer.renaming import (
    Undo,
    changes_of,
    current_names,
    offer_undo,
    offered_undo,
    place_of,
    requested_names,
)
from transcripts.viewer.rendering import HEADERS, HTML, page, pieces
from transcripts.viewer.steps import task_step
from transcripts.viewer.timeline import COLUMNS, Timeline
from transcripts.viewer.words import STATUS_WORDS, TONES

MERGE_CHOICES: Final = 30
"""With more speakers, the names to merge with are not listed beside every speaker."""

COLORS: Final = 8


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
                    self._log.warning("transient_error", code=error.code, reason=error.log_text)
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
        cookie = forms.cookie_of(request)
        if found.value.status is Status.SUCCEEDED:
            transcript = await self._reader.open(found)
            task, tag = transcript.task, etag(transcript.version)
            undo = offered_undo(request, task, tag)
            recording = self._recordings.offer(task)
            speakers = await transcript.speakers()
            write = partial(_transcript_page, task, speakers, tag, cookie, search, undo, recording)
            answer = await streamed(
                request, self._log, written(transcript, write), media_type=HTML, headers={}
            )
        else:
            answer = page("pending.html", _task_context(found.value))
        forms.set_cookie(answer, cookie)
        return answer

    async def play(self, request: Request) -> Response:
        """Send the browser to the recording, at an address that stands in no page and no log."""
        found = await self._reader.read_task(request.path_params["task_id"])
        address = await self._recordings.address(found.value)
        return RedirectResponse(address, 307, HEADERS)

    async def _rename(self, request: Request) -> Response:
        fields = await forms.read_form(request)
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
        shown = shown_speakers(task)
        rows = [
            (each.id, each.name, shown.of(each.id).name, names[each.id])
            for each in task.speakers
            if each.id in names
        ]
        context = _task_context(task) | {
            "rows": rows,
            "etag": etag(found.version),
            "token": forms.token(forms.cookie_of(request), request.url.path),
        }
        return page("conflict.html", context, 412)


def _task_context(task: Task) -> dict[str, Any]:
    return {
        "task": task,
        "title": title(task),
        "state_words": STATUS_WORDS[task.status],
        "tone": TONES.get(task.status, "neutral"),
        "provider_words": provider_words(task.provider),
        "next_step": task_step(task),
    }


def _ids_of(speakers: ShownSpeakers, task: Task) -> dict[str, list[str]]:
    """Return the ids of the provider's speakers that each shown speaker stands for."""
    ids: dict[str, list[str]] = {}
    for each in task.speakers:
        ids.setdefault(speakers.of(each.id).id, []).append(each.id)
    return ids


def _transcript_page(
    task: Task,
    speakers: ShownSpeakers,
    tag: str,
    cookie: str,
    search: Search,
    undo: dict[str, str] | None,
    recording: Offer,
    segments: Iterable[Segment],
) -> Iterator[bytes]:
    """Write the page of a transcript, whose segments are read as they are written."""
    transcript = Transcript(task, speakers, segments, DEFAULTS)
    timeline = Timeline(speakers.listed, task.duration_s)
    colors = {each.id: index % COLORS + 1 for index, each in enumerate(speakers.listed)}
    context = _task_context(task) | {
        "speakers": speakers.listed,
        "color": lambda speaker: colors.get(speaker.id, 0) if speaker else 0,
        "speaker_ids": _ids_of(speakers, task),
        "named": current_names(task),
        "merge_choices": len(speakers.listed) <= MERGE_CHOICES,
        "blocks": blocks(shown_paragraphs(transcript, search), timeline.add),
        "timeline": timeline,
        "columns": COLUMNS,
        "formats": FORMATS.values(),
        "query": search.query,
        "undo": undo,
        "recording": recording,
        "etag": tag,
        "token": forms.token(cookie, f"/view/{task.task_id}/names"),
    }
    return pieces("transcript.html", context)
