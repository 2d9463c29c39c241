"""The function ``submit``, through the framework."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.description import check_answer
from tests.environments import environment
from tests.fakes import Outage, Sleeper, TryOnce
from tests.functional.framework import Loaded, load
from tests.pipeline import Pipeline
from transcripts.errors import ObjectForbidden, ObjectUnreadable, TranscriptsError
from transcripts.mavi.answers import (
    Ambiguous,
    AnswerLost,
    AssetState,
    RateLimited,
    Refusal,
    Refused,
)
from transcripts.retry import Retrier
from transcripts.submissions.submission import submission_id_of_asset

ENVIRON = environment("submit")
ID = submission_id_of_asset("re_1")


class SubmitClient:
    """Submit with fakes inside."""

    def __init__(self, loaded: Loaded, **fakes: Any) -> None:
        self.loaded = loaded
        self.pipeline = Pipeline()
        self.compose(**fakes)

    def compose(self, **fakes: Any) -> None:
        parts: dict[str, Any] = {
            "documents": self.pipeline.documents,
            "objects": self.pipeline.objects,
            "queue": self.pipeline.queue,
            "provider": self.pipeline.provider,
            "log": self.pipeline.lines.log,
            "retrier": Retrier(sleep=Sleeper()),
        }
        self.loaded.compose(
            clock=self.pipeline.clock, sleep=self.pipeline.sleeper, **(parts | fakes)
        )

    async def post(self, order: Any = None, **options: Any) -> Any:
        async with self.loaded.client() as http:
            if "content" not in options:
                options["json"] = order if order is not None else {"asset_id": "re_1"}
            path = options.pop("path", "/")
            answer = await http.post(path, **options)
        check_answer("POST", path, answer.status_code, answer.json())
        return answer


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> SubmitClient:
    return SubmitClient(load("submit", ENVIRON, monkeypatch))


async def test_submit_twice_returns_the_same_task(client: SubmitClient) -> None:
    """The first answer is 202, the second 200."""
    first, second = await client.post(), await client.post()
    expected = {"task_id": "task-1", "submission_id": ID, "status": "submitted", "labels": {}}
    assert (first.status_code, first.json()) == (202, expected | {"duplicate": False})
    assert (second.status_code, second.json()) == (200, expected | {"duplicate": True})


async def test_submit_identical_requests_buys_once(client: SubmitClient) -> None:
    """Of a hundred requests at once, one gets 202 and the others 200."""
    answers = await asyncio.gather(*(client.post() for _ in range(100)))
    assert sorted(answer.status_code for answer in answers) == [200] * 99 + [202]
    assert client.pipeline.provider.submitted == ["re_1"]


@pytest.mark.parametrize(
    ("provider_answers", "states", "status", "code"),
    [
        ([Ambiguous()], [AssetState.MISSING] * 2, 404, "asset_not_found"),
        ([Ambiguous()], [AssetState.WAITING], 409, "asset_not_ready"),
        ([AnswerLost("timeout")], [], 504, "submit_unknown"),
        ([RateLimited()] * 7, [], 429, "provider_rate_limited"),
        ([Refused(Refusal.AUTH, 401)], [], 502, "provider_auth"),
        ([Refused(Refusal.NO_CREDIT, 402)], [], 502, "provider_no_credit"),
        ([Refused(Refusal.NO_WEBHOOK, 400)], [], 502, "provider_no_webhook"),
        ([Refused(Refusal.ERROR, 409)], [], 502, "provider_error"),
    ],
)
async def test_submit_refused_returns_status_code_and_remedy(
    client: SubmitClient, provider_answers: list[Any], states: list[Any], status: int, code: str
) -> None:
    """Every code has its status and its remedy."""
    client.pipeline.provider.answers = list(provider_answers)
    client.pipeline.provider.states = list(states)
    answer = await client.post()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert len(error["message"]) > 30
    assert ("retry-after" in answer.headers) == (status == 429)


async def test_submit_after_a_lost_answer_returns_409_until_forced(client: SubmitClient) -> None:
    """Only ``force`` buys again."""
    client.pipeline.provider.answers = [AnswerLost("timeout")]
    assert (await client.post()).status_code == 504
    again = await client.post()
    assert (again.status_code, again.json()["error"]["code"]) == (409, "submit_unknown")
    forced = await client.post({"asset_id": "re_1", "force": True})
    assert (forced.status_code, forced.json()["duplicate"]) == (202, False)


async def test_submit_over_the_spend_cap_returns_429(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer has ``Retry-After``."""
    client = SubmitClient(load("submit", ENVIRON | {"MAX_SUBMISSIONS_PER_DAY": "1"}, monkeypatch))
    assert (await client.post({"asset_id": "re_2"})).status_code == 202
    answer = await client.post()
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "budget_exhausted")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"content": b"{}"}, 415, "unsupported_media_type"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "invalid_json"),
        ({"order": {}}, 400, "invalid_body"),
        ({"path": "/other"}, 404, "not_found"),
        (
            {"content": b" " * (2**20 + 1), "headers": {"content-type": "application/json"}},
            413,
            "body_too_large",
        ),
    ],
)
async def test_submit_with_a_bad_body_returns_4xx(
    client: SubmitClient, options: dict[str, Any], status: int, code: str
) -> None:
    """Nothing is sent to the provider."""
    answer = await client.post(**options)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert client.pipeline.provider.submitted == []


