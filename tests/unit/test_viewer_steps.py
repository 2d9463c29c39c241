"""The next step on a page: words for readers, a command and a link."""

from __future__ import annotations

import shlex

from tests.results import a_submission, a_task
from transcripts.submissions.submission import State
from transcripts.tasks.task import Source, Status
from transcripts.uploads.rejections import RejectReason
from transcripts.viewer.states import submission_step, task_step


def test_steps_on_a_page_speak_of_no_call() -> None:
    """Every state and reason: a reader has no fields, parameters or methods."""
    reasons = [None, "duplicate_asset", *(str(each) for each in RejectReason)]
    steps = [
        *(task_step(a_task("t", status=status)) for status in Status),
        *(
            submission_step(a_submission("s", state=state, reason=reason))
            for state in State
            for reason in reasons
        ),
    ]
    for step in steps:
        assert step is not None
        for word in ("POST", "=true", "task_id", "asset_id", "submit_unknown", "with force"):
            assert word not in step.words + step.again
        assert step.words.endswith(".")
        assert bool(step.command) is step.again.endswith(":")


def test_step_that_pays_again_is_a_command_to_copy() -> None:
    """The shell takes the address of any object as one word."""
    overdue = task_step(a_task("t", status=Status.OVERDUE, asset_id="re_1"))
    assert overdue is not None
    assert overdue.command == "transcripts submit --force re_1"
    source = Source("gs://uploads/it's; rm -rf.mp4", "1")
    lost = submission_step(a_submission("s", state=State.SUBMIT_UNKNOWN, source=source))
    assert lost.command is not None
    assert shlex.split(lost.command)[3:] == [source.uri]
    assert lost.link == ("Show them", "unmatched=true")
