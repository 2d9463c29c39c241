"""The parts of docs/ that are made from the code.

``python -m tests.docs`` writes them; ``tests/unit/test_docs.py`` fails if they are stale. A table
of fields keeps what its last column says of each field.
"""

from __future__ import annotations

import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from transcripts.exports.options import DEFAULTS, OPTIONS
from transcripts.exports.registry import FORMATS
from transcripts.log_events import EVENTS
from transcripts.results import filters
from transcripts.results.filters import FILTERS, Parser
from transcripts.settings import FUNCTIONS
from transcripts.submissions import submission
from transcripts.submissions.submission import OPEN, State
from transcripts.submissions.transitions import TRANSITIONS, Target
from transcripts.tasks import task

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"


def settings() -> Iterator[str]:
    """Yield the table of every environment variable of the functions."""
    yield "| variable | used by | default | meaning |"
    yield "| --- | --- | --- | --- |"
    functions: dict[str, list[str]] = {}
    defaults: dict[str, str | None] = {}
    meanings: dict[str, str] = {}
    for function, kind in FUNCTIONS.items():
        for variable in kind.variables():
            functions.setdefault(variable.name, []).append(function)
            required = variable.default is None or defaults.get(variable.name, "") is None
            defaults[variable.name] = None if required else variable.default
            meanings[variable.name] = variable.meaning
    for name, default in defaults.items():
        shown = "required" if default is None else f"`{default}`" if default else "none"
        users = functions[name]
        used_by = "all" if len(users) == len(FUNCTIONS) else ", ".join(sorted(users))
        yield f"| `{name}` | {used_by} | {shown} | {meanings[name]} |"


def transitions() -> Iterator[str]:
    """Yield the table of the events that the holder of a lease records."""
    yield "| event | allowed in | new state | lease |"
    yield "| --- | --- | --- | --- |"
    for event, row in TRANSITIONS.items():
        target = row.target if isinstance(row.target, Target) else f"`{row.target}`"
        yield f"| {event} | {_states(row.allowed)} | {target} | {row.lease} |"


def _states(states: frozenset[State]) -> str:
    if states == OPEN:
        return "every open state"
    missing = [f"`{state}`" for state in State if state not in states]
    if len(missing) == 1:
        return f"every state but {missing[0]}"
    return ", ".join(f"`{state}`" for state in State if state in states)


STORED: Final[Mapping[str, type[msgspec.Struct]]] = {
    name: kind
    for module in (task, submission)
    for name, kind in vars(module).items()
    if isinstance(kind, type)
    and issubclass(kind, msgspec.Struct)
    and kind not in (task.ListedFields, task.ShownFields)
}
"""The stored documents and their parts."""

_TYPES: Final = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    bytes: "bytes",
    datetime: "timestamp",
    types.NoneType: "null",
}


def fields(kind: type[msgspec.Struct], contents: Mapping[str, str]) -> Iterator[str]:
    """Yield the table of a document's fields; ``contents`` describes each field."""
    yield "| field | type | content |"
    yield "| --- | --- | --- |"
    for field in msgspec.structs.fields(kind):
        yield f"| `{field.name}` | {_type(field.type)} | {contents.get(field.name, '')} |"


def _type(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Annotated:
        return _type(typing.get_args(annotation)[0])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_type, arguments))
    if origin is list:
        return f"array of {_type(arguments[0])}"
    if origin is dict:
        return f"map of {_type(arguments[1])}"
    if issubclass(annotation, StrEnum):
        return "string"
    return f"`{annotation.__name__}`" if annotation in STORED.values() else _TYPES[annotation]


def contents(table: str) -> dict[str, str]:
    """Return the text of the last column of a table, by field."""
    rows = (line.split("|") for line in table.splitlines() if line.startswith("| `"))
    return {row[1].strip(" `"): "|".join(row[3:-1]).strip() for row in rows}


def formats() -> Iterator[str]:
    """Yield the table of the formats of exports."""
    yield "| format | content | options |"
    yield "| --- | --- | --- |"
    for row in FORMATS.values():
        options = ", ".join(f"`{name}`" for name in OPTIONS if name in row.options)
        yield f"| `{row.name}` | {row.title}, {row.description} | {options} |"


