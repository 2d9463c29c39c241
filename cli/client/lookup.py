"""Finding a submission and its task from what a user has in hand: a file, a name, any id."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from cli.client.api import Answer, Api
from cli.client.uploads import DIGEST_CHARS, Content, object_name, read_content
from cli.failures import ApiError, ExitCode, Failure
from cli.output import clean, local_time, note, source_of
from transcripts.ids import usable_id
from transcripts.results.answers import SubmissionList, SubmissionView, TaskList, WholeTask
from transcripts.results.filters import FILTERS
from transcripts.results.next_steps import NextStep, step_of_submission, step_of_task
from transcripts.submissions.claims import DUPLICATE_ASSET
from transcripts.submissions.submission import OPEN, State
from transcripts.tasks.task import Status

_OBJECT_PREFIX: Final = "gs://"
_ASSET_PREFIX: Final = "re_"
MAX_FITTING: Final = 20
"""So many submissions of one subject are looked at, the newest ones."""

WAITING: Final = frozenset({Status.SUBMITTED, Status.OVERDUE})
"""Statuses of a task whose result may still come."""


@dataclass(frozen=True)
class Found:
    """A submission, its task, or both, as found for a subject. ``etag`` is the task's.

    ``others`` are more submissions that the subject fits, newest first. ``by_name`` tells that only
    the name of a file fits. ``duplicate`` is the submission that fits, if this one has its bytes.
    """

    subject: str
    submission: SubmissionView | None
    task: WholeTask | None
    etag: str | None = None
    others: tuple[SubmissionView, ...] = ()
    by_name: bool = False
    duplicate: SubmissionView | None = None

    @property
    def state(self) -> str:
        """The task's status, or the submission's state before there is a task."""
        if self.task is not None:
            return self.task.status
        # A submission keeps the id of its task after the task is deleted.
        if self.submission is None or self.submission.task_id is not None:
            return Status.DELETED
        return self.submission.state

    @property
    def _step(self) -> NextStep | None:
        if self.task is not None:
            return step_of_task(self.task)
        return step_of_submission(self.submission) if self.submission else None

    @property
    def expected(self) -> str:
        """What happens next without anybody's help."""
        return self._step.fact if self._step else ""

    @property
    def next_step(self) -> str | None:
        """What to do, with the command for it; None after success. A line ends with a command."""
        known, step = self.task or self.submission, self._step
        if known is None or step is None:
            return None
        if self.is_pending and not step.again:
            return f"{step.fact} Wait for it: transcripts watch {shlex.quote(self.subject)}"
        if self.state == Status.DELETED:
            step = step._replace(fact="The transcript was deleted, or has expired.", page="")
        commands = []
        if step.link:
            commands.append(f"{step.link[0]}: transcripts list {_option(step.link[1])}")
        if step.again:
            subject = known.asset_id or (known.source.uri if known.source else self.subject)
            commands.append(f"{step.again} transcripts submit --force {shlex.quote(subject)}")
        if self.original is not None:
            commands.append(f"Read it: transcripts show {self.original}")
        steps = "\n".join(commands)
        return f"{step.for_readers} {steps}".rstrip()

    @property
    def original(self) -> str | None:
        """The submission, or the asset, that has the transcript instead of this submission."""
        entry = self.submission
        if entry is None or entry.state is not State.REJECTED:
            return None
        return entry.duplicate_of or (entry.asset_id if entry.reason == DUPLICATE_ASSET else None)

    @property
    def task_id(self) -> str | None:
        """The id of the task, also of one that is deleted."""
        known = self.task or self.submission
        return known.task_id if known else None

    @property
    def is_pending(self) -> bool:
        """Whether a result may still come without anybody's help."""
        if self.task is not None:
            return self.state in WAITING
        return self.state in OPEN

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that stands for the state."""
        if self.is_pending:
            return ExitCode.PENDING
        return ExitCode.OK if self.state == Status.SUCCEEDED else ExitCode.TASK_FAILED

    @property
    def rivals(self) -> list[SubmissionView]:
        """The others that are recordings of their own."""
        return [each for each in self.others if each.state is not State.REJECTED]

    def announce(self, name: str | None = None) -> None:
        """Say on stderr which of several recordings this is, and why; ``name`` is the subject's."""
        name = clean(name or self.subject)
        if self.by_name and Path(self.subject).is_file():
            note(f"No recording here has the content of {name}; this has its name.")
        if self.duplicate is not None:
            note(f"{name} has the same bytes as this recording.")
        if self.rivals:
            note(f"{name} fits {len(self.rivals) + 1} recordings; this is the newest.")
            for line in _listed(self.rivals):
                note(line)


