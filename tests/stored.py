"""Reads back what a task's store has written."""

from __future__ import annotations

from transcripts.tasks.store import TaskStore


async def read_raw(store: TaskStore, task_id: str, revision: str) -> bytes | None:
    """Return the compressed body of a revision; None if it was never there or has expired."""
    body = await store.read_body(task_id, revision)
    return body.data if body else None
