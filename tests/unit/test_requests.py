"""Reading what a caller of submit wants."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_envelope import JSON_VALUES
from transcripts.errors import RequestError
from transcripts.submissions.requests import SubmitAsset, read_request


def test_read_request_of_an_asset_returns_it() -> None:
    """The request may have labels and ``force``."""
    assert read_request(b'{"asset_id": "re_1"}') == SubmitAsset("re_1", {}, force=False)
    body = {"asset_id": "re_1", "labels": {"case": "7"}, "force": True}
    assert read_request(json.dumps(body).encode()) == SubmitAsset("re_1", {"case": "7"}, force=True)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"asset_id": "\xff"}', "invalid_json"),
        (b'{"labels": ' + b'{"a":' * 100_000, "invalid_body"),
        (b"[]", "invalid_body"),
        (b"{}", "invalid_body"),
        (b'{"asset_id": null}', "invalid_body"),
        (b'{"asset_id": 7}', "invalid_body"),
        (b'{"asset_id": "re_1", "forse": true}', "invalid_body"),
        (b'{"asset_id": "re_1", "force": "yes"}', "invalid_body"),
        (b'{"asset_id": "re_1", "labels": {"a": 1}}', "invalid_body"),
        (b'{"asset_id": ""}', "invalid_asset_id"),
        (b'{"asset_id": "../re_1"}', "invalid_asset_id"),
        (b'{"asset_id": "re 1"}', "invalid_asset_id"),
        (json.dumps({"asset_id": "x" * 129}).encode(), "invalid_asset_id"),
    ],
)
def test_read_request_of_a_bad_body_raises_its_code(body: bytes, code: str) -> None:
    """The message says what to do."""
    with pytest.raises(RequestError) as caught:
        read_request(body)
    assert (caught.value.code, caught.value.status) == (code, 400)
    assert len(caught.value.message) > 10


def test_read_request_with_an_unknown_field_raises() -> None:
    """Ignoring an unknown field might buy something else."""
    with pytest.raises(RequestError) as caught:
        read_request(b'{"asset_id": "re_1", "forse": true}')
    assert "forse" in caught.value.message


@pytest.mark.parametrize(
    "labels",
    [
        {f"k{n}": "v" for n in range(65)},
        {"": "v"},
        {"k" * 64: "v"},
        {"k": "v" * 257},
        {"__name__": "v"},
    ],
)
def test_read_request_with_too_large_labels_raises(labels: dict[str, str]) -> None:
    """Labels are stored with every task."""
    with pytest.raises(RequestError) as caught:
        read_request(json.dumps({"asset_id": "re_1", "labels": labels}).encode())
    assert caught.value.code == "invalid_labels"


def test_read_request_with_the_largest_labels_keeps_them() -> None:
    """As many, and as long, as the message about larger ones says."""
    labels = {f"{n:k>63}": "v" * 256 for n in range(64)}
    body = json.dumps({"asset_id": "re_1", "labels": labels}).encode()
    assert read_request(body) == SubmitAsset("re_1", labels)


@given(st.binary(max_size=100) | JSON_VALUES.map(lambda v: json.dumps(v).encode()))
def test_read_request_of_any_bytes_returns_or_raises_one_error(body: bytes) -> None:
    """Any bytes give a request or ``RequestError``."""
    try:
        read_request(body)
    except RequestError as error:
        assert error.status == 400
