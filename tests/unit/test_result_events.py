"""The summary of a task, and the message that carries it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.builders import TASK_ID, callback_body, push_body
from tests.fakes import NOW, LogLines, MemoryDocuments, RecordingPublisher, Sleeper, TryOnce
from tests.stored import read_raw
from tests.unit.test_merge import a_result, a_submission
from transcripts.callbacks.message import decompress, pack
from transcripts.errors import PublishUnavailable
from transcripts.ports import Write
from transcripts.results.answers import Summary
from transcripts.results.events import ResultEvents
from transcripts.results.views import SUMMARY_FIELDS, summary
from transcripts.retry import Retrier
from transcripts.tasks.merge import Outcome
from transcripts.tasks.recorder import Recorder
from transcripts.tasks.speakers import shown_speakers
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import (
    DeletedTask,
    Source,
    Speaker,
    SpeakerName,
    Status,
    Task,
    task_path,
)

TOPIC = "projects/p/topics/results"


def shown(task: Task) -> Summary:
    return summary(task, shown_speakers(task))


class Subscriber:
    """The recorder of the subscriber, with a results topic."""

    def __init__(self, **options: Any) -> None:
        self.documents = MemoryDocuments()
        self.publisher = RecordingPublisher()
        self.lines = LogLines()
        self.store = TaskStore(self.documents, Retrier(sleep=Sleeper()))
        events = ResultEvents(self.store, self.publisher, TOPIC)
        self.recorder = Recorder(
            self.store, 0, self.lines.log, lambda: NOW, announce=events.publish, **options
        )

    async def receive(self, body: bytes, seconds: float = 0) -> Outcome:
        message = pack(body, NOW + timedelta(seconds=seconds), {"task_id": TASK_ID})
        return await self.recorder.record(push_body(message.data, message.attributes))

    def events(self) -> list[tuple[dict[str, str], Summary]]:
        return [
            (message.attributes, msgspec.json.decode(message.data, type=Summary))
            for message in self.publisher.on(TOPIC)
        ]


def test_summary_names_speakers_by_their_display_names() -> None:
    """A speaker without one is shown by Mavi's name, and one without any as Unknown."""
    speakers = [
        Speaker("s1", "Ada", 1, 2, 3.0, 0.5, 0.0, ["face"]),
        Speaker("s2", "Ben ", 1, 2, 3.0, 0.5, 1.0),
        Speaker("s3", "\x07", 1, 2, 3.0, 0.5, 1.0),
    ]
    names = [SpeakerName("Ada\u200b", "Countess")]
    short = shown(replace(a_result(), speakers=speakers, speaker_names=names))
    assert [each.name for each in short.speakers] == ["Countess", "Ben", "Unknown"]
    assert [each.given_name for each in short.speakers] == ["Ada", "Ben ", "\x07"]


def test_summary_has_no_segments_faces_or_raw_body() -> None:
    """An unknown field is null, and no field that may be long is there."""
    short = msgspec.json.decode(msgspec.json.encode(shown(a_result())))
    assert short["submission_id"] is None
    assert short["usage"] is None
    assert not {"segments", "faces", "raw", "pages", "face_ids"} & set(short)


async def test_summary_needs_its_fields_only() -> None:
    """A task of which just these are read has the same summary."""
    documents = MemoryDocuments()
    task = replace(a_result(), source=Source("gs://b/o", "1"), labels={"case": "7"})
    await documents.commit(Write(task_path("t"), task))
    found = await TaskStore(documents, TryOnce()).read_fields("t", SUMMARY_FIELDS)
    assert found is not None
    assert found.value.segments == []
    assert shown(found.value) == shown(task)


async def test_record_stored_result_publishes_its_summary() -> None:
    """The attributes say whose it is; those that are not known are left out."""
    subscriber = Subscriber()
    await subscriber.receive(callback_body())
    ((attributes, short),) = subscriber.events()
    task = await subscriber.store.read_task(TASK_ID)
    assert task is not None
    assert short == shown(task)
    assert attributes == {
        "task_id": TASK_ID,
        "status": "succeeded",
        "kind": "multi_speaker",
        "revision": task.revision,
        "schema": "1",
    }


