"""The contract of the function ``results``: what it answers, on every backend."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from msgspec.structs import replace

from tests.fakes import NOW
from tests.results import LONG, Results, a_submission, a_task
from transcripts.exports import FORMATS, Options, export
from transcripts.labels import label_pairs
from transcripts.ports import Documents, Read, Write
from transcripts.results.listing import MAX_PAGE_SIZE
from transcripts.submissions.submission import Attempt, State
from transcripts.tasks.task import (
    Source,
    SpeakerName,
    Status,
    Task,
    page_path,
)


def rfc3339(moment: datetime) -> str:
    return quote(moment.isoformat())


SUMMARY = {
    "task_id",
    "kind",
    "status",
    "submission_id",
    "asset_id",
    "source",
    "labels",
    "submitted_at",
    "created_at",
    "received_at",
    "stored_at",
    "expires_at",
    "provider",
    "revision",
    "duration_s",
    "segment_count",
    "word_count",
    "character_count",
    "speech_s",
    "speaker_count",
    "speakers",
    "anomalies",
    "usage",
    "next_step",
}


class ResultsContract:
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
        assert set(summary) == SUMMARY
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

    @pytest.mark.parametrize("count", [0, 3, LONG])
    async def test_task_is_shown_whole(self, results: Results, count: int) -> None:
        """With the segments of all its pages, and without how it is stored."""
        result = await results.put_result(count=count)
        stored = await results.stored("t")
        assert (stored.pages > 1) is (count == LONG)
        answer = await results.get("/tasks/t")
        assert answer.headers["Content-Type"] == "application/json"
        content = answer.json()
        hidden = {"pages", "label_pairs", "first_page", "deleted_revisions"}
        assert set(content) == set(Task.__struct_fields__) - hidden | {"next_step"}
        shown = msgspec.convert({k: v for k, v in content.items() if k != "next_step"}, Task)
        assert shown.segments == result.segments
        assert replace(shown, segments=[]) == replace(stored, segments=[], pages=0, label_pairs=[])

    async def test_task_that_is_known_returns_304(self, results: Results) -> None:
        """Until it changes."""
        await results.put_result()
        tag = (await results.get("/tasks/t")).headers["ETag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            answer = await results.get("/tasks/t", headers={"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["ETag"] == tag
        task = replace(await results.stored("t"), speaker_names=[SpeakerName("Ada Example", "Ä")])
        await results.documents.commit(Write("tasks/t", task, ("speaker_names",)))
        answer = await results.get("/tasks/t", headers={"If-None-Match": tag})
        assert answer.status_code == 200
        assert answer.headers["ETag"] != tag
        assert answer.json()["speaker_names"] == [{"name": "Ada Example", "display_name": "Ä"}]

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

    @pytest.mark.parametrize("name", sorted(FORMATS))
    async def test_export_is_what_the_writer_writes(self, results: Results, name: str) -> None:
        """With people's names; a file that is streamed and a zip also for several pages."""
        result = await results.put_result(count=LONG if name in ("srt", "docx") else 30)
        named = replace(result, speaker_names=[SpeakerName("Ada Example", "Äda")])
        await results.documents.commit(Write("tasks/t", named, ("speaker_names",)))
        answer = await results.get(f"/tasks/t.{name}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == FORMATS[name].media_type
        disposition = answer.headers["Content-Disposition"]
        assert disposition.startswith("attachment; ")
        assert f"filename*=UTF-8''t.{name}" in disposition
        stored = await results.stored("t")
        assert answer.content == b"".join(export(name, stored, result.segments))

    async def test_export_has_a_readable_file_name(self, results: Results) -> None:
        """It is that of the object, in any script."""
        await results.put_result()
        task = replace(await results.stored("t"), source=Source("gs://b/a/会議 1.mp4", "1"))
        await results.documents.commit(Write("tasks/t", task, ("source",)))
        disposition = (await results.get("/tasks/t.srt")).headers["Content-Disposition"]
        assert f"filename*=UTF-8''{quote('会議 1.srt')}" in disposition

    async def test_export_follows_its_options(self, results: Results) -> None:
        """Those of its format."""
        result = await results.put_result()
        answer = await results.get("/tasks/t.srt?max_chars=32&speakers=always&bom=true")
        options = FORMATS["srt"].read_options(
            {"max_chars": "32", "speakers": "always", "bom": "true"}
        )
        assert options != Options()
        stored = await results.stored("t")
        assert answer.content == b"".join(export("srt", stored, result.segments, options))
        assert answer.content.startswith(b"\xef\xbb\xbf")

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("max_chars=33", "bad_option"),
            ("raw=true", "bad_option"),
            ("speakers=", "bad_option"),
            ("bom=1&bom=1", "bad_parameter"),
        ],
    )
    async def test_export_with_a_bad_option_returns_400(
        self, results: Results, query: str, code: str
    ) -> None:
        """Unknown, wrong or repeated."""
        await results.put_result()
        assert (await results.error(f"/tasks/t.srt?{query}", 400))["code"] == code

    @pytest.mark.parametrize("name", ["pdf", "SRT", "audacity", "srt.txt", "srt "])
    async def test_export_in_an_unknown_format_returns_404(
        self, results: Results, name: str
    ) -> None:
        """The error lists the formats."""
        await results.put_result()
        error = await results.error(f"/tasks/t.{name}", 404)
        assert (error["code"], error["details"]["formats"]) == ("unknown_format", list(FORMATS))

    async def test_export_without_a_transcript_returns_409(self, results: Results) -> None:
        """The error says what to do; silence is a transcript."""
        for status in set(Status) - {Status.DELETED}:
            await results.put(a_task(status, status=status))
            if status is Status.SUCCEEDED:
                assert (await results.get(f"/tasks/{status}.txt")).content == b""
                continue
            error = await results.error(f"/tasks/{status}.txt", 409)
            assert error["code"] == "no_transcript"
            assert error["details"] == {"status": status}
            assert "." in error["message"][:-1]

    async def test_transcript_with_a_missing_page_returns_410(self, results: Results) -> None:
        """Before the first byte of a part that looks whole."""
        await results.put_result(count=LONG)
        stored = await results.stored("t")
        assert stored.revision is not None
        await results.remove(page_path("t", stored.revision, stored.pages - 1))
        for path in ("/tasks/t", "/tasks/t.srt", "/tasks/t.docx"):
            error = await results.error(path, 410)
            assert error["code"] == "transcript_incomplete"

    async def test_transcript_replaced_before_it_begins_is_the_new_one(
        self, results: Results, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A reader of the old revision begins again."""
        await results.put_result(count=LONG, revision="r1")
        pages = (await results.stored("t")).pages
        new = await results.put_result(count=LONG + 1, revision="r2")
        documents: Any = self._documents(results)
        read = documents.read
        replaced = False

        async def replacing(*reads: Read[Any]) -> Any:
            """Answer the first read of the task with the old result, whose pages are gone."""
            nonlocal replaced
            found = await read(*reads)
            if not replaced and reads[0].path == "tasks/t":
                replaced = True
                old = replace(found[0].value, revision="r1", pages=pages)
                return [type(found[0])(old, b"old version")]
            return found

        for index in range(pages):
            await results.remove(page_path("t", "r1", index))
        for path in ("/tasks/t", "/tasks/t.json"):
            replaced = False
            with monkeypatch.context() as patch:
                patch.setattr(documents, "read", replacing)
                answer = await results.get(path)
            assert answer.status_code == 200
            content = answer.json()
            assert content["revision"] == "r2"
            assert len(content["segments"]) == len(new.segments)

    @staticmethod
    def _documents(results: Results) -> Documents:
        """Return the store that the function itself reads."""
        module: Any = results.loaded.module
        documents: Documents = module.documents
        return documents

    @pytest.mark.parametrize("path", ["/tasks/t", "/tasks/t.srt", "/tasks/t.whisperx.json"])
    async def test_transcript_that_loses_a_page_breaks_its_connection(
        self, results: Results, path: str
    ) -> None:
        """The answer has begun, so only a broken connection can tell that a part is missing."""
        await results.put_result(count=LONG)
        stored = await results.stored("t")
        last = page_path("t", stored.revision or "", stored.pages - 1)
        stream = results.stream(path)
        await stream.run(on_start=lambda: results.remove(last))
        assert stream.answer.status == 200
        assert stream.answer.body
        assert not stream.complete
        (line,) = [line for line in results.log if line["severity"] != "INFO"]
        assert (line["message"], line["code"]) == ("stream_broken", "transcript_incomplete")

    async def test_list_of_submissions_is_filtered_and_paged(self, results: Results) -> None:
        """As the list of tasks is."""
        uri = "gs://bucket/a folder/ä.mp4"
        await results.put_submissions(
            a_submission("a", 1, asset_id="re_1", state=State.SUBMITTED, task_id="t"),
            a_submission("b", 1, source=Source(uri, "1")),
            a_submission("c", 3, source=Source(uri, "2"), state=State.REJECTED, reason="empty"),
        )
        for query, ids in (
            ("", ["c", "b", "a"]),
            ("state=rejected", ["c"]),
            (f"uri={quote(uri, safe='')}", ["c", "b"]),
            ("uri=gs://bucket/", []),
            ("asset_id=re_1", ["a"]),
            (f"created_after={rfc3339(NOW + timedelta(seconds=2))}", ["c"]),
        ):
            assert await results.ids(f"/submissions?{query}") == ids, query
        assert await results.all_ids("/submissions", 1) == [["c"], ["b"], ["a"]]

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
        await results.put_submissions(
            *(a_submission(f"s{number}", state=state) for number, state in enumerate(states))
        )
        bought = [Status.SUBMITTED, Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED]
        await results.put(
            *(
                a_task(f"t{number}", status=status, submission_id="s")
                for number, status in enumerate([*bought, Status.OVERDUE])
            ),
            a_task("other", status=Status.SUCCEEDED),
            a_task("another", status=Status.UNRECOGNIZED),
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
                "submitted": 5,
                "succeeded": 2,
                "failed": 1,
                "pending": 1,
                "overdue": 1,
                "deleted": 0,
                "balanced": True,
            },
            "unmatched_tasks": 2,
        }

    async def test_accounting_of_a_lost_task_does_not_balance(self, results: Results) -> None:
        """A transcript was bought, and something else was delivered."""
        await results.put(a_task("t", status=Status.UNRECOGNIZED, submission_id="s"))
        content = (await results.get("/accounting")).json()
        assert (content["balanced"], content["tasks"]["balanced"]) == (False, False)
        assert content["submissions"]["balanced"] is True

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

    async def test_head_returns_the_head_of_get(self, results: Results) -> None:
        """Nothing is written for it."""
        await results.put_result(count=LONG)
        for path in ("/tasks/t", "/tasks/t.srt"):
            whole = await results.get(path)
            head = await results.request("HEAD", path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers == whole.headers
        assert (await results.request("HEAD", "/tasks/none")).status_code == 404
