"""Reading what a caller of submit wants."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_envelope import JSON_VALUES
from transcripts.errors import RequestError
from transcripts.submissions.requests import SubmitAsset, check_content_type, read_request


def test_an_order() -> None:
    """The asset, and what may go with it."""
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
def test_bad_orders(body: bytes, code: str) -> None:
    """Each is told apart, and its message says what to do."""
    with pytest.raises(RequestError) as caught:
        read_request(body)
    assert (caught.value.code, caught.value.status) == (code, 400)
    assert len(caught.value.message) > 10


def test_a_mistyped_field_is_named() -> None:
    """Ignoring it would buy what was not asked for."""
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
    ],
)
def test_labels_are_bounded(labels: dict[str, str]) -> None:
    """They are stored with every task."""
    with pytest.raises(RequestError) as caught:
        read_request(json.dumps({"asset_id": "re_1", "labels": labels}).encode())
    assert caught.value.code == "invalid_labels"


@pytest.mark.parametrize("value", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_accepted(value: str) -> None:
    """With or without parameters."""
    check_content_type(value)


@pytest.mark.parametrize("value", [None, "", "text/plain", "application/x-www-form-urlencoded"])
def test_other_content_types_are_refused(value: str | None) -> None:
    """415, with the header that is wanted."""
    with pytest.raises(RequestError) as caught:
        check_content_type(value)
    assert caught.value.status == 415
    assert "Content-Type: application/json" in caught.value.message


@given(st.binary(max_size=100) | JSON_VALUES.map(lambda v: json.dumps(v).encode()))
def test_any_body_is_an_order_or_a_400(body: bytes) -> None:
    """Nothing else is raised."""
    try:
        read_request(body)
    except RequestError as error:
        assert error.status == 400