def format_names() -> Iterator[str]:
    """Yield the formats as the values of a parameter."""
    yield from (f"- {name}" for name in FORMATS)


def export_options() -> Iterator[str]:
    """Yield the options of exports as parameters."""
    for name, option in OPTIONS.items():
        values = ", ".join(f'"{value}"' for value in option.values)
        default = getattr(DEFAULTS, name)
        text = next(text for text, value in option.values.items() if value == default)
        yield f"- name: {name}"
        yield "  in: query"
        yield f"  description: {option.description}"
        yield f'  schema: {{type: string, enum: [{values}], default: "{text}"}}'


_TEXTS: Final = frozenset({"application/json", "application/x-subrip"})


def export_media_types() -> Iterator[str]:
    """Yield the media types of exports, each with its schema."""
    for media_type in sorted({row.media_type.partition(";")[0] for row in FORMATS.values()}):
        kind = "object" if media_type.endswith("json") else "string"
        is_text = media_type.startswith("text/") or media_type in _TEXTS
        yield f"{media_type}: {{schema: {{type: {kind}}}}}" if is_text else f"{media_type}: {{}}"


_SCHEMAS: Final[Mapping[Parser, str]] = {
    filters.an_id: '{$ref: "#/components/schemas/Id"}',
    filters.label: '{type: string, pattern: "^[^:]+:", maxLength: 1500}',
    filters.uri: '{type: string, pattern: "^gs://", maxLength: 1500}',
    filters.file_name: '{type: string, pattern: "[^/]$", maxLength: 1500}',
    filters.null_if_true: '{type: string, const: "true"}',
}
"""The schemas of the values of filters; those of an enumeration have its name."""


def _filter_parameters(collection: str) -> Iterator[str]:
    """Yield the filters of a list as parameters."""
    for name, row in FILTERS[collection].items():
        schema = _SCHEMAS.get(row.parse, f'{{$ref: "#/components/schemas/{name.capitalize()}"}}')
        yield f"- name: {name}"
        yield "  in: query"
        yield f'  description: "{row.description}"'
        yield f"  schema: {schema}"


def list_filters() -> Iterator[str]:
    """Yield the table of the filters of the lists."""
    yield "| list | filter | selects | in the command |"
    yield "| --- | --- | --- | --- |"
    for collection, rows in FILTERS.items():
        for name, row in rows.items():
            option = f"`{row.option}`" if row.option else ""
            value = f"{name}={row.example}"
            yield f"| `GET /{collection}` | `{value}` | {row.description} | {option} |"


def log_events() -> Iterator[str]:
    """Yield the table of every event that a function logs."""
    yield "| event | severity | fields | meaning | what to do |"
    yield "| --- | --- | --- | --- | --- |"
    for name, event in EVENTS.items():
        names = ", ".join(f"`{each}`" for each in event.fields)
        yield f"| `{name}` | {event.severity} | {names} | {event.meaning} | {event.action} |"


TABLES: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "settings": settings,
    "transitions": transitions,
    "formats": formats,
    "format_names": format_names,
    "export_options": export_options,
    "export_media_types": export_media_types,
    "task_filters": partial(_filter_parameters, "tasks"),
    "submission_filters": partial(_filter_parameters, "submissions"),
    "list_filters": list_filters,
    "log_events": log_events,
}

GENERATED: Final = (*sorted(DOCS.glob("*.md")), DOCS / "openapi.yaml")
"""The files that may have parts made from the code."""

_PART: Final = re.compile(
    r"^( *)(<!--|#) generated: (\w+)( -->|)\n(.*?)^ *\2 end\4$", re.DOTALL | re.MULTILINE
)


def rendered(text: str) -> str:
    """Return a page with its generated parts as the code has them."""

    def fill(found: re.Match[str]) -> str:
        indent, begin, name, end, table = found.groups()
        lines = fields(STORED[name], contents(table)) if name in STORED else TABLES[name]()
        parts = (f"{begin} generated: {name}{end}", *lines, f"{begin} end{end}")
        return "\n".join(f"{indent}{line}" for line in parts)

    return _PART.sub(fill, text)


if __name__ == "__main__":
    for page in GENERATED:
        page.write_text(rendered(page.read_text()))
        print(page.name, file=sys.stderr)