async def test_other_method_returns_405(client: SubmitClient) -> None:
    """The answer has the code ``method_not_allowed``."""
    async with client.loaded.client() as http:
        assert (await http.get("/")).status_code == 405


async def test_without_a_store_returns_503(client: SubmitClient) -> None:
    """Nothing is bought."""
    pipeline = client.pipeline
    pipeline.documents.before = Outage(10**6)
    client.compose(retrier=TryOnce())
    answer = await client.post()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    assert pipeline.provider.submitted == []


async def test_submit_list_returns_202(client: SubmitClient) -> None:
    """The same list gets the same answer; assets that were bought are duplicates."""
    await client.post({"asset_id": "re_1"})
    answer = await client.post({"asset_ids": ["re_1", "re_2", "re_2"]})
    assert answer.status_code == 202
    queued = submission_id_of_asset("re_2")
    empty: dict[str, Any] = {"unknown": [], "deleted": [], "labels": {}, "failed": []}
    assert answer.json() == {"queued": [queued], "duplicates": [ID], **empty}
    assert client.pipeline.queue.tasks == {f"{queued}-0": queued}


async def test_submit_object_is_enqueued_and_run(client: SubmitClient) -> None:
    """The request may name the object's generation or not."""
    stored = client.pipeline.objects.put("talk.mp4", b"media")
    for body in ({"uri": stored.uri}, {"uri": stored.uri, "generation": "1"}):
        answer = await client.post(body)
        assert answer.status_code == 202
    (submission_id,) = answer.json()["queued"]
    run = await client.post({"submission_id": submission_id})
    assert run.status_code == 200
    assert run.json() == {
        "submission_id": submission_id,
        "state": "submitted",
        "task_id": "task-1",
        "reason": None,
    }
    again = await client.post({"uri": stored.uri})
    assert again.json()["duplicates"] == [submission_id]


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"uri": "gs://uploads/none.mp4"}, 404, "object_not_found"),
        ({"uri": "gs://uploads/notes.txt"}, 400, "object_refused"),
        ({"uri": "notes.txt"}, 400, "invalid_uri"),
        ({"uri": "gs://uploads/a.mp4", "generation": "x"}, 400, "invalid_generation"),
        ({"asset_ids": []}, 400, "invalid_body"),
        ({"asset_ids": ["re_1"] * 1001}, 400, "invalid_body"),
        ({"asset_ids": ["../x"]}, 400, "invalid_asset_id"),
        ({"asset_id": "re_1", "uri": "gs://uploads/a.mp4"}, 400, "invalid_body"),
        ({"submission_id": "x"}, 400, "invalid_submission_id"),
    ],
)
async def test_submit_object_refused_returns_its_reason(
    client: SubmitClient, order: dict[str, Any], status: int, code: str
) -> None:
    """Nothing is enqueued."""
    client.pipeline.objects.put("notes.txt", b"text", content_type="text/plain")
    answer = await client.post(order)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert client.pipeline.queue.tasks == {}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ObjectForbidden("injected"), 503, "object_forbidden"),
        (ObjectUnreadable("requester_pays", "injected"), 400, "requester_pays"),
    ],
)
async def test_submit_object_that_cannot_be_read_tells_why(
    client: SubmitClient, error: TranscriptsError, status: int, code: str
) -> None:
    """An object that an administrator can repair gets 503, every other 400."""

    def refuse(*_: object) -> Any:
        raise error

    objects = client.pipeline.objects
    objects.stat = refuse  # type: ignore[method-assign,assignment] # one test's own storage
    answer = await client.post({"uri": "gs://uploads/a.mp4"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_run_to_repeat_returns_409_with_retry_after(client: SubmitClient) -> None:
    """A 503 would slow down the whole queue."""
    stored = client.pipeline.objects.put("talk.mp4", b"media")
    (submission_id,) = (await client.post({"uri": stored.uri})).json()["queued"]
    client.pipeline.provider.busy_s = 300.0
    answer = await client.post({"submission_id": submission_id})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "retry_later")
    assert answer.headers["retry-after"] == "300"
