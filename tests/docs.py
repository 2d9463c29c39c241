"""The tables in docs/ that are made from the code.

``python -m tests.docs --write`` writes them; ``tests/unit/test_docs.py`` fails if they are stale.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from transcripts.settings import FUNCTIONS
from transcripts.submissions.submission import OPEN, State
from transcripts.submissions.transitions import TRANSITIONS, Target

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
    """Yield the table of what the holder of a lease records."""
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


TABLES: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "settings": settings,
    "transitions": transitions,
}


def rendered(text: str) -> str:
    """Return a page with its tables as the code has them."""

    def fill(found: re.Match[str]) -> str:
        table = "\n".join(TABLES[found[1]]())
        return f"<!-- generated: {found[1]} -->\n{table}\n<!-- end -->"

    return re.sub(r"<!-- generated: (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


if __name__ == "__main__":
    for page in sorted(DOCS.glob("*.md")):
        page.write_text(rendered(page.read_text()))
        print(page.name, file=sys.stderr)
