"""The message that says that a result is ready.

It is published after the commit and before the push is acknowledged, so it is delivered at least
once for every stored result. It describes the task as it is stored, which after a duplicate or a
lost comparison is not what was delivered.
"""

from __future__ import annotations

from typing import Final

import msgspec

from transcripts.ports import Message, Publisher
from transcripts.results.answers import Summary
from transcripts.results.transcript_pages import TranscriptReader
from transcripts.results.views import SUMMARY_FIELDS, summary
from transcripts.tasks.store import TaskStore

SCHEMA: Final = "1"


class ResultEvents:
    """Publishes the summary of a stored task."""

    def __init__(self, store: TaskStore, publisher: Publisher, topic: str) -> None:
        """``topic`` is a full name, ``projects/P/topics/T``."""
        self._store = store
        self._reader = TranscriptReader(store.documents, store.retrier)
        self._publisher = publisher
        self._topic = topic

    async def publish(self, task_id: str) -> None:
        """Return once the message is durable; nothing is published of a task that is gone.

        Raises ``StoreUnavailable`` and ``PublishUnavailable``; repeating is safe.
        """
        found = await self._store.read_fields(task_id, SUMMARY_FIELDS)
        if found is not None:
            speakers = await self._reader.speakers(found.value)
            message = result_message(summary(found.value, speakers))
            await self._publisher.publish(self._topic, message)


def result_message(result: Summary) -> Message:
    """Make the message of a summary; an attribute that is not known is left out."""
    attributes = {
        "task_id": result.task_id,
        "status": str(result.status),
        "kind": str(result.kind),
        "revision": result.revision,
        "submission_id": result.submission_id,
        "asset_id": result.asset_id,
        "schema": SCHEMA,
    }
    known = {name: value for name, value in attributes.items() if value is not None}
    return Message(msgspec.json.encode(result), known)
