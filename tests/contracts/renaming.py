"""The contract of renaming speakers, on every backend."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tests.builders import SPEAKERS, callback_body
from tests.contracts.changing import (
    ADA,
    BEN,
    Changing,
    ChangingContract,
    code,
    shown,
)
from transcripts.ports import Write
from transcripts.tasks.merge import Outcome
from transcripts.tasks.task import (
    SpeakerName,
)


class RenamingContract(ChangingContract):
    """Subclasses give a fixture ``results``."""

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
        assert task["speaker_names"] == [{"name": ADA, "display_name": "Ada", "named_by": None}]

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

    async def test_rename_of_a_name_with_an_old_etag_returns_412(self, changing: Changing) -> None:
        """With the present one, or any by ``*``, it is done."""
        await changing.receive(callback_body(2, task_id="t"))
        old = await changing.etag()
        answer = await changing.rename({ADA: "A"}, If_Match=old)
        assert answer.status_code == 200
        assert code(await changing.rename({ADA: "B"}, If_Match=old)) == (412, "changed_meanwhile")
        assert shown(await changing.rename({}))[ADA] == "A"
        for tag in (answer.headers["ETag"], "*"):
            assert (await changing.rename({ADA: "C"}, If_Match=tag)).status_code == 200

    async def test_rename_of_another_name_with_an_old_etag_is_done(
        self, changing: Changing
    ) -> None:
        """Two people who name different speakers do not collide; another result is a conflict."""
        await changing.receive(callback_body(2, task_id="t"))
        old = await changing.etag()
        answers = await asyncio.gather(
            changing.rename({ADA: "A"}, If_Match=old), changing.rename({BEN: "B"}, If_Match=old)
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        assert shown(await changing.rename({})) == {ADA: "A", BEN: "B"}
        both = await changing.rename({ADA: "C", BEN: "D"}, If_Match=old)
        assert code(both) == (412, "changed_meanwhile")
        named = await changing.etag()
        await changing.receive(callback_body(4, task_id="t"), seconds=9)
        late = await changing.rename({BEN: "E"}, If_Match=named)
        assert code(late) == (412, "changed_meanwhile")

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
