"""The next step in words, for every state."""

from __future__ import annotations

import pytest

from tests import docs
from tests.contracts.results import a_submission, a_task
from tests.unit.test_docs import first_cells, section
from transcripts.results.next_steps import submission_next_step, task_next_step
from transcripts.submissions.submission import State
from transcripts.tasks.task import Status


def test_next_step_of_every_task_but_a_bought_result_is_a_sentence() -> None:
    """A result that a submission bought needs none."""
    for status in Status:
        step = task_next_step(a_task("t", status=status, submission_id="s"))
        assert (step is None) is (status is Status.SUCCEEDED)
        assert step is None or step.endswith(".")
        assert task_next_step(a_task("t", status=status)) is not None


@pytest.mark.parametrize("state", list(State))
def test_next_step_of_every_submission_is_a_sentence(state: State) -> None:
    """With a reason that is not known too."""
    for reason in (None, "a new reason"):
        assert submission_next_step(a_submission("s", state=state, reason=reason)).endswith(".")


def test_next_step_of_a_rejected_submission_follows_its_reason() -> None:
    """Every reason that docs/submissions.md lists has words of its own, but for a broken entry."""
    text = section("## Uploaded objects", (docs.DOCS / "submissions.md").read_text())
    general = submission_next_step(a_submission("s", state=State.REJECTED))
    steps = {
        reason: submission_next_step(a_submission("s", state=State.REJECTED, reason=reason))
        for reason in first_cells(text)
    }
    assert {reason for reason, step in steps.items() if step == general} == {"no_source"}
