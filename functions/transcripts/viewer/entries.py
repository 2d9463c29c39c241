"""The entries of the list: tasks and submissions as rows, and finding them by a text."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from starlette.datastructures import QueryParams

from transcripts.exports.transcript import title
from transcripts.ports import Count, Documents
from transcripts.results.filters import FILTERS, SUBMISSION_FILTERS, TASK_FILTERS
from transcripts.results.listing import MAX_PAGE_SIZE, Listing
from transcripts.results.routes import submission_listing, task_listing
from transcripts.retry import Retrier
from transcripts.submissions.submission import State, Submission
from transcripts.tasks.speakers import shown_speakers
from transcripts.tasks.task import Provider, Status, Task
from transcripts.text import one_line
from transcripts.viewer.states import (
    STATE_WORDS,
    STATUS_WORDS,
    TONES,
    PageStep,
    submission_step,
    task_step,
)

SHOWN_SPEAKERS: Final = 6

SEARCHED_PAGES: Final = 5
"""A search reads at most so many pages of ``MAX_PAGE_SIZE``, the newest first, and then offers to
go on: no store finds a part of a text by an index. Without a search, a page without rows is
followed by the next one."""

ENOUGH: Final = 50
"""A search ends after the page with this many matches."""


class Entry(NamedTuple):
    """A row of the list; ``href`` is None if there is no page for it."""

    title: str
    href: str | None
    state: str
    state_words: str
    tone: str
    reason: str | None
    reason_code: str | None
    next_step: PageStep | None
    duration_ms: int
    cost_s: float | None
    speakers: Sequence[str]
    more_speakers: int
    labels: dict[str, str]
    uri: str | None
    asset_id: str | None
    moment: datetime | None
    id: str

    def matches(self, text: str) -> bool:
        """Tell whether a name, an id or a label holds ``text``, which is casefolded."""
        labels = [f"{key}:{value}" for key, value in self.labels.items()]
        texts = [self.title, self.uri or "", self.asset_id or "", self.id, *labels, *self.speakers]
        return any(text in each.casefold() for each in texts)


def task_entry(task: Task) -> Entry:
    """Return the row of a task; of ``task`` only the fields of its summary count."""
    names = [each.name for each in shown_speakers(task).listed]
    done = task.status is Status.SUCCEEDED
    return Entry(
        title=title(task),
        href=f"/view/{task.task_id}",
        state=task.status,
        state_words=STATUS_WORDS[task.status],
        tone=TONES.get(task.status, "neutral"),
        reason=None if done else provider_words(task.provider),
        reason_code=None,
        next_step=task_step(task),
        duration_ms=int(task.duration_s * 1000),
        cost_s=task.duration_s if done and task.duration_s else None,
        speakers=names[:SHOWN_SPEAKERS],
        more_speakers=max(len(names) - SHOWN_SPEAKERS, 0),
        labels=task.labels,
        uri=task.source.uri if task.source else None,
        asset_id=task.asset_id,
        moment=task.created_at,
        id=task.task_id,
    )


def provider_words(provider: Provider | None) -> str | None:
    """Return what Mavi says about a job that has no result, None if it says nothing."""
    if provider is None:
        return None
    said = [one_line(str(each)) for each in (provider.message, provider.detail) if each]
    return f"Mavi says: {'; '.join(dict.fromkeys(said))}" if said else None


def submission_entry(submission: Submission) -> Entry:
    """Return the row of a submission."""
    uri = submission.source.uri if submission.source else None
    name = one_line(PurePosixPath(uri).name) if uri else ""
    has_page = submission.task_id is not None and submission.deleted_at is None
    return Entry(
        title=name or submission.asset_id or submission.submission_id,
        href=f"/view/{submission.task_id}" if has_page else None,
        state=submission.state,
        state_words=STATE_WORDS[submission.state],
        tone=TONES.get(submission.state, "neutral"),
        reason=None,
        reason_code=submission.reason,
        next_step=submission_step(submission),
        duration_ms=0,
        cost_s=None,
        speakers=(),
        more_speakers=0,
        labels=submission.labels,
        uri=uri,
        asset_id=submission.asset_id,
        moment=submission.created_at,
        id=submission.submission_id,
    )


class EntryPage(NamedTuple):
    """Some rows, how many documents were looked at, and the token of the next page.

    ``empty_words`` says what it means that there is no row.
    """

    entries: Sequence[Entry]
    searched: int
    next_page_token: str | None
    of_submissions: bool
    empty_words: str


class FilterWords(NamedTuple):
    """What the list says of a filter: before its value, and if nothing passes it."""

    shown: str | None
    empty: str


_OTHER_TIME: Final = "Nothing is from this time."

FILTER_WORDS: Final[Mapping[str, FilterWords]] = {
    **{
        name: FilterWords(row.shown, row.empty)
        for rows in FILTERS.values()
        for name, row in rows.items()
    },
    "created_after": FilterWords("Created from", _OTHER_TIME),
    "created_before": FilterWords("Created before", _OTHER_TIME),
}
"""A filter without words is one that a tab shows."""

_TIMES: Final = frozenset({"created_after", "created_before"})
_PAGING: Final = frozenset({"page_size", "page_token"})
_OF_SUBMISSIONS: Final = SUBMISSION_FILTERS.keys() - TASK_FILTERS.keys()

_END: Final = "-"
"""In a token of both lists: this one has no more rows."""


class EntryList:
    """Finds the rows of a page: of tasks, of submissions, or of both.

    The list without a filter has every task, and every submission that has no task yet.
    """

    def __init__(self, documents: Documents, retrier: Retrier) -> None:
        self._tasks = task_listing(documents, retrier)
        self._submissions = submission_listing(documents, retrier)

    async def find(self, parameters: Mapping[str, str], text: str) -> EntryPage:
        """Return one page, or the matches of ``text`` on the next pages.

        Raises ``RequestError`` (``bad_parameter``, ``bad_page_token``) and ``StoreUnavailable``.
        """
        filters = parameters.keys() - _TIMES - _PAGING
        of_submissions = bool(filters & _OF_SUBMISSIONS)
        if not filters:
            read = self._read_both
        elif of_submissions:
            read = self._read_submissions
        else:
            read = self._read_tasks
        wanted = text.casefold()
        asked = {**parameters, **({"page_size": str(MAX_PAGE_SIZE)} if text else {})}
        found: list[Entry] = []
        searched = 0
        for _ in range(SEARCHED_PAGES):
            rows, token = await read(asked)
            found += [row for row in rows if row.matches(wanted)]
            searched += len(rows)
            if token is None or len(found) >= (ENOUGH if text else 1):
                break
            asked["page_token"] = token
        words = [FILTER_WORDS[name].empty for name in FILTER_WORDS if name in parameters]
        if text:
            words = ["Nothing here matches."]
        elif not words:
            words = [
                "There is no transcript yet. Upload a recording to the bucket, or submit an asset."
            ]
        return EntryPage(found, searched, token, of_submissions, words[-1])

    async def _read_tasks(self, asked: Mapping[str, str]) -> tuple[list[Entry], str | None]:
        page = await self._tasks.page(QueryParams(asked))
        return [task_entry(each) for each in page.items], page.next_page_token

    async def _read_submissions(self, asked: Mapping[str, str]) -> tuple[list[Entry], str | None]:
        page = await self._submissions.page(QueryParams(asked))
        return [submission_entry(each) for each in page.items], page.next_page_token

    async def _read_both(self, asked: Mapping[str, str]) -> tuple[list[Entry], str | None]:
        """Merge a page of each list by time; a token holds the tokens of both."""
        starts = [*asked.get("page_token", "").split("."), ""][:2]
        own = {name: value for name, value in asked.items() if name != "page_token"}
        sides = [_Side(self._tasks, own, starts[0]), _Side(self._submissions, own, starts[1])]
        await asyncio.gather(*(side.read() for side in sides))
        rows: list[Entry] = []
        # A list that has more pages must be read on before the rows of the other one go on.
        while not any(side.must_be_read for side in sides):
            waiting = [side for side in sides if side.items]
            if not waiting:
                break
            item = max(waiting, key=lambda side: side.items[0].created_at).take()
            if isinstance(item, Task):
                rows.append(task_entry(item))
            elif item.state is not State.SUBMITTED:
                rows.append(submission_entry(item))
        tokens = [side.token() for side in sides]
        return rows, None if tokens == [_END, _END] else ".".join(tokens)


class _Side:
    """One of two lists that are merged: what was read of it, and how far it was taken."""

    def __init__(self, listing: Listing[Any], parameters: Mapping[str, str], start: str) -> None:
        self.items: deque[Any] = deque()
        self._listing = listing
        self._parameters = parameters
        self._start = start
        self._next = None if start == _END else start
        self._taken: Any = None

    async def read(self) -> None:
        if self._next is not None:
            start = {"page_token": self._start} if self._start else {}
            page = await self._listing.page(QueryParams({**self._parameters, **start}))
            self.items.extend(page.items)
            self._next = page.next_page_token

    @property
    def must_be_read(self) -> bool:
        return not self.items and self._next is not None

    def take(self) -> Any:
        self._taken = self.items.popleft()
        return self._taken

    def token(self) -> str:
        """Return where the next page begins in this list."""
        if not self.items:
            return self._next or _END
        if self._taken is None:
            return self._start
        return self._listing.token_after(QueryParams(self._parameters), self._taken)


_SHOWN_STATUSES: Final = tuple(status for status in Status if status is not Status.DELETED)
_SHOWN_STATES: Final = tuple(state for state in State if state is not State.SUBMITTED)

COUNTS: Final = (
    *(Count("tasks", (("status", status),)) for status in _SHOWN_STATUSES),
    Count("tasks", (("submission_id", None),)),
    *(Count("submissions", (("state", state),)) for state in _SHOWN_STATES),
)


class Tab(NamedTuple):
    """A link to the entries of one state, with their number."""

    words: str
    query: str
    number: int
    tone: str


def tabs(numbers: Sequence[int]) -> list[Tab]:
    """Return the links of what ``COUNTS`` has counted, without those that lead to nothing."""
    shown = [
        *(
            Tab(STATUS_WORDS[each], f"status={each}", 0, TONES.get(each, ""))
            for each in _SHOWN_STATUSES
        ),
        Tab("Not requested here", "unmatched=true", 0, ""),
        *(
            Tab(STATE_WORDS[each], f"state={each}", 0, TONES.get(each, ""))
            for each in _SHOWN_STATES
        ),
    ]
    counted = zip(shown, numbers, strict=True)
    return [tab._replace(number=number) for tab, number in counted if number]
