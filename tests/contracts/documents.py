"""The contract of ``ports.Documents``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from tests.builders import callback_body
from tests.fakes import NOW
from transcripts.callbacks.envelope import read_envelope
from transcripts.errors import Conflict, DocumentRefused
from transcripts.ports import ABSENT, Count, Delete, Documents, Query, Read, Write
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

    async def test_delete_removes_the_document_only(self, documents: Documents) -> None:
        """Not those of its subcollections; deleting it again is no error."""
        path = unique("tasks")
        page = f"{path}/segments/r-00000"
        await documents.commit(Write(path, Task(task_id="t")), Write(page, Page([], None)))
        for _ in range(2):
            await documents.commit(Delete(path))
            assert await documents.read(Read(path, Task)) == [None]
            assert await documents.read(Read(page, Page)) != [None]

    async def test_delete_against_an_old_version_conflicts(self, documents: Documents) -> None:
        """All writes and deletes of the commit are refused with it."""
        path, other = unique("tasks"), unique("tasks")
        await documents.commit(Write(path, Task(task_id="1")), Write(other, Task(task_id="o")))
        (found,) = await documents.read(Read(path, Task))
        assert found is not None
        await documents.commit(Write(path, Task(task_id="2")))
        with pytest.raises(Conflict):
            await documents.commit(Delete(other), Delete(path, expect=found.version))
        assert None not in await documents.read(Read(path, Task), Read(other, Task))
        (found,) = await documents.read(Read(path, Task))
        assert found is not None
        await documents.commit(Delete(path, expect=found.version))
        assert await documents.read(Read(path, Task)) == [None]

    async def test_commit_against_a_version_of_a_deleted_document_conflicts(
        self, documents: Documents
    ) -> None:
        """A writer that read the document before it was deleted does not make it again."""
        path = unique("tasks")
        await documents.commit(Write(path, Task(task_id="1")))
        (found,) = await documents.read(Read(path, Task))
        assert found is not None
        await documents.commit(Delete(path))
        with pytest.raises(Conflict):
            await documents.commit(Write(path, Task(task_id="2"), expect=found.version))
        await documents.commit(Write(path, Task(task_id="3"), expect=ABSENT))

    async def test_ids_lists_a_subcollection_in_batches(self, documents: Documents) -> None:
        """In order, without those of other documents, other subcollections and deeper levels."""
        path = unique("tasks")
        chunk = RawChunk(b"x", None)
        names = [f"r-0000{n}" for n in (3, 1, 0, 2)]
        await documents.commit(*(Write(f"{path}/raw/{name}", chunk) for name in names))
        await documents.commit(
            Write(path, Task(task_id="t")),
            Write(f"{path}/segments/s-00000", Page([], None)),
            Write(f"{path}/raw/r-00000/raw/deep", chunk),
            Write(f"{path}x/raw/other", chunk),
        )
        raw = f"{path}/raw"
        assert await documents.ids(raw, limit=3) == ["r-00000", "r-00001", "r-00002"]
        assert await documents.ids(raw, limit=3, after="r-00002") == ["r-00003"]
        assert await documents.ids(raw, limit=3, after="r-00003") == []
        assert await documents.ids(f"{path}/segments", limit=3) == ["s-00000"]
        assert await documents.ids(f"{unique('tasks')}/raw", limit=3) == []

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
            order_by="submitted_at",
            where=(("status", status),),
            until=ANCIENT + timedelta(seconds=3),
            limit=10,
            fields=("task_id", "status", "submitted_at"),
        )
        found = await documents.query(query)
        assert [each.value.task_id for each in found] == ["1.0", "2.0", "2.5", "2.500001", "3.0"]
        assert found[0].value.labels == {}
        first = await documents.query(msgspec.structs.replace(query, limit=2))
        assert [each.value.task_id for each in first] == ["1.0", "2.0"]
        path = next(path for path, task in tasks.items() if task.task_id == "1.0")
        await documents.commit(
            Write(path, Task(task_id="x"), ("task_id",), expect=first[0].version)
        )
        with pytest.raises(Conflict):
            await documents.commit(
                Write(path, Task(task_id="y"), ("task_id",), expect=first[0].version)
            )

    async def test_query_by_pages_returns_each_document_once(self, documents: Documents) -> None:
        """Newest first, although many have one time; ids decide among these."""
        asset_id = uuid4().hex
        paths: dict[str, Task] = {}
        for number in range(7):
            path = unique("tasks")
            moment = ANCIENT + timedelta(seconds=number // 3)
            task_id = path.partition("/")[2]
            paths[path] = Task(task_id=task_id, asset_id=asset_id, created_at=moment)
        undated = unique("tasks")
        await documents.commit(*(Write(path, task) for path, task in paths.items()))
        await documents.commit(Write(undated, Task(task_id="undated", asset_id=asset_id)))
        wanted = sorted(((task.created_at, task.task_id) for task in paths.values()), reverse=True)
        for descending in (True, False):
            query = Query(
                "tasks",
                Task,
                order_by="created_at",
                descending=descending,
                where=(("asset_id", asset_id),),
                limit=2,
            )
            found: list[tuple[datetime | None, str]] = []
            while page := await documents.query(query):
                assert len(page) <= 2
                found += [(each.value.created_at, each.value.task_id) for each in page]
                last, task_id = found[-1]
                assert last is not None
                query = msgspec.structs.replace(query, after=(last, task_id))
            assert found == (wanted if descending else wanted[::-1])

    async def test_query_of_a_list_finds_an_element(self, documents: Documents) -> None:
        """Not a part of one."""
        pair = f"case:{uuid4().hex}"
        for task_id, pairs in (("a", ["x:1", pair]), ("b", [f"{pair}0"]), ("c", [])):
            task = Task(task_id=task_id, label_pairs=pairs, created_at=ANCIENT)
            await documents.commit(Write(unique("tasks"), task))
        query = Query("tasks", Task, order_by="created_at", limit=9, contains=("label_pairs", pair))
        assert [each.value.task_id for each in await documents.query(query)] == ["a"]

    async def test_query_of_null_finds_documents_without_a_value(
        self, documents: Documents
    ) -> None:
        """Beside another condition."""
        asset_id = uuid4().hex
        for task_id, submission_id in (("a", None), ("b", "s")):
            task = Task(
                task_id=task_id, asset_id=asset_id, submission_id=submission_id, created_at=ANCIENT
            )
            await documents.commit(Write(unique("tasks"), task))
        where = (("asset_id", asset_id), ("submission_id", None))
        query = Query("tasks", Task, order_by="created_at", limit=9, where=where)
        assert [each.value.task_id for each in await documents.query(query)] == ["a"]

    async def test_query_of_a_field_in_a_map_finds_documents(self, documents: Documents) -> None:
        """By a name with a dot."""
        uri = f"gs://bucket/{uuid4().hex} ä"
        entry = submission("s")
        await documents.commit(
            Write(unique("submissions"), msgspec.structs.replace(entry, source=Source(uri, "1"))),
            Write(unique("submissions"), msgspec.structs.replace(entry, source=None)),
        )
        where = (("source.uri", uri),)
        query = Query("submissions", Submission, order_by="created_at", limit=9, where=where)
        (found,) = await documents.query(query)
        assert found.value.source == Source(uri, "1")

    async def test_query_between_two_times_includes_both(self, documents: Documents) -> None:
        """To the microsecond."""
        asset_id = uuid4().hex
        step = timedelta(microseconds=1)
        moments = [ANCIENT - step, ANCIENT, ANCIENT + step, ANCIENT + 2 * step]
        for moment in moments:
            task = Task(task_id="t", asset_id=asset_id, created_at=moment)
            await documents.commit(Write(unique("tasks"), task))
        query = Query(
            "tasks",
            Task,
            order_by="created_at",
            where=(("asset_id", asset_id),),
            since=moments[1],
            until=moments[2],
            limit=9,
        )
        found = [each.value.created_at for each in await documents.query(query)]
        assert found == moments[1:3]

    async def test_count_returns_how_many_match(self, documents: Documents) -> None:
        """Pages below a document are not counted with it."""
        asset_id = uuid4().hex
        before = await documents.count(Count("tasks"), Count("submissions"))
        assert await documents.count() == []
        for submission_id in (None, "s", "s"):
            path = unique("tasks")
            task = Task(task_id="t", asset_id=asset_id, submission_id=submission_id)
            await documents.commit(Write(path, task), Write(f"{path}/segments/0", Page([], None)))
        counts = await documents.count(
            Count("tasks"),
            Count("submissions"),
            Count("tasks", (("asset_id", asset_id),)),
            Count("tasks", (("asset_id", asset_id), ("submission_id", None))),
            Count("tasks", (("asset_id", "no asset"),)),
        )
        assert counts == [before[0] + 3, before[1], 3, 1, 0]
