"""A task in short: which speakers it shows, and how they are called."""

from __future__ import annotations

from tests.unit.exports.samples import make_task
from transcripts.results.views import MAX_SPEAKERS, summary
from transcripts.tasks.speakers import shown_speakers
from transcripts.tasks.task import Segment, SpeakerName


def test_summary_of_many_speakers_shows_the_first_and_counts_all() -> None:
    """A page of summaries stays small, whoever is named."""
    names = [f"Speaker {number}" for number in range(MAX_SPEAKERS + 5)]
    task = make_task([Segment(0.0, 1.0, "s1", "Yes.")], names)
    found = summary(task, shown_speakers(task))
    assert found.speaker_count == MAX_SPEAKERS + 5
    assert [each.name for each in found.speakers] == names[:MAX_SPEAKERS]


def test_summary_of_a_renamed_speaker_has_both_names() -> None:
    """The display name is the person's, the name stays Mavi's."""
    task = make_task([], ["SPEAKER_00", ""], speaker_names=[SpeakerName("SPEAKER_00", "Ada")])
    shown = [(each.given_name, each.name) for each in summary(task, shown_speakers(task)).speakers]
    assert shown == [("SPEAKER_00", "Ada"), ("", "Unknown")]
