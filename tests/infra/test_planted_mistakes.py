"""Mistakes planted into copies of ``infra/``, one each: a promise, or Terraform, has to object.

They show that the rules see what they are for. A mistake that goes unnoticed is a rule to write.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.infra.test_promises import RULES, planned, ready
from tests.infra.workbench import EVERYTHING, TerraformFailed, Workbench

pytestmark = pytest.mark.terraform

TERRAFORM: Final = "terraform itself"


class Mistake(NamedTuple):
    """In ``file``, the first ``right`` is replaced by ``wrong``; that rule notices."""

    name: str
    file: str
    right: str
    wrong: str
    noticed_by: str
    everything: bool = False
    """Planned with every option on."""


BY_KIND: Final = {
    kind: [Mistake(**mistake) for mistake in mistakes]
    for kind, mistakes in tomllib.loads(
        Path(__file__).with_name("mistakes.toml").read_text()
    ).items()
}
MISTAKES: Final = [mistake for mistakes in BY_KIND.values() for mistake in mistakes]


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """One that can plan; where that needs an account, all of this is skipped."""
    bench = ready()
    planned({}, bench)
    return bench


def noticed(mistake: Mistake, bench: Workbench) -> set[str]:
    """Return the names of the rules that object."""
    copy = bench.copy()
    path = copy.folder / mistake.file
    text = path.read_text()
    assert mistake.right in text, "the mistake no longer fits: plant it anew"
    path.write_text(text.replace(mistake.right, mistake.wrong, 1))
    try:
        plan = copy.plan(EVERYTHING if mistake.everything else {})
    except TerraformFailed:
        return {TERRAFORM}
    return {rule.__name__ for rule in RULES if list(rule(plan))}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_the_mistake_is_noticed(mistake: Mistake, bench: Workbench) -> None:
    """By the rule that is about it."""
    assert mistake.noticed_by in noticed(mistake, bench)


def test_every_rule_notices_something() -> None:
    """A rule that no planted mistake sets off may be blind."""
    noticing = {mistake.noticed_by for mistake in MISTAKES}
    assert {rule.__name__ for rule in RULES} - noticing == set()


def test_half_of_the_mistakes_are_of_wiring_and_roles() -> None:
    """These are what validation never sees."""
    assert len(MISTAKES) >= 20
    assert len(BY_KIND["wiring"]) + len(BY_KIND["roles"]) >= len(MISTAKES) / 2
