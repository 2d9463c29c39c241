"""Reading a list item by item."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_envelope import JSON_VALUES
from transcripts.errors import PoisonMessage
from transcripts.tasks import values
from transcripts.tasks.values import MAX_ITEMS, Scalar, read_items


class Item(msgspec.Struct):
    a: Scalar = None
    b: Scalar = None


def read(text: str | bytes) -> list[Item | None]:
    return list(read_items(msgspec.Raw(text if isinstance(text, bytes) else text.encode()), Item))


def expected(value: Any) -> list[Item | None]:
    listed = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
    return [
        Item(*(None if isinstance(x := each.get(n), dict | list) else x for n in ("a", "b")))
        if isinstance(each, dict)
        else None
        for each in listed
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", []),
        ("[ ]", []),
        ("null", []),
        ('"text"', []),
        ("7", []),
        ('{"a": 1}', [Item(1)]),
        ('[{"a": 1, "c": [2]}, null, "x", {"b": "y"}]', [Item(1), None, None, Item(None, "y")]),
        ('[{"a": [1], "b": true}]', [Item(None, b=True)]),
        ('[{"a": {"b": 1}}]', [Item()]),
        ('[{"a": 1e999}, {"a": "1"}]', [Item(float("inf")), Item("1")]),
        ("[[{}], [[]]]", [None, None]),
    ],
)
def test_read_items_of_any_shape_yields_objects_and_none(
    text: str, found: list[Item | None]
) -> None:
    """Objects are read, a structure in a field is null, and anything else is no item."""
    assert read(text) == found


TRICKY = st.recursive(
    st.text(st.sampled_from('},{[]":,\\ aé😀'), max_size=12) | st.integers(0, 9) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "},{", "c,"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(TRICKY, max_size=20), st.integers(2, 60), st.sampled_from([None, 1]))
def test_read_items_in_slices_of_any_size_is_the_same(
    value: list[Any], size: int, indent: int | None
) -> None:
    """A slice that ends in the middle of a text or a structure is made longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "SLICE_BYTES", size)
        assert read(json.dumps(value, ensure_ascii=False, indent=indent)) == expected(value)


@given(JSON_VALUES)
def test_read_items_of_any_json_does_not_raise(value: Any) -> None:
    """A value that is correct JSON is read as if it had been decoded at once."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        decoded = msgspec.json.decode(text.encode(errors="surrogatepass"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert read(text) == expected(decoded)


@pytest.mark.parametrize("item", ["{}", "1", '""', "[]"])
def test_read_items_over_the_limit_raises_poison(item: str) -> None:
    """A list with more items than any transcript is refused, whatever the items are."""
    with pytest.raises(PoisonMessage, match="more than 600000 items"):
        read("[" + ",".join([item] * (MAX_ITEMS + 1)) + "]")


def test_read_items_nested_too_deep_raises_poison() -> None:
    """An item that no decoder accepts can never be stored."""
    with pytest.raises(PoisonMessage, match="nested too deep"):
        read("[" * 100_000 + "]" * 100_000)
