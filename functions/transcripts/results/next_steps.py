"""The next step in words, for submissions and for tasks without a finished result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from transcripts.errors import (
    ObjectCorrupted,
    ObjectForbidden,
    ObjectNotFound,
    SubmissionError,
)
from transcripts.results.answers import SubmissionView
from transcripts.submissions.claims import DELETED, DUPLICATE_ASSET, DUPLICATE_RECORDING
from transcripts.submissions.submission import State, Submission
from transcripts.tasks.task import ListedFields, Status
from transcripts.uploads.rejections import RejectReason


class NextStep(NamedTuple):
    """The present fact, and then what to do.

    ``call`` says it to programs, in the words of the API. ``page`` says it to readers of a page,
    and ``link`` has the words and the query of a list that helps them. ``again`` says when to run
    the command that pays again; the page shows that command.
    """

    fact: str
    call: str = ""
    page: str = ""
    link: tuple[str, str] | None = None
    again: str = ""

    @property
    def for_programs(self) -> str:
        """The sentences for a caller of the API."""
        return f"{self.fact} {self.call}".rstrip()

    @property
    def for_readers(self) -> str:
        """The sentences for a reader of a page."""
        return f"{self.fact} {self.page}".rstrip()


_OF_TASKS: Final[Mapping[Status, NextStep]] = {
    Status.SUBMITTED: NextStep(
        "Mavi has accepted the job and has not delivered its result.",
        "Ask again later: the sweep marks the task overdue if no result comes.",
        "The task becomes overdue if no result comes.",
    ),
    Status.OVERDUE: NextStep(
        "No result has arrived in time. A late result is still stored. Mavi can't be asked for it.",
        "To have the asset transcribed again, submit it with force: it is paid again.",
        again="To have it transcribed again, and pay again, run:",
    ),
    Status.FAILED: NextStep(
        "Mavi could not transcribe the media.",
        "The field provider says why. Correct the media, or submit the asset again with force,"
        " which is paid again.",
        "Correct the recording and upload it again.",
        again="To have the same one transcribed again, and pay again, run:",
    ),
    Status.DELETED: NextStep("The task was deleted. There is nothing to do."),
    Status.UNRECOGNIZED: NextStep(
        "The callback is no multi-speaker transcript.",
        "The field kind says which endpoint of Mavi it belongs to. Its body is kept, and there is"
        " nothing to do here.",
        "Another program uses the same Mavi account. There is nothing to do here.",
    ),
}
_BOUGHT_UNRECOGNIZED: Final = NextStep(
    "Mavi answered this job with a callback that is no multi-speaker transcript.",
    "The field kind says what it looks like, and its body is kept. A transcript that still comes"
    " replaces it. To have the asset transcribed again, submit it with force: it is paid again.",
    "A transcript that still comes replaces it.",
    again="To have it transcribed again, and pay again, run:",
)
_UNMATCHED: Final = NextStep(
    "The result is stored, but no submission of this deployment bought it.",
    "If a submission is in submit_unknown since that time, this is probably its result; otherwise"
    " another program uses the same Mavi account.",
    "If Mavi's answer to a request was lost at that time, this is probably its result. Otherwise"
    " another program uses the same Mavi account.",
    link=("Show requests whose answer was lost", "state=submit_unknown"),
)


def step_of_task(task: ListedFields) -> NextStep | None:
    """Return what to do about a task; None if it is the result of a submission."""
    if task.status is Status.UNRECOGNIZED and task.submission_id is not None:
        return _BOUGHT_UNRECOGNIZED
    step = _OF_TASKS.get(task.status)
    return _UNMATCHED if step is None and task.submission_id is None else step


def task_next_step(task: ListedFields) -> str | None:
    """Return what to do about a task, for programs."""
    step = step_of_task(task)
    return step.for_programs if step else None


_OF_SUBMISSIONS: Final[Mapping[State, NextStep]] = {
    State.PENDING: NextStep(
        "It waits in the queue. If no instance works on it for two hours, the sweep enqueues it"
        " again."
    ),
    State.UPLOADING: NextStep(
        "Its bytes are sent to Mavi. If the sender has died, another one goes on."
    ),
    State.UPLOADED: NextStep("The asset is at Mavi, and its transcript is requested next."),
    State.SUBMITTING: NextStep(
        "The request to Mavi is on its way.",
        "If no answer is recorded until the lease ends, the state becomes submit_unknown.",
        "If no answer comes, it is listed among those whose answer was lost.",
    ),
    State.SUBMITTED: NextStep(
        "The transcript is bought.", "Read the task that task_id names.", "Open it by its name."
    ),
    State.REJECTED: NextStep(
        "Nothing was bought.",
        "The field reason says why. Remove the reason and submit it again, without force.",
        "Remove the reason, and submit it again.",
    ),
    State.SUBMIT_UNKNOWN: NextStep(
        "Mavi's answer was lost, so the transcript may have been bought.",
        "List the tasks with unmatched=true from that time, or submit it again with force, which"
        " may pay twice.",
        "Look for it among those that were not requested here.",
        link=("Show them", "unmatched=true"),
        again="To request it again, which may pay twice, run:",
    ),
}

_CORRECTED: Final = "Upload it again: the new generation is a new submission."
_OF_REASONS: Final[Mapping[str, str]] = {
    RejectReason.FOLDER: "The name ends with /, so the object is a folder. There is nothing to do.",
    RejectReason.TEMPORARY_PART: "The object is a part that an uploader makes and deletes. There is"
    " nothing to do.",
    RejectReason.UNFINISHED_DOWNLOAD: "The name is that of a download that has not ended. Upload"
    " the finished file.",
    RejectReason.EMPTY: f"The object has no bytes. {_CORRECTED}",
    RejectReason.TOO_LARGE: "The object is over MAX_OBJECT_BYTES. Compress or cut it, or raise the"
    " limit, and upload it again.",
    RejectReason.NOT_MEDIA: "Neither the name nor the content type is a format that Mavi documents."
    f" Correct either. {_CORRECTED}",
    RejectReason.APPLE_DOUBLE: "The object is a ._ file of macOS, which holds attributes only."
    " There is nothing to do.",
    RejectReason.COMPRESSED: f"The object is stored compressed. Store it as it is. {_CORRECTED}",
    RejectReason.CUSTOMER_KEY: "The object is encrypted with a key that this deployment does not"
    f" have. Store it without that key. {_CORRECTED}",
    RejectReason.SKIPPED: "The object's metadata say mavi-skip. There is nothing to do.",
    RejectReason.BAD_ASSET_ID: f"mavi-asset-id in the metadata is no usable id. {_CORRECTED}",
    ObjectNotFound.code: "The object was deleted or replaced before it was sent. Upload it again.",
    ObjectForbidden.code: "submit was not allowed to read the object for a day. Let its service"
    " account read the bucket, then submit the object again.",
    ObjectCorrupted.code: "The bytes that were read did not match the object's checksum, in every"
    " run. Submit the object again; if that fails too, upload it again.",
    DELETED: "It was deleted before anything was bought. There is nothing to do.",
    "requester_pays": "The bucket lets only those read who pay for it. Copy the object to another"
    " bucket.",
    "object_unreadable": "Cloud Storage refuses to give the object. Upload it again.",
    "upload_failed": "The bytes were sent several times, and no upload succeeded. Check that the"
    " file plays, and submit the object again.",
    "upload_stalled": "Mavi has not processed the upload within a day. Submit the object again.",
}
_BOUGHT_AND_DELETED: Final = NextStep(
    "The transcript was bought, and has been deleted.",
    "There is nothing to do. To have the asset transcribed again, submit it with force: it is paid"
    " again.",
    again="To have it transcribed again, and pay again, run:",
)
_DUPLICATE_RECORDING: Final = NextStep(
    "Another generation of the object has the same bytes, and is not bought again.",
    "The field duplicate_of names the submission that has the recording. To transcribe it again,"
    " submit the object with force: it is paid again.",
    "The transcript is that of the other one.",
)
_DUPLICATE_ASSET: Final = NextStep(
    "Mavi returned an asset id that another submission has.",
    "List the submissions by asset_id.",
    "The transcript of the asset is that of the other one.",
)


def step_of_submission(submission: Submission | SubmissionView) -> NextStep:
    """Return what to do about a submission."""
    if submission.state is State.SUBMITTED and submission.deleted_at is not None:
        return _BOUGHT_AND_DELETED
    if submission.state is State.REJECTED:
        reason = submission.reason or ""
        if reason == DUPLICATE_ASSET:
            return _DUPLICATE_ASSET
        if reason == DUPLICATE_RECORDING:
            return _DUPLICATE_RECORDING
        remedy = _OF_REASONS.get(reason) or SubmissionError.REMEDIES.get(reason)
        if remedy is not None:
            return NextStep(remedy)
    return _OF_SUBMISSIONS[submission.state]


def submission_next_step(submission: Submission) -> str:
    """Return what to do about a submission, for programs."""
    return step_of_submission(submission).for_programs
