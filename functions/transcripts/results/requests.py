"""The parameters of a request's query, read together: one error names everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from starlette.datastructures import QueryParams

from transcripts.errors import RequestError
from transcripts.results.filters import Parser

RESOLUTION: Final = timedelta(microseconds=1)
"""The step between two times in every store."""


def read_parameters(parsers: Mapping[str, Parser], query: QueryParams) -> dict[str, Any]:
    """Return the value of each parameter that is given.

    Raises one ``RequestError`` (``bad_parameter``) for all that are unknown, repeated or wrong.
    """
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name in dict.fromkeys(query.keys()):
        given = query.getlist(name)
        if name not in parsers:
            wrong[name] = "is not known"
        elif len(given) > 1:
            wrong[name] = "must be given once"
        else:
            try:
                values[name] = parsers[name](given[0])
            except ValueError as error:
                wrong[name] = str(error)
    if wrong:
        raise bad_parameters(wrong, parsers)
    return values


def bad_parameters(wrong: Mapping[str, str], known: Mapping[str, Parser]) -> RequestError:
    """Return the error that says of each wrong parameter what it must be."""
    sentences = [f"{name[:100]} {problem}." for name, problem in wrong.items()]
    names = list(known)
    return RequestError(
        " ".join([*sentences, f"The parameters are: {', '.join(names) or 'none'}."]),
        code="bad_parameter",
        details={"wrong": {name[:100]: text for name, text in wrong.items()}, "parameters": names},
    )


def switch(text: str) -> bool:
    """Read ``true`` or ``false``."""
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def moment(text: str) -> datetime:
    """Read an RFC 3339 time, with its offset from UTC."""
    try:
        found = msgspec.convert(text, datetime)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        pass
    raise ValueError("must be an RFC 3339 time such as 2026-01-31T12:00:00Z; write + as %2B")


def moment_before(text: str) -> datetime:
    """Read a time, and return the last one before it."""
    try:
        return moment(text) - RESOLUTION
    except OverflowError:
        raise ValueError("must be a time after the year 1") from None


def page_size(text: str) -> int:
    """Read the size of a page; a list reduces one that is too large."""
    if not re.fullmatch("[0-9]{1,100}", text) or not int(text):
        raise ValueError("must be a whole number, at least 1")
    return int(text)
