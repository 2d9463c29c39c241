"""Classifying the provider's answers: was a job bought?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_envelope import JSON_VALUES
from transcripts.mavi.answers import (
    REFUSED_STATUSES,
    Accepted,
    Ambiguous,
    AnswerLost,
    AssetState,
    DeleteAnswer,
    RateLimited,
    Refusal,
    Refused,
    Sent,
    SignedUrl,
    SubmitAnswer,
    Unreachable,
    Uploaded,
    read_delete_answer,
    read_metadata_answer,
    read_sent_answer,
    read_submit_answer,
    read_upload_answer,
)

ACCEPTED = {"code": 200, "msg": "success", "success": True, "failed": False}


def submit(status: int, content: Any, retry_after_s: float = 0.0) -> SubmitAnswer:
    return read_submit_answer(status, json.dumps(content).encode(), retry_after_s)


@pytest.mark.parametrize("code", [200, "200", "0000"])
def test_submit_answer_accepted_has_a_task(code: Any) -> None:
    """The code of an accepted answer may be a number or a string."""
    content = ACCEPTED | {"code": code, "data": {"task_id": "abc"}}
    assert submit(200, content) == Accepted("abc")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 400, Ambiguous()),
        (200, "0001", Ambiguous()),
        (200, "0003", Ambiguous()),
        (401, 401, Refused(Refusal.AUTH, 401)),
        (200, "0401", Refused(Refusal.AUTH, 401)),
        (403, 403, Refused(Refusal.AUTH, 403)),
        (200, "9009", Refused(Refusal.AUTH, 403)),
        (402, 402, Refused(Refusal.NO_CREDIT, 402)),
        (200, "0402", Refused(Refusal.NO_CREDIT, 402)),
        (429, 429, RateLimited()),
        (200, "0429", RateLimited()),
        (200, 429, RateLimited()),
        (404, 404, Refused(Refusal.ERROR, 404)),
        (409, 409, Refused(Refusal.ERROR, 409)),
        (415, 415, Refused(Refusal.ERROR, 415)),
        (301, None, Refused(Refusal.ERROR, 301)),
        (408, 408, AnswerLost("http_408")),
        (500, 500, AnswerLost("http_500")),
        (502, None, AnswerLost("http_502")),
        (503, None, AnswerLost("http_503")),
        (200, 500, AnswerLost("http_500")),
    ],
)
def test_submit_answer_refused_is_classified(
    status: int, code: Any, expected: SubmitAnswer
) -> None:
    """The HTTP status decides, or the code inside a 200 of the older generation."""
    assert submit(status, {"code": code, "msg": "Request has exceeded the limit."}) == expected


@pytest.mark.parametrize(
    "content",
    [
        ACCEPTED,
        ACCEPTED | {"data": None},
        ACCEPTED | {"data": {"task_id": ""}},
        ACCEPTED | {"data": {"task_id": 7}},
        ACCEPTED | {"data": {"task_id": "x" * 129}},
        ACCEPTED | {"data": {"task_id": "abc"}, "failed": True},
        ACCEPTED | {"data": {"task_id": "abc"}, "success": False},
        {"code": "7777"},
        {},
        [],
        "text",
    ],
)
def test_submit_answer_unclear_is_lost(content: Any) -> None:
    """An unclear answer may mean a job, so the request is not repeated."""
    assert isinstance(submit(200, content), AnswerLost)


def test_submit_answer_unreadable_is_lost() -> None:
    """The body may have been cut off."""
    assert isinstance(read_submit_answer(200, b'{"code": 200, "da', 0.0), AnswerLost)


def test_submit_answer_without_a_webhook_is_read_from_its_text() -> None:
    """A missing webhook has another remedy than other refusals."""
    text = "An async request requires at least one webhook."
    assert submit(400, {"code": 400, "msg": text}) == Refused(Refusal.NO_WEBHOOK, 400)
    assert submit(400, {"code": 400, "msg": "webhook"}) == Ambiguous()
    assert submit(400, [text]) == Ambiguous()


@pytest.mark.parametrize("status", [102, 103, 199, 300, 302, 303, 304, 410, 413, 422, 499, 520])
def test_submit_answer_with_a_status_that_is_no_known_refusal_is_lost(status: int) -> None:
    """A proxy may answer it although Mavi has accepted the request."""
    assert submit(status, {"code": status}) == AnswerLost(f"http_{status}")


def test_submit_answer_refused_by_an_undocumented_code_is_lost() -> None:
    """The code inside a 200 is judged as a status is."""
    assert submit(200, {"code": 499}) == AnswerLost("http_499")


def test_submit_answer_after_a_byte_order_mark_is_read() -> None:
    """JSON may begin with one."""
    body = json.dumps(ACCEPTED | {"data": {"task_id": "abc"}}).encode("utf-8-sig")
    assert read_submit_answer(200, body, 0.0) == Accepted("abc")


def test_submit_answer_rate_limited_has_the_pause_that_mavi_asks_for() -> None:
    """Whether the status says so or the code inside a 200."""
    assert submit(429, {}, 7.0) == submit(200, {"code": "0429"}, 7.0) == RateLimited(7.0)


@given(
    st.integers(100, 599),
    st.binary(max_size=50) | JSON_VALUES.map(lambda v: json.dumps(v).encode()),
)
def test_submit_answer_of_any_bytes_is_classified(status: int, body: bytes) -> None:
    """No answer raises, and only a known refusal means that nothing was bought."""
    answer = read_submit_answer(status, body, 0.0)
    if not 200 <= status < 300:
        assert isinstance(answer, AnswerLost) is (status not in REFUSED_STATUSES)
    if isinstance(answer, Accepted):
        assert 200 <= status < 300
    read_metadata_answer(status, body, 0.0)


def metadata(*resources: Any, code: Any = 200) -> bytes:
    return json.dumps({"code": code, "data": {"total": 1, "resource": list(resources)}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, metadata({"upload_status": "SUCCESS"}), AssetState.READY),
        (200, metadata({"upload_status": "SUCCESS"}, code="0000"), AssetState.READY),
        (200, metadata({"upload_status": "WAITING"}), AssetState.WAITING),
        (200, metadata({"upload_status": "UPLOADING"}), AssetState.UPLOADING),
        (200, metadata({"upload_status": "FAILED"}), AssetState.FAILED),
        (200, metadata({"upload_status": "NEW"}), AssetState.UNKNOWN),
        (200, metadata({}), AssetState.UNKNOWN),
        (200, metadata(None), AssetState.UNKNOWN),
        (200, metadata(), AssetState.MISSING),
        (200, b'{"code": 200, "data": null}', AssetState.MISSING),
        (400, b'{"code": 400, "msg": "Asset not found"}', AssetState.MISSING),
        (404, b"", AssetState.MISSING),
        (401, b"", None),
        (403, b"", None),
        (429, b"", RateLimited(0.0)),
        (500, b"", None),
        (200, b'{"code": "0429"}', RateLimited(0.0)),
        (200, b'{"code": "0001"}', AssetState.MISSING),
        (200, b"<html>", None),
    ],
)
def test_asset_state_is_read_from_the_metadata(
    status: int, body: bytes, expected: AssetState | RateLimited | None
) -> None:
    """Every upload status has its state, and so has a missing asset."""
    assert read_metadata_answer(status, body, 0.0) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Sent.ACCEPTED),
        (204, Sent.ACCEPTED),
        (307, Sent.REFUSED),
        (403, Sent.REFUSED),
        (408, Sent.UNREACHABLE),
        (429, Sent.UNREACHABLE),
        (503, Sent.UNREACHABLE),
    ],
)
def test_sent_answer_is_classified_by_its_status(status: int, expected: Sent) -> None:
    """The provider documents nothing else about this answer."""
    assert read_sent_answer(status) is expected


def test_status_300_is_no_success() -> None:
    """Redirects are not followed, so the body of a 3xx is not the answer of the endpoint."""
    body = json.dumps(ACCEPTED | {"data": {"task_id": "abc", "asset_id": "re_1"}}).encode()
    assert read_submit_answer(300, body, 0.0) == AnswerLost("http_300")
    assert read_upload_answer(300, body, 0.0) == Refused(Refusal.ERROR, 300)
    assert read_metadata_answer(300, metadata({"upload_status": "SUCCESS"}), 0.0) is None
    assert read_sent_answer(300) is Sent.REFUSED


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://signed.example/x", SignedUrl("re_1", "https://signed.example/x")),
        ("http://127.0.0.1/x", SignedUrl("re_1", "http://127.0.0.1/x")),
        ("ftp://signed.example/x", Uploaded("re_1")),
        (7, Uploaded("re_1")),
        (None, Uploaded("re_1")),
    ],
)
def test_upload_answer_has_an_address_or_an_asset(url: Any, expected: Any) -> None:
    """An address counts only if HTTP can reach it."""
    content = {"code": "0000", "data": {"asset_id": "re_1", "signed_url": url}}
    assert read_upload_answer(200, json.dumps(content).encode(), 0.0) == expected


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (200, "0401", Refused(Refusal.AUTH, 401)),
        (200, "0402", Refused(Refusal.NO_CREDIT, 402)),
        (200, "0403", Refused(Refusal.AUTH, 403)),
        (200, "0409", Refused(Refusal.ERROR, 409)),
        (200, "0429", RateLimited(3.0)),
        (200, "9009", Refused(Refusal.AUTH, 403)),
        (200, "0001", None),
        (200, "0003", None),
        (200, "7777", None),
        (408, None, Unreachable()),
        (503, None, Unreachable()),
        (103, None, Unreachable()),
        (499, None, Unreachable()),
        (413, None, Refused(Refusal.ERROR, 413)),
    ],
)
def test_upload_answer_refused_is_classified(status: int, code: str | None, expected: Any) -> None:
    """The older generation of the API sends errors as HTTP 200."""
    body = json.dumps({"code": code}).encode()
    assert read_upload_answer(status, body, 3.0) == expected


@pytest.mark.parametrize(("code", "status"), [("0403", 403), ("0409", 409)])
def test_submit_answer_refused_inside_a_200_is_classified_by_its_code(
    code: str, status: int
) -> None:
    """Every code that the provider documents has its status."""
    refusal = Refusal.AUTH if status == 403 else Refusal.ERROR
    assert submit(200, {"code": code}) == Refused(refusal, status)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"code": 200, "data": null}', DeleteAnswer.GONE),
        (200, b'{"code": "0000"}', DeleteAnswer.GONE),
        (404, b"", DeleteAnswer.GONE),
        (400, b'{"code": 400}', None),
        (200, b'{"code": "0001"}', None),
        (200, b'{"code": "0401"}', DeleteAnswer.REFUSED),
        (401, b"", DeleteAnswer.REFUSED),
        (402, b"", DeleteAnswer.REFUSED),
        (403, b"", DeleteAnswer.REFUSED),
        (200, b"<html>", DeleteAnswer.UNAVAILABLE),
        (302, b"", DeleteAnswer.UNAVAILABLE),
        (429, b"", DeleteAnswer.UNAVAILABLE),
        (500, b"", DeleteAnswer.UNAVAILABLE),
    ],
)
def test_delete_answer_is_classified(
    status: int, body: bytes, expected: DeleteAnswer | None
) -> None:
    """Only an answer that says so proves that an asset is gone."""
    assert read_delete_answer(status, body) == expected
