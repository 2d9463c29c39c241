"""The diagram in docs/submissions.md shows every possible change of state, and no other."""

from __future__ import annotations

import re

from tests import docs
from tests.exploration import explore
from tests.ledger_search import NEW, possible_changes
from transcripts.submissions.submission import OPEN, State

COMPOSITE = "open"
"""The state of the diagram that stands for each state it holds."""


def diagram_block() -> str:
    text = (docs.DOCS / "submissions.md").read_text()
    (block,) = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    return str(block)


def diagram() -> set[tuple[str, str]]:
    """Return the arrows; one from the composite state starts at each state in it."""
    arrows = re.findall(r"^\s+(\S+) --> (\w+)", diagram_block(), re.MULTILINE)
    return {
        (before, after)
        for origin, after in arrows
        for before in (OPEN if origin == COMPOSITE else {origin})
    }


def test_diagram_names_every_state_once() -> None:
    """The composite state holds the open ones; no other state is drawn."""
    assert {state for edge in diagram() for state in edge} == {NEW, *State}
    (inside,) = re.findall(rf"state {COMPOSITE} {{(.*?)}}", diagram_block(), re.DOTALL)
    assert set(re.findall(r"(\w+) --> (\w+)", inside)) <= {(a, b) for a in OPEN for b in OPEN}
    assert {state for pair in re.findall(r"(\w+) --> (\w+)", inside) for state in pair} == OPEN


def test_diagram_equals_every_possible_change_of_state() -> None:
    """An exhaustive search over the decisions finds each arrow, and nothing else."""
    assert diagram() == possible_changes()


async def test_diagram_shows_every_change_that_the_programs_make() -> None:
    """Random runs of the programs on fakes stay within the arrows."""
    assert set(await explore()) <= diagram()
