"""The contract of lists and their pages, on every backend."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import quote

import pytest

from tests.fakes import NOW
from tests.results import Results, a_submission, a_task
from transcripts.ids import label_pairs
from transcripts.results.answers import Summary
from transcripts.results.listing import MAX_PAGE_SIZE
from transcripts.submissions.submission import State
from transcripts.tasks.task import (
    Source,
    Status,
)


def rfc3339(moment: datetime) -> str:
    return quote(moment.isoformat())


class ListsContract:
    """Subclasses give a fixture ``results``, whose store is empty."""

    async def test_list_of_tasks_is_paged_newest_first(self, results: Results) -> None:
        """Tasks of one time are neither lost nor repeated; the last page has no token."""
        tasks = [a_task(f"t{number}", seconds=number // 3) for number in range(8)]
        await results.put(*tasks)
        wanted = [f"t{number}" for number in reversed(range(8))]
        for size in (1, 2, 4, 8, 9):
            pages = await results.all_ids("/tasks", size)
            assert [each for page in pages for each in page] == wanted
            assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
            assert pages[-1]

    async def test_list_of_tasks_shows_summaries(self, results: Results) -> None:
        """Without what a person said, with times in UTC."""
        await results.put_result()
        (summary,) = (await results.get("/tasks")).json()["tasks"]
        assert set(summary) == set(Summary.__struct_fields__)
        assert (summary["task_id"], summary["status"]) == ("t", "succeeded")
        assert summary["segment_count"] == 3
        assert summary["received_at"] == "2026-01-02T03:04:06.678901Z"

    async def test_list_of_nothing_is_empty(self, results: Results) -> None:
        """It has no next page."""
        for name in ("tasks", "submissions"):
            answer = await results.get(f"/{name}")
            assert answer.json() == {name: [], "next_page_token": None}

    async def test_list_of_tasks_is_filtered(self, results: Results) -> None:
        """By one filter, with or without times."""
        labels = {"case": "7:ä b", "empty": ""}
        await results.put(
            a_task("a", 1, status=Status.FAILED, asset_id="re_1", submission_id="s1"),
            a_task("b", 2, status=Status.SUCCEEDED, asset_id="re_1", submission_id=None),
            a_task(
                "c",
                3,
                status=Status.FAILED,
                submission_id="s2",
                labels=labels,
                label_pairs=label_pairs(labels),
            ),
        )
        since, until = rfc3339(NOW + timedelta(seconds=2)), rfc3339(NOW + timedelta(seconds=3))
        for query, ids in (
            ("", ["c", "b", "a"]),
            ("status=failed", ["c", "a"]),
            ("status=overdue", []),
            ("asset_id=re_1", ["b", "a"]),
            ("submission_id=s2", ["c"]),
            ("unmatched=true", ["b"]),
            (f"label={quote('case:7:ä b')}", ["c"]),
            ("label=empty:", ["c"]),
            ("label=case:7", []),
            (f"created_after={since}", ["c", "b"]),
            (f"created_before={until}", ["b", "a"]),
            (f"created_after={since}&created_before={until}", ["b"]),
            (f"status=failed&created_before={until}", ["a"]),
            (f"asset_id=re_1&created_after={since}", ["b"]),
        ):
            assert await results.ids(f"/tasks?{query}") == ids, query

    async def test_list_reduces_a_page_size_over_the_maximum(self, results: Results) -> None:
        """It is no error."""
        await results.put(*(a_task(f"t{number}") for number in range(MAX_PAGE_SIZE + 2)))
        for size in ("201", "9" * 30):
            answer = await results.get(f"/tasks?page_size={size}")
            assert len(answer.json()["tasks"]) == MAX_PAGE_SIZE
        assert len((await results.get("/tasks")).json()["tasks"]) == 50

    @pytest.mark.parametrize(
        "query",
        [
            "status=done",
            "status=",
            "status=failed&status=failed",
            "asset_id=a/b",
            "asset_id=__a__",
            "submission_id=%C3%A4",
            "label=case",
            "label=:7",
            "unmatched=false",
            "unmatched=1",
            "created_after=2026-01-01",
            "created_after=2026-01-01T00:00:00",
            "created_after=2026-01-01T00:00:00+01:00",
            "created_after=0001-01-01T00:00:00%2B23:00",
            "created_before=yesterday",
            "created_before=0001-01-01T00:00:00Z",
            "created_after=2026-01-02T00:00:00Z&created_before=2026-01-01T00:00:00Z",
            "created_after=2026-01-02T00:00:00Z&created_before=2026-01-02T00:00:00Z",
            "page_size=0",
            "page_size=-1",
            "page_size=1.5",
            "page_size=",
            "page_size=%D9%A1",
            "sort=task_id",
            "status=failed&asset_id=re_1",
            "unmatched=true&submission_id=s",
        ],
    )
    async def test_list_with_a_bad_parameter_returns_400(
        self, results: Results, query: str
    ) -> None:
        """The error names the parameter."""
        error = await results.error(f"/tasks?{query}", 400)
        assert error["code"] == "bad_parameter"
        assert set(error["details"]["wrong"]) <= set(query.replace("=", "&").split("&"))
        assert len(error["details"]["wrong"]) == 1

    async def test_list_with_several_bad_parameters_names_all(self, results: Results) -> None:
        """In one error."""
        error = await results.error("/submissions?state=done&uri=http://x&page_size=0&a=b", 400)
        assert set(error["details"]["wrong"]) == {"state", "uri", "page_size", "a"}

    async def test_page_token_of_another_query_returns_400(self, results: Results) -> None:
        """A token is bound to its filters, and not to the size of its page."""
        await results.put(*(a_task(f"t{number}", asset_id="re_1") for number in range(4)))
        await results.put_submissions(*(a_submission(f"s{number}") for number in range(2)))
        token = (await results.get("/tasks?page_size=2")).json()["next_page_token"]
        assert await results.ids(f"/tasks?page_token={token}&page_size=9") == ["t1", "t0"]
        other = (await results.get("/submissions?page_size=1")).json()["next_page_token"]
        for query in (
            f"tasks?asset_id=re_1&page_token={token}",
            f"tasks?created_after=2020-01-01T00:00:00Z&page_token={token}",
            f"submissions?page_token={token}",
            f"tasks?page_token={other}",
        ):
            error = await results.error(f"/{query}", 400)
            assert error["code"] == "bad_page_token", query

    async def test_altered_page_token_returns_400(self, results: Results) -> None:
        """Wherever it is altered."""
        await results.put(*(a_task(f"t{number}") for number in range(2)))
        token = (await results.get("/tasks?page_size=1")).json()["next_page_token"]
        altered = [
            token[:at] + ("B" if token[at] == "A" else "A") + token[at + 1 :]
            for at in range(len(token))
        ]
        for text in (
            "",
            "x",
            "ä",
            "%00",
            "A" * 1000,
            token[:-1],
            f"{token}=",
            f"{token}A",
            *altered,
        ):
            error = await results.error(f"/tasks?page_token={text}", 400)
            assert error["code"] == "bad_page_token"

    async def test_list_of_submissions_is_filtered_and_paged(self, results: Results) -> None:
        """As the list of tasks is."""
        uri = "gs://bucket/a folder/ä.mp4"
        decomposed = "A\u0308.MP4"
        await results.put_submissions(
            a_submission("a", 1, asset_id="re_1", state=State.SUBMITTED, task_id="t"),
            a_submission("b", 1, source=Source(uri, "1"), search_keys=["ä.mp4", "0" * 16]),
            a_submission("c", 3, source=Source(uri, "2"), state=State.REJECTED, reason="empty"),
        )
        for query, ids in (
            ("", ["c", "b", "a"]),
            ("state=rejected", ["c"]),
            (f"uri={quote(uri, safe='')}", ["c", "b"]),
            ("uri=gs://bucket/", []),
            (f"name={quote(decomposed)}", ["b"]),
            (f"name={'0' * 16}", ["b"]),
            ("name=folder", []),
            ("asset_id=re_1", ["a"]),
            (f"created_after={rfc3339(NOW + timedelta(seconds=2))}", ["c"]),
        ):
            assert await results.ids(f"/submissions?{query}") == ids, query
        assert await results.all_ids("/submissions", 1) == [["c"], ["b"], ["a"]]
