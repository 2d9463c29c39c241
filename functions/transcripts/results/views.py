"""Makes the answers of ``results`` from what is stored. Pure."""

from __future__ import annotations

from typing import Final

from transcripts.exports.speakers import display_names
from transcripts.results.answers import NamedSpeaker, SubmissionView, Summary, TaskHead
from transcripts.results.next_steps import submission_next_step, task_next_step
from transcripts.submissions.submission import Submission
from transcripts.tasks.names import UNKNOWN_SPEAKER, name_key
from transcripts.tasks.task import ListedFields, ShownFields, Speaker, SpeakerName, Task
from transcripts.text import one_line

MAX_SPEAKERS: Final = 20
"""Of a summary: a page has up to 200 tasks, and a result may name hundreds of speakers."""

SUMMARY_FIELDS: Final = (*ListedFields.__struct_fields__, "speakers", "speaker_names")
"""The fields of a task that its summary needs: a store need not read the segments."""

SUBMISSION_VIEW_FIELDS: Final = tuple(
    name for name in SubmissionView.__struct_fields__ if name in Submission.__struct_fields__
)
"""The fields of a submission that are shown."""


def summary(task: Task) -> Summary:
    """Return a task in short; of ``task`` only ``SUMMARY_FIELDS`` count."""
    return Summary(
        speakers=named_speakers(task.speakers[:MAX_SPEAKERS], task.speaker_names),
        speaker_count=len(task.speakers),
        next_step=task_next_step(task),
        **{name: getattr(task, name) for name in ListedFields.__struct_fields__},
    )


def named_speakers(speakers: list[Speaker], speaker_names: list[SpeakerName]) -> list[NamedSpeaker]:
    """Return the speakers as Mavi tells them apart, each with the name that people see."""
    chosen = display_names(speaker_names)
    return [
        NamedSpeaker(
            id=speaker.id,
            name=speaker.name,
            display_name=chosen.get(name_key(speaker.name))
            or one_line(speaker.name)
            or UNKNOWN_SPEAKER,
            segment_count=speaker.segment_count,
            word_count=speaker.word_count,
            talk_time_s=speaker.talk_time_s,
            share=speaker.share,
            first_start_s=speaker.first_start_s,
        )
        for speaker in speakers
    ]


def task_head(task: Task) -> TaskHead:
    """Return a whole task but for its segments."""
    return TaskHead(
        speakers=task.speakers,
        next_step=task_next_step(task),
        **{name: getattr(task, name) for name in ShownFields.__struct_fields__},
    )


def submission_view(submission: Submission) -> SubmissionView:
    """Return what is shown of an entry of which ``SUBMISSION_VIEW_FIELDS`` are read."""
    fields = {name: getattr(submission, name) for name in SUBMISSION_VIEW_FIELDS}
    return SubmissionView(**fields, next_step=submission_next_step(submission))
