"""Makes the answers of ``results`` from what is stored. Pure."""

from __future__ import annotations

from typing import Final

from transcripts.results.answers import NamedSpeaker, SubmissionView, Summary, TaskHead
from transcripts.results.next_steps import submission_next_step, task_next_step
from transcripts.submissions.submission import Submission
from transcripts.tasks.speakers import ShownSpeakers
from transcripts.tasks.task import ListedFields, ShownFields, Task

MAX_SPEAKERS: Final = 20
"""Of a summary: a page has up to 200 tasks, and a result may name hundreds of speakers."""

SUMMARY_FIELDS: Final = (*ListedFields.__struct_fields__, "speakers", "speaker_names")
"""The fields of a task that its summary needs: a store need not read the segments."""

SUBMISSION_VIEW_FIELDS: Final = tuple(
    name for name in SubmissionView.__struct_fields__ if name in Submission.__struct_fields__
)
"""The fields of a submission that are shown."""


def summary(task: Task, speakers: ShownSpeakers) -> Summary:
    """Return a task in short; of ``task`` only ``SUMMARY_FIELDS`` count."""
    return Summary(
        speakers=[
            NamedSpeaker(**{name: getattr(each, name) for name in NamedSpeaker.__struct_fields__})
            for each in speakers.listed[:MAX_SPEAKERS]
        ],
        speaker_count=len(speakers.listed),
        next_step=task_next_step(task),
        **{name: getattr(task, name) for name in ListedFields.__struct_fields__},
    )


def task_head(task: Task, speakers: ShownSpeakers) -> TaskHead:
    """Return a whole task but for its segments."""
    return TaskHead(
        speakers=speakers.listed,
        next_step=task_next_step(task),
        **{name: getattr(task, name) for name in ShownFields.__struct_fields__},
    )


def submission_view(submission: Submission) -> SubmissionView:
    """Return what is shown of an entry of which ``SUBMISSION_VIEW_FIELDS`` are read."""
    fields = {name: getattr(submission, name) for name in SUBMISSION_VIEW_FIELDS}
    return SubmissionView(**fields, next_step=submission_next_step(submission))
