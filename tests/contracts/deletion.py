"""The contract of deleting tasks, on every backend."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from tests.builders import callback_body
from tests.contracts.changing import (
    ADA,
    OBJECT,
    PERSONAL,
    Changing,
    ChangingContract,
    code,
)
from tests.fakes import NOW
from tests.results import LONG, Results
from tests.stored import read_submission
from transcripts.mavi.answers import DeleteAnswer
from transcripts.ports import Read, Write
from transcripts.submissions.submission import (
    AssetOwner,
    Attempt,
    SpendCounter,
    State,
    asset_owner_path,
    spend_counter_path,
    submission_path,
)
from transcripts.tasks.merge import Outcome
from transcripts.tasks.task import (
    Status,
)


class DeletionContract(ChangingContract):
    """Subclasses give a fixture ``results``."""

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
        after = await read_submission(changing.documents, "s")
        assert after is not None
        assert after.deleted_at is not None
        assert replace(after, deleted_at=None) == replace(
            before, source=None, filename=None, labels={}
        )
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
        entry = await read_submission(changing.documents, "s")
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
        entry = await read_submission(changing.documents, "s")
        assert entry is not None
        again = replace(entry, state=State.UPLOADED, task_id=None)
        await changing.documents.commit(Write(submission_path("s"), again))
        answer = await changing.delete()
        assert answer.status_code == 200
        (left,) = answer.json()["left"]
        assert (left["part"], left["reason"]) == ("submission", "submission_in_progress")
        await changing.documents.commit(Write(submission_path("s"), entry))
        assert (await changing.delete()).status_code == 204
        entry = await read_submission(changing.documents, "s")
        assert entry is not None
        assert entry.source is None

    async def test_delete_of_a_replaced_task_leaves_the_ledger(self, changing: Changing) -> None:
        """The submission belongs to the task that was bought instead."""
        await changing.buy()
        await changing.receive(callback_body(2, task_id="t"))
        entry = await read_submission(changing.documents, "s")
        assert entry is not None
        await changing.documents.commit(
            Write(submission_path("s"), replace(entry, task_id="another"))
        )
        assert (await changing.delete()).status_code == 204
        entry = await read_submission(changing.documents, "s")
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

        changing.results.compose(assets=Assets())
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

    async def test_delete_submission_covers_every_attempt(self, changing: Changing) -> None:
        """An asset that was bought twice leaves no transcript; a missing task is no error."""
        gone = Attempt(State.SUBMITTED, "expired", None, NOW)
        first = Attempt(State.SUBMITTED, "u", None, NOW)
        unknown = Attempt(State.SUBMIT_UNKNOWN, None, "time-out", NOW)
        await changing.buy("u")
        entry = await changing.buy("t")
        entry = replace(entry, previous_attempts=[gone, unknown, first])
        await changing.documents.commit(Write(submission_path("s"), entry))
        for task_id in ("t", "u"):
            await changing.receive(callback_body(LONG, task_id=task_id), task_id)
        answer = await changing.delete_submission()
        assert answer.status_code == 200
        content = answer.json()
        assert (content["submission_id"], content["left"]) == ("s", [])
        assert content["task_ids"] == ["expired", "u", "t"]
        assert {each["part"]: each["name"] for each in content["remaining"]} == {
            "object": f"{OBJECT}#17",
            "asset": "re_1",
        }
        for task_id in ("t", "u"):
            assert (await changing.left(task_id)).status is Status.DELETED
            assert await changing.parts(task_id) == []
        stored = await changing.everything()
        logs = b"".join(changing.lines.raw) + msgspec.json.encode(changing.results.log)
        for words in PERSONAL:
            assert words.encode() not in stored
            assert words.encode() not in logs

    async def test_delete_submission_is_repeatable(self, changing: Changing) -> None:
        """The object's name is not known any more, the asset's is."""
        await changing.buy()
        assert (await changing.delete_submission()).status_code == 200
        again = (await changing.delete_submission()).json()
        assert (again["task_ids"], again["left"]) == (["t"], [])
        assert [each["part"] for each in again["remaining"]] == ["asset"]
        for unknown in ("none", "__x__"):
            assert code(await changing.delete_submission(unknown)) == (404, "submission_not_found")
        assert code(await changing.delete_submission(query="?asset=maybe")) == (
            400,
            "bad_parameter",
        )

    @pytest.mark.parametrize("state", [State.PENDING, State.UPLOADING, State.UPLOADED])
    async def test_delete_submission_that_waits_buys_nothing(
        self, changing: Changing, state: State
    ) -> None:
        """It is rejected as deleted, and its purchase is uncounted; the queue finds it ended."""
        before = await changing.buy(spend_day="2026-01-02")
        waiting = replace(before, state=state, task_id=None, queued=True)
        await changing.documents.commit(
            Write(submission_path("s"), waiting),
            Write(spend_counter_path("2026-01-02"), SpendCounter(3)),
        )
        answer = (await changing.delete_submission()).json()
        assert (answer["task_ids"], answer["left"]) == ([], [])
        assert OBJECT in answer["remaining"][0]["name"]
        entry = await read_submission(changing.documents, "s")
        assert entry is not None
        assert (entry.state, entry.reason, entry.queued) == (State.REJECTED, "deleted", False)
        assert (entry.source, entry.filename, entry.labels) == (None, None, {})
        (counter,) = await changing.documents.read(
            Read(spend_counter_path("2026-01-02"), SpendCounter)
        )
        assert counter is not None
        assert counter.value.submissions == 2
        shown = (await changing.results.get("/submissions/s")).json()
        assert shown["next_step"].startswith("It was deleted before anything was bought.")

    async def test_delete_submission_that_was_rejected_keeps_its_reason(
        self, changing: Changing
    ) -> None:
        """Its file name and labels are personal."""
        before = await changing.buy()
        rejected = replace(before, state=State.REJECTED, task_id=None, reason="not_media")
        await changing.documents.commit(Write(submission_path("s"), rejected))
        assert (await changing.delete_submission()).status_code == 200
        entry = await read_submission(changing.documents, "s")
        assert entry is not None
        assert (entry.state, entry.reason) == (State.REJECTED, "not_media")
        assert b"Mr-Secret" not in msgspec.json.encode(entry)

    async def test_delete_submission_during_a_purchase_says_what_is_left(
        self, changing: Changing
    ) -> None:
        """The holder of the lease needs the source; nothing of the entry is deleted."""
        before = await changing.buy()
        buying = replace(
            before,
            state=State.SUBMITTING,
            lease_id="other",
            lease_expires_at=datetime.now(UTC) + timedelta(minutes=5),
        )
        await changing.documents.commit(Write(submission_path("s"), buying))
        answer = await changing.delete_submission()
        (left,) = answer.json()["left"]
        assert (left["part"], left["reason"]) == ("submission", "submission_in_progress")
        assert answer.json()["remaining"] == []
        entry = await read_submission(changing.documents, "s")
        assert entry is not None
        assert entry.source is not None

    async def test_delete_submission_with_the_asset_tells_what_mavi_says(
        self, changing: Changing
    ) -> None:
        """Without a key the asset is left; it is no longer named as remaining."""
        await changing.buy()
        answer = (await changing.delete_submission(query="?asset=true")).json()
        assert [each["reason"] for each in answer["left"]] == ["no_api_key"]
        assert [each["part"] for each in answer["remaining"]] == ["object"]

    async def test_deleted_task_leads_nowhere_in_its_submission(self, changing: Changing) -> None:
        """The next step is no task that answers 404."""
        await changing.buy()
        await changing.delete()
        shown = (await changing.results.get("/submissions/s")).json()
        assert shown["deleted_at"] is not None
        assert "has been deleted" in shown["next_step"]
        assert "task_id" not in shown["next_step"]