class NotFound(Failure):
    """The pipeline knows nothing of a subject."""

    reason = "not_found"


class Ambiguous(Failure):
    """A subject fits several recordings."""

    reason = "ambiguous"


def find(api: Api, subject: str) -> Found:
    """Return what is known of a file, its name, a gs:// address, or any id or its beginning.

    A file is found by its content, whatever its name is now, and else by its name. Of several
    submissions that fit it is the newest that was not rejected. Raises ``NotFound``, ``Ambiguous``
    for the beginning of several ids, ``ApiError`` and ``Unreachable``.
    """
    if subject.startswith(_OBJECT_PREFIX):
        uri, generation = split_generation(subject)
        fitting = [
            each
            for each in _submissions(api, "uri", uri)
            if not generation or (each.source and each.source.generation == generation)
        ]
        return _newest(api, subject, fitting)
    if subject.startswith(_ASSET_PREFIX):
        return _by_asset(api, subject)
    path = Path(subject)
    if path.is_file():
        found = find_content(api, subject, path.name, read_content(path))
        if found is not None:
            return found
    elif usable_id(subject):
        return _by_id(api, subject)
    return replace(_newest(api, subject, _submissions(api, "name", path.name)), by_name=True)


def find_content(api: Api, subject: str, file_name: str, content: Content) -> Found | None:
    """Return what is known of a file with this content, whatever its name was, or None."""
    fitting = _submissions(api, "name", content.sha256[:DIGEST_CHARS])
    if not fitting and api.target.bucket:
        # Entries of an older version lack what a search finds.
        name = object_name(file_name, content)
        fitting = _submissions(api, "uri", f"{_OBJECT_PREFIX}{api.target.bucket}/{name}")
    return _newest(api, subject, fitting) if fitting else None


def split_generation(address: str) -> tuple[str, str | None]:
    """Split ``gs://bucket/object#generation``; an object's name may have the sign too."""
    match = re.fullmatch(r"(gs://.+)#([0-9]{1,20})", address)
    return (match[1], match[2]) if match else (address, None)


def find_result(api: Api, subject: str) -> Found:
    """Return what ``find`` returns; for a recording that was bought before, that purchase."""
    found = find(api, subject)
    if found.task is None and found.original is not None:
        return replace(find(api, found.original), subject=subject, duplicate=found.submission)
    return found


def find_task(api: Api, subject: str, *, to_change: bool = False) -> tuple[Found, WholeTask]:
    """Return what is known, and the task; raises what ``find`` raises, and ``Failure``.

    ``to_change`` raises ``Ambiguous`` where else the newest would be taken.
    """
    found = find_result(api, subject)
    if to_change:
        refuse_several(found)
    else:
        found.announce()
    if found.task is None:
        raise Failure(f"{subject} is {found.state}. {found.next_step}", found.exit_code)
    return found, found.task


def refuse_several(found: Found) -> None:
    """Raise ``Ambiguous`` if the subject fits several recordings: none of them is changed."""
    if found.rivals and found.submission:
        lines = "\n".join(_listed([found.submission, *found.rivals]))
        raise Ambiguous(
            f"{clean(found.subject)} fits {len(found.rivals) + 1} recordings, and nothing was"
            f" changed. Name one by its id:\n{lines}"
        )


def is_plain_id(subject: str) -> bool:
    """Tell whether a subject can only be an id, or a name without an extension."""
    is_address = subject.startswith((_ASSET_PREFIX, _OBJECT_PREFIX))
    return usable_id(subject) and not is_address and not Path(subject).is_file()


