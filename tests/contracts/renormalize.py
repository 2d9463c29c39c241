"""The contract of normalizing a result again, on every backend."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tests.builders import callback_body
from tests.contracts.changing import (
    ADA,
    Changing,
    ChangingContract,
    code,
    shown,
)
from tests.results import LONG
from transcripts.ports import Write
from transcripts.tasks.merge import SECOND_SLOT
from transcripts.tasks.task import (
    Status,
    page_paths,
)


class RenormalizeContract(ChangingContract):
    """Subclasses give a fixture ``results``."""

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

    @pytest.mark.untraced
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
        assert task["speaker_names"] == [
            {"name": ADA, "display_name": "Countess", "named_by": None}
        ]

    async def test_renormalize_without_a_body_returns_409(self, changing: Changing) -> None:
        """There is no callback yet; an unknown task is 404."""
        await changing.buy()
        assert code(await changing.renormalize()) == (409, "no_raw_body")
        assert code(await changing.renormalize("none")) == (404, "task_not_found")
