"""The next step in words, for submissions and for tasks without a finished result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from transcripts.errors import ObjectCorrupted, ObjectForbidden, ObjectNotFound
from transcripts.submissions.remedies import REMEDIES
from transcripts.submissions.submission import State, Submission
from transcripts.tasks.task import Status, Task
from transcripts.uploads.media import RejectReason

_OF_TASKS: Final[Mapping[Status, str]] = {
    Status.SUBMITTED: "Mavi has accepted the job and has not delivered its result. Ask again"
    " later: the sweep marks the task overdue if no result comes.",
    Status.OVERDUE: "No result has arrived in time. A late result is still stored. Mavi can't be"
    " asked for it. To have the asset transcribed again, submit it with force: it is paid again.",
    Status.FAILED: "Mavi could not transcribe the media: provider says why. Correct the media, or"
    " submit the asset again with force, which is paid again.",
    Status.DELETED: "The task was deleted. There is nothing to do.",
    Status.UNRECOGNIZED: "The callback is no multi-speaker transcript: kind says which endpoint of"
    " Mavi it belongs to. Its body is kept, and there is nothing to do here.",
}
_UNMATCHED: Final = (
    "The result is stored, but no submission of this deployment bought it. If a submission is in"
    " submit_unknown since that time, this is probably its result; otherwise another program uses"
    " the same Mavi account."
)


def task_next_step(task: Task) -> str | None:
    """Return what to do about a task; None if it is the result of a submission."""
    step = _OF_TASKS.get(task.status)
    return _UNMATCHED if step is None and task.submission_id is None else step


_OF_SUBMISSIONS: Final[Mapping[State, str]] = {
    State.PENDING: "It waits in the queue. If no instance works on it for two hours, the sweep"
    " enqueues it again.",
    State.UPLOADING: "Its bytes are sent to Mavi. If the sender has died, another one goes on.",
    State.UPLOADED: "The asset is at Mavi, and its transcript is requested next.",
    State.SUBMITTING: "The request to Mavi is on its way. If no answer is recorded until the lease"
    " ends, the state becomes submit_unknown.",
    State.SUBMITTED: "The transcript is bought: read the task that task_id names.",
    State.REJECTED: "Nothing was bought: reason says why. Remove the reason and submit it again,"
    " without force.",
    State.SUBMIT_UNKNOWN: "Mavi's answer was lost, so the transcript may have been bought. List the"
    " tasks with unmatched=true from that time, or submit it again with force, which may pay"
    " twice.",
}

_CORRECTED: Final = "Upload it again: the new generation is a new submission."
_OF_REASONS: Final[Mapping[str, str]] = {
    RejectReason.FOLDER: "The name ends with /, so the object is a folder. There is nothing to do.",
    RejectReason.TEMPORARY_PART: "The object is a part that an uploader makes and deletes. There is"
    " nothing to do.",
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
    "requester_pays": "The bucket lets only those read who pay for it. Copy the object to another"
    " bucket.",
    "object_unreadable": "Cloud Storage refuses to give the object. Upload it again.",
    "upload_failed": "The bytes were sent several times, and no upload succeeded. Check that the"
    " file plays, and submit the object again.",
    "upload_stalled": "Mavi has not processed the upload within a day. Submit the object again.",
    "duplicate_asset": "Mavi returned an asset id that another submission has. List the submissions"
    " by asset_id.",
}


def submission_next_step(submission: Submission) -> str:
    """Return what to do about a submission."""
    if submission.state is State.REJECTED:
        reason = submission.reason or ""
        remedy = _OF_REASONS.get(reason) or REMEDIES.get(reason)
        if remedy is not None:
            return remedy
    return _OF_SUBMISSIONS[submission.state]
