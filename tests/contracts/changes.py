"""The contract of the routes that change tasks, on every backend."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from tests.builders import SPEAKERS, callback_body, push_body
from tests.contracts.results import LONG, Results
from tests.fakes import NOW, LogLines
from transcripts.callbacks.message import pack
from transcripts.mavi.answers import DeleteAnswer
from transcripts.ports import Documents, Read, Write
from transcripts.retry import Retrier
from transcripts.submissions.store import SubmissionStore
from transcripts.submissions.submission import (
    AssetOwner,
    SpendCounter,
    State,
    Submission,
    asset_owner_path,
    submission_path,
)
from transcripts.tasks.merge import SECOND_SLOT, Outcome
from transcripts.tasks.recorder import Recorder
from transcripts.tasks.store import TaskStore
from transcripts.tasks.task import (
    DeletedTask,
    Source,
    SpeakerName,
    Status,
    Task,
    page_paths,
    task_path,
)

ADA, BEN, _ = SPEAKERS
OBJECT = "gs://uploads/case-of-Mr-Secret.mp4"
PERSONAL = ("Ada Example", "Ben Sample", "Mr-Secret", "Countess", "survey came back", "label-7")
"""Personal words of a bought and renamed task."""

DOCUMENTS: dict[str, type[msgspec.Struct]] = {
    "tasks": Task,
    "submissions": Submission,
    "assets": AssetOwner,
    "spend_counters": SpendCounter,
}
"""Every collection, with all that its documents may hold."""


class Changing:
    """The function, with what comes from the other side: callbacks and the ledger."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.documents: Documents = results.documents
        self.store = TaskStore(self.documents, Retrier())
        self.ledger = SubmissionStore(self.documents, Retrier())
        self.lines = LogLines()

    async def receive(self, body: bytes, task_id: str = "t", seconds: float = 0) -> Outcome:
        """Deliver a callback, as Pub/Sub does; with the same arguments it is delivered again."""
        message = pack(body, NOW + timedelta(seconds=seconds), {"task_id": task_id})
        recorder = Recorder(self.store, 0, self.lines.log, lambda: NOW)
        return await recorder.record(push_body(message.data, message.attributes))

    async def buy(self, task_id: str = "t", **changes: Any) -> Submission:
        """Record a purchase as submit does: the ledger and the task's side."""
        entry = Submission(
            submission_id="s",
            state=State.SUBMITTED,
            asset_id="re_1",
            source=Source(OBJECT, "17", "video/mp4", 5),
            filename="case-of-Mr-Secret.mp4",
            labels={"case": "label-7"},
            task_id=task_id,
            created_at=NOW,
            updated_at=NOW,
            submitted_at=NOW,
        )
        side = Task(
            task_id=task_id,
            submission_id="s",
            asset_id="re_1",
            source=entry.source,
            labels=entry.labels,
            label_pairs=["case:label-7"],
            submitted_at=NOW,
            created_at=NOW,
        )

        def decide(*_: Any) -> Any:
            from transcripts.submissions.claims import Change

            return Change(None, replace(entry, **changes))

        await self.ledger.change("s", decide, task=side)
        return replace(entry, **changes)

    async def rename(self, changes: object, task_id: str = "t", **headers: str) -> httpx.Response:
        given = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        content = changes if isinstance(changes, bytes) else msgspec.json.encode(changes)
        path = f"/tasks/{task_id}/speaker_names"
        return await self.results.request("PATCH", path, content=content, headers=given)

    async def delete(self, task_id: str = "t", query: str = "") -> httpx.Response:
        return await self.results.request("DELETE", f"/tasks/{task_id}{query}")

    async def renormalize(self, task_id: str = "t") -> httpx.Response:
        return await self.results.request("POST", f"/tasks/{task_id}/renormalize")

    async def etag(self, task_id: str = "t") -> str:
        return str((await self.results.get(f"/tasks/{task_id}")).headers["ETag"])

    async def left(self, task_id: str = "t") -> DeletedTask:
        (found,) = await self.documents.read(Read(task_path(task_id), DeletedTask))
        assert found is not None
        return found.value

    async def everything(self) -> bytes:
        """Return the whole store as JSON: every document that there is."""
        found: list[object] = []
        for collection, kind in DOCUMENTS.items():
            for name in await self.documents.ids(collection, limit=1000):
                found += await self.documents.read(Read(f"{collection}/{name}", kind))
                if collection == "tasks":
                    found += await self.parts(name)
        return msgspec.json.encode([getattr(each, "value", each) for each in found])

    async def parts(self, task_id: str = "t") -> list[str]:
        found: list[str] = []
        for collection in ("segments", "raw"):
            found += await self.documents.ids(f"tasks/{task_id}/{collection}", limit=1000)
        return found


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def shown(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.json()
    return {each["name"]: each["display_name"] for each in answer.json()["speakers"]}


class ChangesContract:
    """Subclasses give a fixture ``results``."""

    @pytest.fixture
    def changing(self, results: Results) -> Changing:
        return Changing(results)

    # Names

    async def test_rename_changes_what_readers_see(self, changing: Changing) -> None:
        """The answer has the new names and the new entity tag; null takes a name away."""
        await changing.receive(callback_body(2, task_id="t"))
        before = await changing.etag()
        answer = await changing.rename({ADA: "Countess"})
        assert shown(answer) == {ADA: "Countess", BEN: BEN}
        assert answer.headers["ETag"] == await changing.etag() != before
        assert b"Countess" in (await changing.results.get("/tasks/t.vtt")).content
        answer = await changing.rename({ADA: None})
        assert shown(answer) == {ADA: ADA, BEN: BEN}
        assert (await changing.results.get("/tasks/t")).json()["speaker_names"] == []

    async def test_rename_finds_any_spelling_of_a_name(self, changing: Changing) -> None:
        """By the key that joins segments and faces; the name is stored as the result has it."""
        await changing.receive(callback_body(2, task_id="t"))
        answer = await changing.rename({f"\ufeff {ADA.replace(' ', '  ')}": "Ada"})
        assert shown(answer) == {ADA: "Ada", BEN: BEN}
        task = (await changing.results.get("/tasks/t")).json()
        assert task["speaker_names"] == [{"name": ADA, "display_name": "Ada"}]

    async def test_rename_keeps_other_names(self, changing: Changing) -> None:
        """And no later result takes them away."""
        await changing.receive(callback_body(2, task_id="t"))
        await changing.rename({ADA: "A"})
        assert shown(await changing.rename({BEN: "B"})) == {ADA: "A", BEN: "B"}
        assert await changing.receive(callback_body(4, task_id="t"), seconds=9) is Outcome.STORED
        names = shown(await changing.rename({}))
        assert (names[ADA], names[BEN]) == ("A", "B")

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"Nobody": "X"}, "unknown_speaker"),
            ({"Nobody": None}, "unknown_speaker"),
            ({f"Speaker {n}": "X" for n in range(10_000)}, "unknown_speaker"),
            ({ADA: " \u200b"}, "bad_display_name"),
            ({ADA: "a\x07b"}, "bad_display_name"),
            ({ADA: "x" * 201}, "bad_display_name"),
            ({ADA: "A", f" {ADA}": "B"}, "bad_request"),
            ({ADA: 7}, "bad_request"),
            ([ADA], "bad_request"),
            (b"{", "bad_request"),
            (b"\xff", "bad_request"),
            (b"[" * 100_000, "bad_request"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_rename_of_a_bad_request_returns_400(
        self, changing: Changing, changes: object, expected: str
    ) -> None:
        """And changes nothing; an error lists a few of the unknown names, in its details only."""
        await changing.receive(callback_body(2, task_id="t"))
        before = await changing.etag()
        answer = await changing.rename(changes)
        assert code(answer) == (400, expected)
        assert "Nobody" not in answer.json()["error"]["message"]
        if expected == "unknown_speaker":
            assert 1 <= len(answer.json()["error"]["details"]["names"]) <= 10
        assert await changing.etag() == before

    async def test_rename_of_a_display_name_is_cleaned(self, changing: Changing) -> None:
        """Blanks and line breaks become one blank; invisible marks are removed."""
        await changing.receive(callback_body(2, task_id="t"))
        assert shown(await changing.rename({ADA: "\u202eA\n\t da\ufeff "}))[ADA] == "A da"

    async def test_rename_takes_away_the_name_of_an_earlier_result(
        self, changing: Changing
    ) -> None:
        """The result of now has no such speaker, but the name is still stored."""
        await changing.receive(callback_body(2, task_id="t"))
        gone = replace(await changing.results.stored("t"), speaker_names=[SpeakerName("Old", "X")])
        await changing.documents.commit(Write("tasks/t", gone, ("speaker_names",)))
        assert code(await changing.rename({"Old": "Y"})) == (400, "unknown_speaker")
        assert (await changing.rename({"Old": None})).status_code == 200
        assert (await changing.results.stored("t")).speaker_names == []

    async def test_rename_with_an_old_etag_returns_412(self, changing: Changing) -> None:
        """With the present one, or any by ``*``, it is done."""
        await changing.receive(callback_body(2, task_id="t"))
        old = await changing.etag()
        answer = await changing.rename({ADA: "A"}, If_Match=old)
        assert answer.status_code == 200
        assert code(await changing.rename({ADA: "B"}, If_Match=old)) == (412, "changed_meanwhile")
        assert shown(await changing.rename({}))[ADA] == "A"
        for tag in (answer.headers["ETag"], "*"):
            assert (await changing.rename({ADA: "C"}, If_Match=tag)).status_code == 200

    async def test_rename_of_two_people_at_once_loses_nothing(self, changing: Changing) -> None:
        """Of those who send the same entity tag, one succeeds and all others get 412."""
        await changing.receive(callback_body(2, task_id="t"))
        tag = await changing.etag()
        answers = await asyncio.gather(
            *(changing.rename({ADA: f"Ada {n}"}, If_Match=tag) for n in range(5))
        )
        statuses = [answer.status_code for answer in answers]
        assert sorted(statuses) == [200, 412, 412, 412, 412]
        winner = answers[statuses.index(200)]
        assert shown(await changing.rename({})) == shown(winner)

    async def test_rename_at_once_without_an_etag_keeps_every_name(
        self, changing: Changing
    ) -> None:
        """Each change is made on what is stored then."""
        await changing.receive(callback_body(3, task_id="t"))
        answers = await asyncio.gather(
            *(changing.rename({name: f"new {name}"}) for name in SPEAKERS)
        )
        assert {answer.status_code for answer in answers} == {200}
        assert shown(await changing.rename({})) == {name: f"new {name}" for name in SPEAKERS}

    async def test_rename_of_a_task_without_a_result_returns_400(self, changing: Changing) -> None:
        """It has no speakers yet; an unknown task is 404."""
        await changing.buy()
        assert code(await changing.rename({ADA: "A"})) == (400, "unknown_speaker")
        assert code(await changing.rename({ADA: "A"}, task_id="none")) == (404, "task_not_found")

    async def test_rename_of_no_json_or_too_much_is_refused(self, changing: Changing) -> None:
        """By its content type, its length, or a parameter that is not known."""
        await changing.receive(callback_body(2, task_id="t"))
        request = changing.results.request
        path = "/tasks/t/speaker_names"
        answer = await request("PATCH", path, content=b"{}", headers={"Content-Type": "text/plain"})
        assert code(answer) == (415, "unsupported_media_type")
        assert code(await changing.rename(b" " * (1024 * 1024 + 1))) == (413, "body_too_large")
        answer = await request("PATCH", f"{path}?x=1", json={})
        assert code(answer) == (400, "bad_parameter")
        assert code(await request("GET", path)) == (405, "method_not_allowed")

    # Deletion

    async def test_delete_removes_everything_personal(
        self, changing: Changing, results: Results
    ) -> None:
        """From the task, its pages and bodies of every revision, the ledger and the logs."""
        await changing.buy()
        await changing.receive(callback_body(LONG, task_id="t"))
        await changing.receive(callback_body(2, task_id="t"), seconds=5)
        await changing.receive(callback_body(2, task_id="t", code="5000"), seconds=6)
        await changing.rename({ADA: "Countess"})
        assert len(await changing.parts()) > 3
        before = await changing.everything()
        for words in ("Mr-Secret", "Countess", "label-7", "Ada Example"):
            assert words.encode() in before
        answer = await changing.delete()
        assert (answer.status_code, answer.content) == (204, b"")
        assert await changing.parts() == []
        left = await changing.left()
        assert (left.submission_id, left.asset_id, left.status) == ("s", "re_1", Status.DELETED)
        assert len(left.deleted_revisions) == 3
        stored = await changing.everything()
        assert b'"deleted"' in stored
        logs = b"".join(changing.lines.raw) + msgspec.json.encode(results.log)
        for words in PERSONAL:
            assert words.encode() not in stored
            assert words.encode() not in logs
        assert [event["left"] for event in results.log if event["message"] == "task_deleted"] == [
            {}
        ]

    async def test_delete_keeps_what_the_ledger_needs(self, changing: Changing) -> None:
        """Ids, state and times stay, so nothing is bought twice and the account balances."""
        before = await changing.buy()
        await changing.receive(callback_body(2, task_id="t"))
        await changing.delete()
        after = await changing.ledger.read("s")
        assert after == replace(before, source=None, filename=None, labels={})
        account = (await changing.results.get("/accounting")).json()
        assert account["balanced"] is True
        assert account["tasks"]["deleted"] == account["tasks"]["submitted"] == 1

    async def test_delete_is_repeatable(self, changing: Changing) -> None:
        """The second time as the first; a task that never was is not found."""
        await changing.receive(callback_body(2, task_id="t"))
        for _ in range(3):
            assert (await changing.delete()).status_code == 204
        assert code(await changing.delete("none")) == (404, "task_not_found")
        assert code(await changing.delete("__x__")) == (404, "task_not_found")
        assert code(await changing.delete(query="?asset=maybe")) == (400, "bad_parameter")

    async def test_deleted_task_is_not_found_anywhere(self, changing: Changing) -> None:
        """Not by its id, in no list, and nothing can be done with it."""
        await changing.buy()
        await changing.receive(callback_body(2, task_id="t"))
        await changing.delete()
        results = changing.results
        for path in ("/tasks/t", "/tasks/t.srt"):
            assert (await results.error(path, 404))["code"] == "task_not_found"
        for query in ("", "?asset_id=re_1", "?submission_id=s", "?label=case:label-7"):
            assert await results.ids(f"/tasks{query}") == []
        assert code(await changing.rename({ADA: "A"})) == (404, "task_not_found")
        assert code(await changing.renormalize()) == (404, "task_not_found")

    async def test_deleted_result_delivered_again_is_not_stored(self, changing: Changing) -> None:
        """By a redelivery or a replay of the dead letters; of every body that was stored."""
        bodies = [callback_body(n, task_id="t") for n in (1, 2)]
        for seconds, body in enumerate(bodies):
            await changing.receive(body, seconds=seconds)
        await changing.delete()
        for body in bodies:
            assert await changing.receive(body, seconds=1000) is Outcome.DELETED
        assert code(await changing.renormalize()) == (404, "task_not_found")
        assert await changing.parts() == []

    async def test_other_result_of_a_deleted_task_is_stored_unmatched(
        self, changing: Changing
    ) -> None:
        """It was not deleted; the deleted ones stay away, and it can be deleted too."""
        await changing.buy()
        await changing.receive(callback_body(1, task_id="t"))
        await changing.delete()
        assert await changing.receive(callback_body(2, task_id="t"), seconds=9) is Outcome.STORED
        assert await changing.results.ids("/tasks?unmatched=true") == ["t"]
        task = (await changing.results.get("/tasks/t")).json()
        assert (task["submission_id"], task["source"], task["labels"]) == (None, None, {})
        assert await changing.receive(callback_body(1, task_id="t"), seconds=20) is Outcome.DELETED
        assert (await changing.results.get("/tasks/t")).status_code == 200
        assert (await changing.delete()).status_code == 204
        assert len((await changing.left()).deleted_revisions) == 2

    async def test_delete_before_the_submission_is_recorded(self, changing: Changing) -> None:
        """Its ids are noted, not its personal fields; deleting again redacts the ledger."""
        await changing.receive(callback_body(2, task_id="t"))
        await changing.delete()
        await changing.buy()
        assert (await changing.left()).submission_id == "s"
        assert code(await changing.rename({})) == (404, "task_not_found")
        assert (await changing.delete()).status_code == 204
        entry = await changing.ledger.read("s")
        assert entry is not None
        assert (entry.source, entry.labels) == (None, {})

    async def test_delete_of_a_task_without_a_result(self, changing: Changing) -> None:
        """The sweep finds nothing to be late, and a result that comes is stored unmatched."""
        await changing.buy()
        assert (await changing.delete()).status_code == 204
        assert await changing.receive(callback_body(2, task_id="t")) is Outcome.STORED
        assert await changing.results.ids("/tasks?unmatched=true") == ["t"]

    async def test_delete_while_the_asset_is_bought_again_says_what_is_left(
        self, changing: Changing
    ) -> None:
        """The running purchase needs its source; once it has ended, nothing is left."""
        await changing.buy()
        await changing.receive(callback_body(2, task_id="t"))
        entry = await changing.ledger.read("s")
        assert entry is not None
        again = replace(entry, state=State.UPLOADED, task_id=None)
        await changing.documents.commit(Write(submission_path("s"), again))
        answer = await changing.delete()
        assert answer.status_code == 200
        (left,) = answer.json()["left"]
        assert (left["part"], left["reason"]) == ("submission", "submission_in_progress")
        await changing.documents.commit(Write(submission_path("s"), entry))
        assert (await changing.delete()).status_code == 204
        entry = await changing.ledger.read("s")
        assert entry is not None
        assert entry.source is None

    async def test_delete_of_a_replaced_task_leaves_the_ledger(self, changing: Changing) -> None:
        """The submission belongs to the task that was bought instead."""
        await changing.buy()
        await changing.receive(callback_body(2, task_id="t"))
        entry = await changing.ledger.read("s")
        assert entry is not None
        await changing.documents.commit(
            Write(submission_path("s"), replace(entry, task_id="another"))
        )
        assert (await changing.delete()).status_code == 204
        entry = await changing.ledger.read("s")
        assert entry is not None
        assert entry.source is not None

    async def test_delete_with_the_asset_tells_what_mavi_says(self, changing: Changing) -> None:
        """The answer lists an asset that is still there, and the next request tries again."""
        await changing.buy()
        await changing.documents.commit(Write(asset_owner_path("re_1"), AssetOwner("s")))
        await changing.receive(callback_body(2, task_id="t"))
        answers = [DeleteAnswer.UNAVAILABLE, DeleteAnswer.REFUSED, DeleteAnswer.GONE]
        asked: list[str] = []

        class Assets:
            async def delete(self, asset_id: str, _: float) -> DeleteAnswer:
                asked.append(asset_id)
                return answers[len(asked) - 1]

        module: Any = changing.results.loaded.module
        module.changes._deletion._assets = Assets()
        for reason in ("provider_unavailable", "provider_error"):
            answer = await changing.delete(query="?asset=true")
            assert answer.status_code == 200
            (left,) = answer.json()["left"]
            assert (left["part"], left["reason"]) == ("asset", reason)
        assert (await changing.delete(query="?asset=true")).status_code == 204
        assert asked == ["re_1"] * 3

    async def test_delete_with_an_asset_that_is_not_known(self, changing: Changing) -> None:
        """An unmatched result names no asset; without a key none can be deleted."""
        await changing.receive(callback_body(2, task_id="t"))
        (left,) = (await changing.delete(query="?asset=true")).json()["left"]
        assert left["reason"] == "asset_unknown"
        await changing.buy("u")
        (left,) = (await changing.delete("u", "?asset=true")).json()["left"]
        assert left["reason"] == "no_api_key"

    async def test_delete_while_results_arrive_leaves_no_half(self, changing: Changing) -> None:
        """Afterwards each result is stored whole, or nothing of it is there."""
        await changing.receive(callback_body(1, task_id="t"))
        bodies = {n: callback_body(n, task_id="t") for n in (LONG, 2, LONG + 1)}
        await asyncio.gather(
            changing.delete(),
            *(changing.receive(body, seconds=n) for n, body in bodies.items()),
        )
        await changing.receive(callback_body(1, task_id="t"))
        answer = await changing.results.get("/tasks/t")
        parts = await changing.parts()
        if answer.status_code == 404:
            assert parts == []
            return
        content = answer.json()
        assert len(content["segments"]) == content["segment_count"]
        gone = set((await changing.results.stored("t")).deleted_revisions)
        assert not gone & {part.rpartition("-")[0] for part in parts}

    # Normalizing again

    async def test_renormalize_makes_the_result_again(self, changing: Changing) -> None:
        """Of the stored body; people's names and the submission's fields stay."""
        await changing.buy()
        await changing.receive(callback_body(2, task_id="t"))
        await changing.rename({ADA: "Countess"})
        whole = await changing.results.stored("t")
        old_code = replace(whole, word_count=0, segments=[], segment_count=0, duration_s=0.0)
        await changing.documents.commit(Write("tasks/t", old_code))
        answer = await changing.renormalize()
        assert answer.status_code == 200
        assert answer.json()["segment_count"] == 2
        assert shown(await changing.rename({}))[ADA] == "Countess"
        again = await changing.results.stored("t")
        assert again.stored_at is not None
        assert again == replace(whole, stored_at=again.stored_at, first_page=again.first_page)

    async def test_renormalize_of_a_long_transcript_writes_other_pages(
        self, changing: Changing
    ) -> None:
        """So that whoever reads the old ones reads them to the end."""
        await changing.receive(callback_body(LONG, task_id="t"))
        before = await changing.results.stored("t")
        assert before.pages > 1
        for first_page in (SECOND_SLOT, 0):
            assert (await changing.renormalize()).status_code == 200
            task = await changing.results.stored("t")
            assert (task.first_page, task.pages) == (first_page, before.pages)
            content = (await changing.results.get("/tasks/t")).json()
            assert len(content["segments"]) == LONG
            whole = await changing.store.read_task("t")
            assert whole is not None
            assert len(whole.segments) == LONG
        assert page_paths(await changing.results.stored("t")) == page_paths(before)

    async def test_renormalize_chooses_among_all_bodies(self, changing: Changing) -> None:
        """A body that only the present code understands counts as if it arrived now."""
        await changing.receive(callback_body(2, task_id="t"))
        good = await changing.results.stored("t")
        await changing.receive(callback_body(2, task_id="t", code="5000"), seconds=60)
        failed = replace(good, status=Status.FAILED, revision="0" * 16, segments=[], speakers=[])
        await changing.documents.commit(Write("tasks/t", failed))
        assert (await changing.renormalize()).json()["revision"] == good.revision
        assert (await changing.results.stored("t")).segments == good.segments

    async def test_renormalize_while_a_result_arrives_reaches_one_end(
        self, changing: Changing
    ) -> None:
        """Whichever is first."""
        await changing.receive(callback_body(2, task_id="t"))
        await changing.rename({ADA: "Countess"})
        await asyncio.gather(
            changing.receive(callback_body(3, task_id="t"), seconds=60),
            changing.renormalize(),
            changing.renormalize(),
        )
        task = (await changing.results.get("/tasks/t")).json()
        assert (task["segment_count"], len(task["segments"])) == (3, 3)
        assert task["speaker_names"] == [{"name": ADA, "display_name": "Countess"}]

    async def test_renormalize_without_a_body_returns_409(self, changing: Changing) -> None:
        """There is no callback yet; an unknown task is 404."""
        await changing.buy()
        assert code(await changing.renormalize()) == (409, "no_raw_body")
        assert code(await changing.renormalize("none")) == (404, "task_not_found")
