"""The diagram in docs/submissions.md shows the changes of state that really happen."""

from __future__ import annotations

import re

from tests import docs
from tests.exploration import NEW, explore
from transcripts.submissions.submission import State

LIVES = 250
RARE = {
    ("uploading", "pending"),
    ("uploaded", "submitted"),
    ("uploading", "submit_unknown"),
    ("uploaded", "submit_unknown"),
}
"""What fewer than one life in a hundred meets; ``test_transitions`` shows that each is possible."""


def diagram() -> set[tuple[str, str]]:
    text = (docs.DOCS / "submissions.md").read_text()
    (block,) = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    return set(re.findall(r"^\s+(\S+) --> (\w+)", block, re.MULTILINE))


def test_diagram_names_every_state() -> None:
    """And no other."""
    assert {state for edge in diagram() for state in edge} == {NEW, *State}


async def test_diagram_shows_every_change_of_state_that_happens() -> None:
    """Random lives of submissions meet each arrow but the rarest, and nothing else."""
    seen = set(await explore(LIVES))
    assert seen <= diagram()
    assert diagram() - seen <= RARE
