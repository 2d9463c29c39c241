"""Finding a submission and its task from what a user has in hand: a file, an address, any id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.client.api import Api
from cli.client.uploads import object_name, read_content
from cli.failures import ApiError, ExitCode, Failure
from transcripts.results.answers import SubmissionList, SubmissionView, TaskList, WholeTask
from transcripts.submissions.submission import OPEN
from transcripts.tasks.task import Status

_OBJECT_PREFIX: Final = "gs://"
_ASSET_PREFIX: Final = "re_"
WAITING: Final = frozenset({Status.SUBMITTED, Status.OVERDUE})
"""Statuses of a task whose result may still come."""


@dataclass(frozen=True)
class Found:
    """A submission, its task, or both, as found for a subject. ``etag`` is the task's."""

    subject: str
    submission: SubmissionView | None
    task: WholeTask | None
    etag: str | None = None

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
    def next_step(self) -> str | None:
        """The next step in words, None after success."""
        if self.state == Status.DELETED:
            return "The task was deleted or has expired. To buy it again, submit it with --force."
        known = self.task or self.submission
        return known.next_step if known else None

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


class NotFound(Failure):
    """The pipeline knows nothing of a subject."""


def find(api: Api, subject: str) -> Found:
    """Return what is known of a file, a gs:// address, an asset, a submission or a task.

    Raises ``NotFound``, ``ApiError`` and ``Unreachable``.
    """
    if subject.startswith(_OBJECT_PREFIX):
        return _by_submission(api, subject, _newest(api, "uri", subject))
    if subject.startswith(_ASSET_PREFIX):
        return _by_asset(api, subject)
    if Path(subject).is_file():
        return _by_file(api, Path(subject))
    return _by_id(api, subject)


def find_task(api: Api, subject: str) -> tuple[Found, WholeTask]:
    """Return what is known, and the task; raises what ``find`` raises, and ``Failure``."""
    found = find(api, subject)
    if found.task is None:
        code = ExitCode.PENDING if found.is_pending else ExitCode.FAILED
        raise Failure(f"{subject} is {found.state}: no task yet. {found.next_step}", code)
    return found, found.task


def task_id_of(api: Api, subject: str) -> str:
    """Return the task of a subject; an id is taken for a task's without a request."""
    if subject.startswith((_OBJECT_PREFIX, _ASSET_PREFIX)) or Path(subject).is_file():
        return find_task(api, subject)[1].task_id
    return subject


def read_task(api: Api, task_id: str) -> tuple[WholeTask, str | None] | None:
    """Return a task and its entity tag, None for an unknown id."""
    try:
        answer = api.get(f"/tasks/{_segment(task_id)}")
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return answer.read(WholeTask), answer.headers.get("ETag")


def read_submission(api: Api, submission_id: str) -> SubmissionView | None:
    """Return a submission, None for an unknown id."""
    try:
        answer = api.get(f"/submissions/{_segment(submission_id)}")
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return answer.read(SubmissionView)


def _segment(text: str) -> str:
    """Return an id as one segment of a path."""
    from urllib.parse import quote

    return quote(text, safe="")


def _newest(api: Api, field: str, value: str) -> SubmissionView | None:
    page = api.get("/submissions", {field: value, "page_size": 1}).read(SubmissionList)
    return next(iter(page.submissions), None)


def _by_submission(api: Api, subject: str, submission: SubmissionView | None) -> Found:
    if submission is None:
        raise NotFound(
            f"{subject} is not known here. Submit it: transcripts submit {subject}\n"
            "An object that was just uploaded appears within seconds."
        )
    task = read_task(api, submission.task_id) if submission.task_id else None
    return Found(subject, submission, *(task or (None, None)))


def _by_asset(api: Api, asset_id: str) -> Found:
    submission = _newest(api, "asset_id", asset_id)
    if submission is None:
        page = api.get("/tasks", {"asset_id": asset_id, "page_size": 1}).read(TaskList)
        for summary in page.tasks:
            task = read_task(api, summary.task_id)
            if task is not None:
                return Found(asset_id, None, *task)
    return _by_submission(api, asset_id, submission)


def _by_file(api: Api, path: Path) -> Found:
    bucket = api.target.bucket
    if not bucket:
        raise Failure("The bucket is not known. Give the object's address: gs://BUCKET/OBJECT")
    # Under the name that submit gives it, and as copied into the bucket by other tools.
    for name in (object_name(path.name, read_content(path)), path.name):
        submission = _newest(api, "uri", f"gs://{bucket}/{name}")
        if submission is not None:
            return _by_submission(api, str(path), submission)
    raise NotFound(
        f"{path} is not known here: it was not submitted, or its task was deleted. Submit it: "
        f"transcripts submit {path}"
    )


def _by_id(api: Api, subject: str) -> Found:
    read = read_task(api, subject)
    if read is not None:
        task, etag = read
        submission = read_submission(api, task.submission_id) if task.submission_id else None
        return Found(subject, submission, task, etag)
    submission = read_submission(api, subject)
    if submission is None:
        raise NotFound(
            f"There is no task, no submission and no file {subject}. List what is there: "
            "transcripts list"
        )
    return _by_submission(api, subject, submission)
