"""Reading the items of a JSON list one by one, without ever holding all of them.

A transcript of 32 MiB has hundreds of thousands of items. As Python objects they would take several
times its memory, and decoding them in one call would keep every other thread waiting for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from transcripts.callbacks.envelope import NULL, is_object
from transcripts.errors import PoisonMessage
from transcripts.tasks.values import is_structure, scalar

SLICE_BYTES: Final = 128 * 1024
"""How much of a list is decoded in one call; more if its longest item needs more."""

MAX_ITEMS: Final = 600_000
"""As many segments of four fields as fit 32 MiB. Each takes up to 400 bytes of memory, even as an
empty object of two bytes."""

Scalar = str | float | int | bool | None
T = TypeVar("T", bound=msgspec.Struct)


def read_items(raw: msgspec.Raw, kind: type[T]) -> Iterator[T | None]:
    """Yield the objects of a list as ``kind``, a struct of ``Scalar`` fields, and None for others.

    An object is read as a list of one, anything else as an empty list; a structure in a field reads
    as null. ``raw`` is correct JSON. Raises ``PoisonMessage`` for more than ``MAX_ITEMS``.
    """
    if is_object(raw):
        yield _item(raw, kind)
        return
    if not is_structure(raw):
        return
    count = 0
    try:
        for items in _slices(memoryview(raw)[1:-1], kind):
            count += len(items)
            if count > MAX_ITEMS:
                raise PoisonMessage(f"The callback has a list of more than {MAX_ITEMS} items.")
            yield from items
    except RecursionError as error:
        raise PoisonMessage("The callback is nested too deep.") from error


def _slices(inside: memoryview, kind: type[T]) -> Iterator[list[T | None]]:
    """Decode the content between the brackets of a list, slice by slice.

    A slice ends after an object, or at a comma if it holds no object. That may be inside a text or
    a structure, and then the slice is not correct JSON: it is made longer and decoded again.
    """
    at, size = 0, SLICE_BYTES
    while at + size < len(inside):
        window = bytes(inside[at : at + size])
        end = window.rfind(b"},") + 1 or max(window.rfind(b","), 0)
        try:
            items = _decode(window[:end], kind)
        except msgspec.DecodeError:
            items = []
        if not items:
            size *= 2
            continue
        yield items
        at, size = at + end + 1, SLICE_BYTES
    yield _decode(inside[at:], kind)


def _decode(inside: bytes | memoryview, kind: type[T]) -> list[T | None]:
    piece = b"".join((b"[", inside, b"]"))
    try:
        return list(_list_decoder(kind)(piece))
    except msgspec.ValidationError:
        raws = _list_decoder(msgspec.Raw)(piece)
        return [_item(raw, kind) if is_object(raw) else None for raw in raws]


def _item(raw: msgspec.Raw, kind: type[T]) -> T:
    """Read an object field by field: one may be a structure, or a number beyond every float."""
    fields = _raw_decoder(kind)(raw)
    values = [getattr(fields, name) for name in kind.__struct_fields__]
    return kind(*(None if is_structure(value) else scalar(value) for value in values))


@cache
def _list_decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(list[kind]).decode


@cache
def _raw_decoder(kind: type[msgspec.Struct]) -> Any:
    fields = [(name, msgspec.Raw, NULL) for name in kind.__struct_fields__]
    return msgspec.json.Decoder(msgspec.defstruct(f"Raw{kind.__name__}", fields)).decode