async def test_record_result_of_a_submission_names_both_ids() -> None:
    """Labels, and names that people gave, are in the summary."""
    subscriber = Subscriber()
    bought = replace(a_submission(), task_id=TASK_ID)
    names = [SpeakerName("Ada Example", "Ada")]
    await subscriber.documents.commit(
        Write(task_path(TASK_ID), replace(bought, speaker_names=names))
    )
    await subscriber.receive(callback_body())
    ((attributes, short),) = subscriber.events()
    assert (attributes["submission_id"], attributes["asset_id"]) == ("s", "re_1")
    assert (short.labels, short.speakers[0].name) == ({"case": "7"}, "Ada")


async def test_record_duplicate_publishes_what_is_stored() -> None:
    """A second delivery may be the one after a crash before the first message."""
    subscriber = Subscriber()
    for _ in range(2):
        await subscriber.receive(callback_body())
    first, second = subscriber.events()
    assert first == second


async def test_record_superseded_result_publishes_what_is_stored() -> None:
    """Not the failure that came later."""
    subscriber = Subscriber()
    await subscriber.receive(callback_body())
    failed = callback_body(code="5000")
    assert await subscriber.receive(failed, seconds=60) is Outcome.SUPERSEDED
    assert [attributes["status"] for attributes, _ in subscriber.events()] == ["succeeded"] * 2


async def test_record_without_a_broker_raises_until_it_is_published() -> None:
    """The result is stored, and the redelivery publishes it."""
    subscriber = Subscriber()
    subscriber.publisher.down = True
    with pytest.raises(PublishUnavailable):
        await subscriber.receive(callback_body())
    assert await subscriber.store.read_task(TASK_ID) is not None
    subscriber.publisher.down = False
    assert await subscriber.receive(callback_body()) is Outcome.DUPLICATE
    assert len(subscriber.events()) == 1
    assert subscriber.lines.named("callback_poisoned") == []


async def test_record_deleted_result_publishes_nothing() -> None:
    """Nothing is stored of it."""
    subscriber = Subscriber()
    await subscriber.receive(callback_body())
    task = await subscriber.store.read_task(TASK_ID)
    assert task is not None
    assert task.revision is not None
    left = DeletedTask(task_id=TASK_ID, deleted_revisions=[task.revision], deleted_at=NOW)
    await subscriber.documents.commit(Write(task_path(TASK_ID), left))
    assert await subscriber.receive(callback_body()) is Outcome.DELETED
    assert len(subscriber.events()) == 1
    assert subscriber.lines.named("result_deleted")


async def test_publish_of_a_task_that_is_gone_does_nothing() -> None:
    """It was deleted between the commit and the message."""
    subscriber = Subscriber()
    events = ResultEvents(subscriber.store, subscriber.publisher, TOPIC)
    await events.publish("nobody")
    left = DeletedTask(task_id="t", deleted_at=NOW)
    await subscriber.documents.commit(Write(task_path("t"), left))
    await events.publish("t")
    assert subscriber.publisher.published == []


@pytest.mark.parametrize("redact", [True, False])
async def test_record_redacts_faces_only_if_told(*, redact: bool) -> None:
    """The task has no face then; the raw body has all of them."""
    subscriber = Subscriber(redact_faces=redact)
    await subscriber.receive(callback_body())
    task = await subscriber.store.read_task(TASK_ID)
    assert task is not None
    assert task.revision is not None
    assert (task.faces == []) is redact
    assert ([face for each in task.speakers for face in each.face_ids] == []) is redact
    raw = await read_raw(subscriber.store, TASK_ID, task.revision)
    assert raw is not None
    assert decompress(raw) == callback_body()


def test_deleted_task_reads_as_a_task() -> None:
    """So decisions read one document, whatever is left of it."""
    left = DeletedTask(task_id="t", deleted_revisions=["a"], deleted_at=NOW)
    task = msgspec.convert(msgspec.to_builtins(left), Task)
    assert (task.status, task.deleted_revisions) == (Status.DELETED, ["a"])
    assert task.created_at is None
