"""Reads back what is stored of tasks and submissions."""

from __future__ import annotations

from transcripts.ports import Documents, Read
from transcripts.submissions.submission import Submission, submission_path
from transcripts.tasks.store import TaskStore


async def read_submission(documents: Documents, submission_id: str) -> Submission | None:
    """Return an entry of the ledger; None if there is none."""
    (found,) = await documents.read(Read(submission_path(submission_id), Submission))
    return found.value if found else None


async def read_raw(store: TaskStore, task_id: str, revision: str) -> bytes | None:
    """Return the compressed body of a revision; None if it was never there or has expired."""
    body = await store.read_body(task_id, revision)
    return body.data if body else None
