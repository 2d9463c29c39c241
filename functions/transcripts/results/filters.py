"""The filters of the lists: one row has everything that is said and done about a filter.

The API, the command, the pages, docs/openapi.yaml and docs/reference.md are made from the rows, and
the indexes of Firestore are compared with them. A list takes one filter beside the times, so each
row needs one composite index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from transcripts.ids import usable_id
from transcripts.submissions.submission import State, search_key
from transcripts.tasks.task import Status

MAX_VALUE_CHARS: Final = 1_500
"""Firestore indexes this many bytes of a text."""

Parser = Callable[[str], Any]
"""Reads a value; raises ``ValueError`` that says what it must be."""


def an_id(text: str) -> str:
    """Read an id."""
    if not usable_id(text):
        raise ValueError("must be 1 to 128 characters A-Z a-z 0-9 _ -")
    return text


def label(text: str) -> str:
    """Read a label, ``key:value``; the key may hold no colon then."""
    key, colon, _ = text.partition(":")
    if not key or not colon or len(text) > MAX_VALUE_CHARS:
        raise ValueError("must be key:value")
    return text


def uri(text: str) -> str:
    """Read the address of an object."""
    if not text.startswith("gs://") or len(text) > MAX_VALUE_CHARS:
        raise ValueError("must be gs://bucket/object")
    return text


def file_name(text: str) -> str:
    """Read the name of a file, without its folders."""
    name = text.rpartition("/")[2]
    if not name or len(text) > MAX_VALUE_CHARS:
        raise ValueError("must be the name of a file")
    return search_key(name)


def null_if_true(text: str) -> None:
    """Read a switch that can only be on, for documents whose field is null."""
    if text != "true":
        raise ValueError("must be true, or left out")


def one_of(values: type[StrEnum]) -> Parser:
    """Return a parser of the members of an enumeration of texts."""

    def parse(text: str) -> Any:
        try:
            return values(text)
        except ValueError:
            raise ValueError(f"must be one of: {', '.join(values)}") from None

    return parse


class Filter(NamedTuple):
    """A parameter that selects documents: by the text of a field, or by an element of a list.

    ``description`` says which documents it selects. ``option`` is the option of `transcripts list`,
    with ``metavar`` for its value; None if the command does not have it. ``shown`` stands on a page
    before the value, None if a tab of the page shows the filter, and ``empty`` says what it means
    that nothing is listed.
    """

    field: str
    parse: Parser
    description: str
    example: str
    empty: str
    shown: str | None = None
    option: str | None = None
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    of_list: bool = False

    @property
    def is_switch(self) -> bool:
        """Whether the only value is ``true``."""
        return self.parse is null_if_true


TASK_FILTERS: Final[Mapping[str, Filter]] = {
    "status": Filter(
        "status",
        one_of(Status),
        "tasks with this status",
        example="failed",
        empty="Nothing is in this state.",
        option="--status",
        # A deleted task is in no list.
        choices=tuple(str(each) for each in Status if each is not Status.DELETED),
    ),
    "asset_id": Filter(
        "asset_id",
        an_id,
        "tasks of this asset",
        example="re_1",
        empty="Nothing was made from this asset.",
        shown="Of the asset",
        option="--asset",
        metavar="re_…",
    ),
    "submission_id": Filter(
        "submission_id",
        an_id,
        "tasks of this submission",
        example="1f6e",
        empty="No transcript is of this submission.",
        shown="Of the submission",
        option="--submission",
        metavar="ID",
    ),
    "label": Filter(
        "label_pairs",
        label,
        "tasks with this label, `key:value`",
        example="case:7",
        empty="Nothing has this label.",
        shown="With the label",
        option="--label",
        metavar="KEY:VALUE",
        of_list=True,
    ),
    "unmatched": Filter(
        "submission_id",
        null_if_true,
        "tasks that no submission of this deployment bought",
        example="true",
        empty="Every transcript was requested here.",
        option="--unmatched",
    ),
}

SUBMISSION_FILTERS: Final[Mapping[str, Filter]] = {
    "state": Filter(
        "state",
        one_of(State),
        "submissions in this state",
        example="pending",
        empty="Nothing is in this state.",
        option="--state",
        choices=tuple(map(str, State)),
    ),
    "uri": Filter(
        "source.uri",
        uri,
        "submissions of every generation of this object",
        example="gs://bucket/object",
        empty="Nothing was uploaded to this address.",
        shown="Uploaded to",
        option="--uri",
        metavar="gs://…",
    ),
    "name": Filter(
        "search_keys",
        file_name,
        "submissions of files with this name, or with the hash that is their object's folder",
        example="interview.mp4",
        empty="No file of this name was uploaded.",
        shown="With the name",
        option="--name",
        metavar="NAME",
        of_list=True,
    ),
    "asset_id": Filter(
        "asset_id",
        an_id,
        "submissions of this asset",
        example="re_1",
        empty="Nothing was made from this asset.",
        shown="Of the asset",
    ),
}

FILTERS: Final[Mapping[str, Mapping[str, Filter]]] = {
    "tasks": TASK_FILTERS,
    "submissions": SUBMISSION_FILTERS,
}
"""The filters of each list, by its collection."""

ORDER: Final = "created_at"

INDEXES: Final = tuple(
    dict.fromkeys(
        (
            collection,
            (each.field, "CONTAINS" if each.of_list else "ASCENDING"),
            (ORDER, "DESCENDING"),
        )
        for collection, filters in FILTERS.items()
        for each in filters.values()
    )
)
"""Collection and fields of each composite index that a list needs: one for each filtered field.
A list without a filter is in the order of an automatic index."""
