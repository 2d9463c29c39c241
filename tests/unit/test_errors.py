"""Errors: the message for an operator, and the answer to a caller."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from transcripts import errors
from transcripts.errors import BodyTooLarge, RequestError, SubmissionError, TranscriptsError

SENTENCE = "Ask again later."


def subclasses(kind: type[TranscriptsError], depth: int) -> Iterator[tuple[int, str]]:
    """Yield the classes below ``kind`` as the module's docstring draws them, with their depths."""
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield depth, below.__name__
            yield from subclasses(below, depth + 1)


def test_tree_in_the_docstring_equals_the_classes() -> None:
    """The drawing has every error under its base, in families of permanent and transient ones."""
    drawn = re.findall(r"^ {4}([│├└─ ]*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    tree = [(len(branch) // 4, name) for branch, name in drawn]
    assert tree[0] == (0, "TranscriptsError")
    assert sorted(tree[1:]) == sorted(subclasses(TranscriptsError, 1))
    assert all(getattr(errors, name).__doc__ for _, name in tree)
    assert {name for depth, name in tree if depth == 1} == {"PermanentError", "TransientError"}


def test_text_of_an_error_is_its_message() -> None:
    """A traceback shows the message, for errors with a message of their own and for others."""
    assert str(BodyTooLarge(7)) == BodyTooLarge(7).message == "The body is over 7 bytes."
    assert str(SubmissionError("submit_unknown")) == SubmissionError.REMEDIES["submit_unknown"]


def test_details_of_an_error_are_a_copy() -> None:
    """A later change of the mapping that a caller passed does not change the answer."""
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
    error = SubmissionError(code, details={"a": 1}, retry_after_s=5)
    assert (error.status, error.details, error.retry_after_s) == (status, {"a": 1}, 5)
    assert SubmissionError(code, status=418).status == 418


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
        ("ObjectCorrupted", "object_corrupted", 503),
        ("RetryLater", "retry_later", 409),
        ("StoreUnavailable", "store_unavailable", 503),
        ("StoreMisconfigured", "store_misconfigured", 503),
        ("Conflict", "store_conflict", 503),
    ],
)
def test_code_and_status_of_an_error_are_part_of_the_contract(
    name: str, code: str, status: int
) -> None:
    """Callers, the queue and Pub/Sub depend on code and status."""
    error = getattr(errors, name)(SENTENCE)
    assert (error.code, error.status, error.message) == (code, status, SENTENCE)
