"""The contract of ``ports.Documents``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.builders import callback_body
from tests.fakes import NOW
from transcripts.callbacks.envelope import read_envelope
from transcripts.errors import Conflict, DocumentRefused
from transcripts.ports import ABSENT, Documents, Query, Read, Write
from transcripts.submissions.submission import Attempt, State, Submission
from transcripts.tasks.normalize import normalize
from transcripts.tasks.task import Page, RawChunk, Segment, Source, SpeakerName, Status, Task

ANCIENT = datetime(1999, 1, 1, tzinfo=UTC)


def unique(prefix: str) -> str:
    return f"{prefix}/{uuid4().hex}"


def result_task(segments: int = 3) -> Task:
    envelope = read_envelope(callback_body(segments))
    return normalize(envelope, revision="0" * 16, received_at=NOW, stored_at=NOW, expires_at=None)


def submission(submission_id: str) -> Submission:
    return Submission(
        submission_id=submission_id,
        state=State.SUBMITTED,
        source=Source("gs://bucket/ä object", "17", "video/mp4", 2**40),
        labels={"case": "Ä 1", "empty": ""},
        task_id="t",
        lease_id="c",
        created_at=NOW,
        updated_at=NOW,
        previous_attempts=[Attempt(State.SUBMIT_UNKNOWN, None, "time-out", NOW)],
    )


class DocumentsContract:
    """Subclasses give a fixture ``documents``."""

    async def test_commit_then_read_returns_every_type(self, documents: Documents) -> None:
        """Every document of the schema is read back unchanged."""
        path = unique("tasks")
        values = [result_task(), submission("s"), Page([Segment(0.0, 1.5, "s1", "Ä")], NOW)]
        values.append(RawChunk(b"\x00\xff" * 1000, None))
        for value in values:
            await documents.commit(Write(path, value))
            (found,) = await documents.read(Read(path, type(value)))
            assert found is not None
            assert found.value == value

    async def test_read_of_an_absent_document_is_none(self, documents: Documents) -> None:
        """The results are in the order of the reads."""
        there, absent = unique("tasks"), unique("tasks")
        await documents.commit(Write(there, Task(task_id="t")))
        found = await documents.read(Read(absent, Task), Read(there, Task), Read(absent, Task))
        assert [item is not None for item in found] == [False, True, False]

    async def test_commit_of_fields_leaves_the_others(self, documents: Documents) -> None:
        """A read of fields returns only these."""
        path = unique("tasks")
        task = result_task()
        await documents.commit(Write(path, task))
        (head,) = await documents.read(Read(path, Task, ("task_id", "revision")))
        assert head is not None
        assert (head.value.revision, head.value.segments) == (task.revision, [])
        renamed = Task(task_id="other", speaker_names=[SpeakerName("Speaker 1", "Äda")])
        await documents.commit(Write(path, renamed, ("speaker_names",)))
        (whole,) = await documents.read(Read(path, Task))
        assert whole is not None
        assert whole.value.speaker_names == [SpeakerName("Speaker 1", "Äda")]
        assert whole.value.segments == task.segments
        assert whole.value.task_id == task.task_id

    async def test_commit_of_an_empty_field_empties_it(self, documents: Documents) -> None:
        """A map or list is replaced, not merged."""
        path = unique("tasks")
        await documents.commit(Write(path, Task(task_id="t", labels={"a": "1", "b": "2"})))
        await documents.commit(Write(path, Task(task_id="t", labels={"c": "3"}), ("labels",)))
        (found,) = await documents.read(Read(path, Task))
        assert found is not None
        assert found.value.labels == {"c": "3"}

    async def test_commit_of_fields_makes_an_absent_document(self, documents: Documents) -> None:
        """No document has to exist."""
        path = unique("tasks")
        await documents.commit(Write(path, Task(task_id="t"), ("task_id",)))
        (found,) = await documents.read(Read(path, Task))
        assert found is not None

    async def test_commit_against_an_old_version_conflicts(self, documents: Documents) -> None:
        """A commit against absence of an existing document conflicts, too."""
        path = unique("tasks")
        await documents.commit(Write(path, Task(task_id="1"), expect=ABSENT))
        with pytest.raises(Conflict):
            await documents.commit(Write(path, Task(task_id="2"), expect=ABSENT))
        (first,) = await documents.read(Read(path, Task))
        assert first is not None
        await documents.commit(Write(path, Task(task_id="2"), expect=first.version))
        with pytest.raises(Conflict):
            await documents.commit(Write(path, Task(task_id="3"), expect=first.version))
        (last,) = await documents.read(Read(path, Task))
        assert last is not None
        assert last.value.task_id == "2"

    async def test_commit_against_a_version_of_an_absent_document_conflicts(
        self, documents: Documents
    ) -> None:
        """A version says that the document exists."""
        path = unique("tasks")
        await documents.commit(Write(path, Task(task_id="1")))
        (found,) = await documents.read(Read(path, Task))
        assert found is not None
        with pytest.raises(Conflict):
            await documents.commit(Write(unique("tasks"), Task(task_id="2"), expect=found.version))

    async def test_commit_with_a_conflict_writes_nothing(self, documents: Documents) -> None:
        """None of the documents of the commit is written."""
        there, other = unique("tasks"), unique("submissions")
        await documents.commit(Write(there, Task(task_id="1")))
        with pytest.raises(Conflict):
            await documents.commit(
                Write(other, submission("s")),
                Write(there, Task(task_id="2"), expect=ABSENT),
            )
        assert (await documents.read(Read(other, Submission)))[0] is None

    async def test_commit_racing_succeeds_once(self, documents: Documents) -> None:
        """Twenty writers have the same version, and one of them succeeds."""
        path = unique("tasks")
        await documents.commit(Write(path, Task(task_id="0")))
        (found,) = await documents.read(Read(path, Task))
        assert found is not None
        results = await asyncio.gather(
            *(
                documents.commit(Write(path, Task(task_id=str(n)), expect=found.version))
                for n in range(1, 21)
            ),
            return_exceptions=True,
        )
        (winner,) = [n for n, result in enumerate(results, 1) if result is None]
        assert sum(isinstance(result, Conflict) for result in results) == 19
        (last,) = await documents.read(Read(path, Task))
        assert last is not None
        assert last.value.task_id == str(winner)

    async def test_commit_of_a_document_over_1_mib_is_refused(self, documents: Documents) -> None:
        """The refusal is a permanent error."""
        with pytest.raises(DocumentRefused):
            await documents.commit(Write(unique("tasks"), RawChunk(b"x" * 1_100_000, None)))

    async def test_commit_keeps_microseconds(self, documents: Documents) -> None:
        """Microseconds decide between results of the same time."""
        path = unique("tasks")
        moment = datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
        await documents.commit(Write(path, Task(task_id="t", received_at=moment)))
        (found,) = await documents.read(Read(path, Task))
        assert found is not None
        assert found.value.received_at == moment

    async def test_query_returns_matching_documents_in_order(self, documents: Documents) -> None:
        """One field is equal, another is a time until a bound."""
        status = Status.SUBMITTED
        # Times of different precision, which are not in the order of their text.
        seconds = [3.0, 1.0, 2.5, 2.0, 9.0, 2.500001]
        tasks = {
            unique("tasks"): Task(
                task_id=f"{number}",
                status=status,
                submitted_at=ANCIENT + timedelta(seconds=number),
                labels={"a": "b"},
            )
            for number in seconds
        }
        other = Task(task_id="other", status=Status.OVERDUE, submitted_at=ANCIENT)
        never = Task(task_id="never", status=status)
        page = Page([], ANCIENT)
        await documents.commit(*(Write(path, task) for path, task in tasks.items()))
        await documents.commit(Write(unique("tasks"), other), Write(unique("tasks"), never))
        await documents.commit(Write(f"{next(iter(tasks))}/segments/r-00000", page))
        query = Query(
            "tasks",
            Task,
            where=("status", status),
            until=("submitted_at", ANCIENT + timedelta(seconds=3)),
            limit=10,
            fields=("task_id", "status", "submitted_at"),
        )
        found = await documents.query(query)
        assert [each.value.task_id for each in found] == ["1.0", "2.0", "2.5", "2.500001", "3.0"]
        assert found[0].value.labels == {}
        first = await documents.query(replace(query, limit=2))
        assert [each.value.task_id for each in first] == ["1.0", "2.0"]
        path = next(path for path, task in tasks.items() if task.task_id == "1.0")
        await documents.commit(
            Write(path, Task(task_id="x"), ("task_id",), expect=first[0].version)
        )
        with pytest.raises(Conflict):
            await documents.commit(
                Write(path, Task(task_id="y"), ("task_id",), expect=first[0].version)
            )
