"""Errors: what an operator reads, and what a caller is answered."""

from __future__ import annotations

import pytest

from transcripts import errors
from transcripts.errors import BodyTooLarge, RequestError, SubmissionError, TranscriptsError

SENTENCE = "Ask again later."


def test_text_of_an_error_is_its_message() -> None:
    """Whatever arguments it was made of: the text is what a traceback shows."""
    assert str(BodyTooLarge(7)) == BodyTooLarge(7).message == "The body is over 7 bytes."
    assert str(SubmissionError("submit_unknown", SENTENCE)) == SENTENCE


def test_details_of_an_error_are_a_copy() -> None:
    """What the caller of the constructor changes later is not answered."""
    given = {"reason": "folder"}
    error = RequestError("No.", details=given)
    given["reason"] = "changed"
    assert error.details == {"reason": "folder"}
    assert TranscriptsError("No.").details == {}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("asset_not_found", 404),
        ("asset_not_ready", 409),
        ("submission_in_progress", 409),
        ("submit_unknown", 504),
        ("provider_rate_limited", 429),
        ("budget_exhausted", 429),
        ("provider_auth", 502),
        ("provider_no_credit", 502),
        ("provider_no_webhook", 502),
        ("provider_error", 502),
    ],
)
def test_status_of_a_submission_error_follows_from_its_code(code: str, status: int) -> None:
    """The contract with every caller; a status that is given takes its place."""
    error = SubmissionError(code, SENTENCE, details={"a": 1}, retry_after_s=5)
    assert (error.status, error.details, error.retry_after_s) == (status, {"a": 1}, 5)
    assert SubmissionError(code, SENTENCE, status=418).status == 418


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [
        ("PoisonMessage", "poison_message", 422),
        ("MessageTooLarge", "message_too_large", 413),
        ("ObjectNotFound", "object_not_found", 404),
        ("DocumentRefused", "document_refused", 422),
        ("BodyNotReceived", "body_not_received", 503),
        ("PublishUnavailable", "publish_unavailable", 503),
        ("QueueUnavailable", "queue_unavailable", 503),
        ("ObjectUnavailable", "object_unavailable", 503),
        ("RetryLater", "retry_later", 409),
        ("StoreUnavailable", "store_unavailable", 503),
        ("Conflict", "store_conflict", 503),
    ],
)
def test_code_and_status_of_an_error_are_part_of_the_contract(
    name: str, code: str, status: int
) -> None:
    """Callers, the queue and Pub/Sub act on them."""
    error = getattr(errors, name)(SENTENCE)
    assert (error.code, error.status, error.message) == (code, status, SENTENCE)
