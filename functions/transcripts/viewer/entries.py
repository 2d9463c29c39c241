"""The entries of the list: tasks and submissions as rows, and finding them by a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from starlette.datastructures import QueryParams

from transcripts.exports.transcript import title
from transcripts.ports import Count
from transcripts.results.listing import MAX_PAGE_SIZE, Listing
from transcripts.submissions.submission import State, Submission
from transcripts.tasks.speakers import shown_speakers
from transcripts.tasks.task import Provider, Status, Task
from transcripts.text import one_line
from transcripts.viewer.steps import PageStep, submission_step, task_step
from transcripts.viewer.words import STATE_WORDS, STATUS_WORDS, TONES

SHOWN_SPEAKERS: Final = 6

SEARCHED_PAGES: Final = 5
"""A search reads at most so many pages of ``MAX_PAGE_SIZE``, the newest first, and then offers to
go on: no store finds a part of a text by an index."""

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
        reason=submission.reason,
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
    """Some rows, how many documents were looked at, and the token of the next page."""

    entries: Sequence[Entry]
    searched: int
    next_page_token: str | None


async def find_entries(
    listing: Listing[Any], entry: Callable[[Any], Entry], parameters: dict[str, str], text: str
) -> EntryPage:
    """Return one page of a list, or the matches of ``text`` on the next pages.

    Raises ``RequestError`` (``bad_parameter``, ``bad_page_token``) and ``StoreUnavailable``.
    """
    if not text:
        page = await listing.page(QueryParams(parameters))
        return EntryPage(
            [entry(each) for each in page.items], len(page.items), page.next_page_token
        )
    wanted = text.casefold()
    found: list[Entry] = []
    searched, token = 0, parameters.get("page_token")
    for _ in range(SEARCHED_PAGES):
        asked = parameters | {"page_size": str(MAX_PAGE_SIZE)}
        page = await listing.page(QueryParams(asked | ({"page_token": token} if token else {})))
        found += [row for row in map(entry, page.items) if row.matches(wanted)]
        searched, token = searched + len(page.items), page.next_page_token
        if token is None or len(found) >= ENOUGH:
            break
    return EntryPage(found, searched, token)


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