def read_task(api: Api, task_id: str) -> tuple[WholeTask, str | None] | None:
    """Return a task and its entity tag, None for an unknown id."""
    answer = _get(api, "tasks", task_id)
    if isinstance(answer, ApiError):
        return None
    return answer.read(WholeTask), answer.headers.get("ETag")


def _get(api: Api, collection: str, entry_id: str) -> Answer | ApiError:
    """Return an entry, or the error that says that there is none."""
    try:
        return api.get(f"/{collection}/{quote(entry_id, safe='')}")
    except ApiError as error:
        if error.status == 404:
            return error
        raise


def _submissions(api: Api, name: str, value: str) -> list[SubmissionView]:
    """Return the submissions that a filter selects, newest first."""
    page = api.get("/submissions", {name: value, "page_size": str(MAX_FITTING)})
    return page.read(SubmissionList).submissions


def _newest(api: Api, subject: str, fitting: Sequence[SubmissionView]) -> Found:
    """Return the newest submission that was not rejected, or else the newest one."""
    if not fitting:
        raise NotFound(_unknown(subject))
    chosen = next((each for each in fitting if each.state is not State.REJECTED), fitting[0])
    others = tuple(each for each in fitting if each is not chosen)
    return replace(_with_task(api, subject, chosen), others=others)


def _unknown(subject: str) -> str:
    quoted = shlex.quote(subject)
    if subject.startswith(_OBJECT_PREFIX):
        return (
            f"{subject} is not known here. Submit it: transcripts submit {quoted}\n"
            "An object that was just uploaded appears within seconds."
        )
    if subject.startswith(_ASSET_PREFIX) or Path(subject).is_file():
        return (
            f"{subject} is not known here: it was not submitted, or its transcript was deleted."
            f" Submit it: transcripts submit {quoted}"
        )
    return (
        f"There is no file, no recording, no task and no submission {subject}. List what is there:"
        " transcripts list"
    )


def _with_task(api: Api, subject: str, submission: SubmissionView) -> Found:
    task = read_task(api, submission.task_id) if submission.task_id else None
    return Found(subject, submission, *(task or (None, None)))


def _by_asset(api: Api, asset_id: str) -> Found:
    fitting = _submissions(api, "asset_id", asset_id)
    if not fitting:
        page = api.get("/tasks", {"asset_id": asset_id, "page_size": 1}).read(TaskList)
        for summary in page.tasks:
            task = read_task(api, summary.task_id)
            if task is not None:
                return Found(asset_id, None, *task)
    return _newest(api, asset_id, fitting)


def _by_id(api: Api, subject: str) -> Found:
    """Find an id, or else a file of this name, or else what the id begins with ``subject``."""
    task = _get(api, "tasks", subject)
    if isinstance(task, Answer):
        found = task.read(WholeTask)
        entry = _get(api, "submissions", found.submission_id) if found.submission_id else None
        submission = entry.read(SubmissionView) if isinstance(entry, Answer) else None
        return Found(subject, submission, found, task.headers.get("ETag"))
    entry = _get(api, "submissions", subject)
    if isinstance(entry, Answer):
        return _with_task(api, subject, entry.read(SubmissionView))
    named = _submissions(api, "name", subject)
    if named:
        return replace(_newest(api, subject, named), by_name=True)
    ids = [*_completions(task), *_completions(entry)]
    if len(ids) > 1:
        lines = "".join(f"\n  {each}" for each in ids)
        raise Ambiguous(f"{subject} is the beginning of several ids:{lines}")
    if not ids:
        raise NotFound(_unknown(subject))
    return replace(_by_id(api, ids[0]), subject=subject)


def _completions(error: ApiError) -> list[str]:
    """Return the ids that begin with the one that is not there."""
    return msgspec.convert(error.details.get("ids", []), list[str])


def _option(query: str) -> str:
    """Return the option of `list` for a query such as ``unmatched=true``."""
    name, _, value = query.partition("=")
    row = next(rows[name] for rows in FILTERS.values() if name in rows)
    return f"{row.option}" if row.is_switch else f"{row.option} {value}"


def _listed(submissions: Sequence[SubmissionView]) -> Iterator[str]:
    for each in submissions:
        yield f"  {each.submission_id}  {local_time(each.created_at)}  {clean(source_of(each))}"
