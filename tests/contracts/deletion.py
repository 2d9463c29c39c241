"""The contract of deleting tasks, on every backend."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec.structs import replace

from tests.builders import callback_body
from tests.contracts.changing import (
    ADA,
    PERSONAL,
    Changing,
    ChangingContract,
    code,
)
from tests.results import LONG, Results
from transcripts.mavi.answers import DeleteAnswer
from transcripts.ports import Write
from transcripts.submissions.submission import (
    AssetOwner,
    State,
    asset_owner_path,
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
