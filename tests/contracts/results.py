"""The contract of the function ``results``: what it answers, on every backend."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from tests.contracts.exports import ExportsContract
from tests.contracts.lists import ListsContract
from tests.fakes import NOW
from tests.results import LONG, Results, a_submission, a_task
from transcripts.ports import Write
from transcripts.results.answers import WholeTask
from transcripts.submissions.submission import Attempt, State
from transcripts.tasks.task import (
    ShownFields,
    SpeakerName,
    Status,
)


class ResultsContract(ListsContract, ExportsContract):
    """Subclasses give a fixture ``results``, whose store is empty."""

    @pytest.mark.parametrize("count", [0, 3, LONG])
    async def test_task_is_shown_whole(self, results: Results, count: int) -> None:
        """With the segments of all its pages, and without how it is stored."""
        result = await results.put_result(count=count)
        stored = await results.stored("t")
        assert (stored.pages > 1) is (count == LONG)
        answer = await results.get("/tasks/t")
        assert answer.headers["Content-Type"] == "application/json"
        content = answer.json()
        assert set(content) == set(WholeTask.__struct_fields__)
        shown = msgspec.convert(content, WholeTask)
        assert shown.segments == result.segments
        for name in ShownFields.__struct_fields__:
            assert getattr(shown, name) == getattr(stored, name), name

    async def test_task_that_is_known_returns_304(self, results: Results) -> None:
        """Until it changes."""
        await results.put_result()
        plain = {"Accept-Encoding": "identity"}
        tag = (await results.get("/tasks/t", headers=plain)).headers["ETag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            answer = await results.get("/tasks/t", headers=plain | {"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["ETag"] == tag
        task = replace(await results.stored("t"), speaker_names=[SpeakerName("Ada Example", "Ä")])
        await results.documents.commit(Write("tasks/t", task, ("speaker_names",)))
        answer = await results.get("/tasks/t", headers={"If-None-Match": tag})
        assert answer.status_code == 200
        assert answer.headers["ETag"] != tag
        assert answer.json()["speaker_names"] == [
            {"name": "Ada Example", "display_name": "Ä", "named_by": None}
        ]

    async def test_task_without_a_result_says_the_next_step(self, results: Results) -> None:
        """In the list too; a result of a submission needs none."""
        words = {
            Status.SUBMITTED: "has not delivered",
            Status.OVERDUE: "with force",
            Status.FAILED: "could not transcribe",
            Status.UNRECOGNIZED: "no multi-speaker transcript",
        }
        for status, part in words.items():
            await results.put(a_task(status, status=status, submission_id="s"))
            assert part in (await results.get(f"/tasks/{status}")).json()["next_step"]
        await results.put(a_task("unmatched", status=Status.SUCCEEDED))
        await results.put(a_task("whole", status=Status.SUCCEEDED, submission_id="s"))
        shown = {task["task_id"]: task for task in (await results.get("/tasks")).json()["tasks"]}
        assert "no submission" in shown["unmatched"]["next_step"]
        assert shown["whole"]["next_step"] is None
        assert words.keys() < {name for name, task in shown.items() if task["next_step"]}

    @pytest.mark.parametrize("task_id", ["none", "%C3%A4", "__x__", "a%20b", "x" * 129])
    async def test_unknown_task_returns_404(self, results: Results, task_id: str) -> None:
        """So does an id that no task can have."""
        for path in (f"/tasks/{task_id}", f"/tasks/{task_id}.srt"):
            assert (await results.error(path, 404))["code"] == "task_not_found"

    async def test_submission_is_shown_with_its_next_step(self, results: Results) -> None:
        """Without what instances coordinate by."""
        attempt = Attempt(State.SUBMIT_UNKNOWN, None, "time-out", NOW)
        entry = a_submission(
            "s",
            state=State.SUBMITTED,
            task_id="t",
            asset_id="re_1",
            lease_id="a-lease",
            lease_expires_at=NOW,
            filename="private name.mp4",
            labels={"case": "7"},
            previous_attempts=[attempt],
        )
        await results.put_submissions(entry)
        content = (await results.get("/submissions/s")).json()
        assert content == {
            "submission_id": "s",
            "state": "submitted",
            "reason": None,
            "asset_id": "re_1",
            "source": None,
            "labels": {"case": "7"},
            "task_id": "t",
            "created_at": "2026-01-02T03:04:05.678901Z",
            "updated_at": "2026-01-02T03:04:05.678901Z",
            "submitted_at": None,
            "expires_at": None,
            "deleted_at": None,
            "uploads": 0,
            "queued": False,
            "previous_attempts": [
                {
                    "state": "submit_unknown",
                    "task_id": None,
                    "reason": "time-out",
                    "ended_at": "2026-01-02T03:04:05.678901Z",
                }
            ],
            "duplicate_of": None,
            "next_step": content["next_step"],
        }
        assert "task_id" in content["next_step"]
        (listed,) = (await results.get("/submissions")).json()["submissions"]
        assert listed == content
        for submission_id in ("none", "a.b", "%C3%A4", "__x__"):
            error = await results.error(f"/submissions/{submission_id}", 404)
            assert error["code"] == "submission_not_found"

    async def test_accounting_balances(self, results: Results) -> None:
        """Every sum of one moment, in an empty database too."""
        empty = (await results.get("/accounting")).json()
        assert empty["balanced"] is True
        assert empty["submissions"]["total"] == empty["tasks"]["submitted"] == 0
        states = [*State, State.SUBMITTED]
        bought = [Status.SUBMITTED, Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED]
        bought += [Status.OVERDUE, Status.UNRECOGNIZED]
        await results.put_submissions(
            *(
                a_submission(f"s{number}", state=state, earlier_tasks="2" if number > 5 else None)
                for number, state in enumerate(states)
            )
        )
        await results.put(
            *(
                a_task(f"t{number}", status=status, submission_id="s")
                for number, status in enumerate(bought)
            ),
            a_task("other", status=Status.SUCCEEDED),
            a_task("another", status=Status.UNRECOGNIZED),
            a_task("hidden", status=Status.DELETED),
        )
        content = (await results.get("/accounting")).json()
        assert content.pop("callbacks")["counted"] is False
        assert content == {
            "balanced": True,
            "submissions": {
                "total": 8,
                "submitted": 2,
                "rejected": 1,
                "submit_unknown": 1,
                "open": 4,
                "balanced": True,
            },
            "tasks": {
                "submitted": 6,
                "succeeded": 2,
                "failed": 1,
                "unrecognized": 1,
                "pending": 1,
                "overdue": 1,
                "deleted": 0,
                "missing": [],
                "balanced": True,
            },
            "unmatched_tasks": 2,
        }

    async def test_accounting_names_bought_tasks_that_are_missing(self, results: Results) -> None:
        """The ledger tells what was bought, also in previous attempts."""
        gone = Attempt(State.SUBMITTED, "gone-1", None, NOW)
        lost = Attempt(State.SUBMIT_UNKNOWN, None, "time-out", NOW)
        await results.put_submissions(
            a_submission("one", state=State.SUBMITTED, task_id="there"),
            a_submission(
                "two",
                1,
                state=State.SUBMITTED,
                task_id="gone-2",
                previous_attempts=[lost, gone],
                earlier_tasks="1",
            ),
        )
        await results.put(a_task("there", status=Status.SUCCEEDED, submission_id="one"))
        content = (await results.get("/accounting")).json()
        assert (content["balanced"], content["tasks"]["balanced"]) == (False, False)
        assert content["tasks"]["missing"] == ["gone-1", "gone-2"]
        assert content["tasks"]["submitted"] == 3
        assert content["submissions"]["balanced"] is True

    async def test_accounting_of_a_task_without_its_submission_does_not_balance(
        self, results: Results
    ) -> None:
        """Nothing expires here, so the ledger has lost an entry."""
        await results.put(a_task("t", status=Status.SUCCEEDED, submission_id="s"))
        content = (await results.get("/accounting")).json()
        assert (content["balanced"], content["tasks"]["missing"]) == (False, [])

    @pytest.mark.parametrize(
        "path",
        ["/tasks/", "/tasks/t/", "/tasks/t.", "/tasks/a/b", "/view", "/TASKS", "/x"],
    )
    async def test_unknown_path_returns_404(self, results: Results, path: str) -> None:
        """For every method."""
        assert (await results.error(path, 404))["code"] == "not_found"
        assert (await results.request("POST", path)).status_code == 404

    @pytest.mark.parametrize(
        "path", ["/tasks", "/tasks/t", "/tasks/t.srt", "/submissions", "/submissions/s"]
    )
    async def test_wrong_method_returns_405_with_the_right_ones(
        self, results: Results, path: str
    ) -> None:
        """In ``Allow``."""
        for method in ("POST", "PUT", "OPTIONS"):
            answer = await results.request(method, path)
            assert answer.status_code == 405
            assert answer.json()["error"]["code"] == "method_not_allowed"
            assert {"GET", "HEAD"} <= set(answer.headers["Allow"].split(", "))

    @pytest.mark.untraced
    async def test_head_returns_the_head_of_get(self, results: Results) -> None:
        """Nothing is written for it."""
        await results.put_result(count=LONG)
        for path in ("/tasks/t", "/tasks/t.srt"):
            plain = {"Accept-Encoding": "identity"}
            whole = await results.get(path, headers=plain)
            head = await results.request("HEAD", path, headers=plain)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers == whole.headers
        assert (await results.request("HEAD", "/tasks/none")).status_code == 404
