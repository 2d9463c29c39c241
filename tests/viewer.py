"""Transcripts for the tests of the viewer: one as people have it, and a hostile one."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from tests.fakes import NOW
from transcripts.callbacks.kinds import Kind
from transcripts.ids import label_pairs
from transcripts.submissions.submission import State, Submission
from transcripts.tasks.task import (
    Provider,
    Segment,
    Source,
    Speaker,
    SpeakerName,
    Status,
    Task,
)

HOSTILE = (
    '<script>boom("text")</script>',
    '"><img src=x onerror=boom()>',
    "' onmouseover='boom()' x='",
    "</title><script>boom()</script>",
    "]]><svg onload=boom()>",
    "javascript:boom()",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp;lt;",
    "\x00\x07\u202e<b>",
)
"""Texts that do harm on a page that does not escape them."""

SAID = (
    (0, "Good morning. Shall we start with the survey of the north wall?"),
    (1, "Yes. It came back on Friday, and the numbers are better than we feared."),
    (1, "The crack has not moved since March."),
    (0, "That is good news. What does the insurer say?"),
    (2, "They want a second opinion before they pay for the scaffolding."),
    (2, "I have asked two engineers, and one can come on Tuesday."),
    (0, "Then let us take the one on Tuesday."),
    (1, "Agreed. I will send the drawings today."),
)


def spoken(count: int, speakers: int = 3) -> tuple[list[Segment], list[Speaker]]:
    """Return so many lines of a conversation, and its speakers."""
    segments = [
        Segment(
            start_s=index * 4.5,
            end_s=index * 4.5 + 4.0,
            speaker=f"s{(SAID[index % len(SAID)][0] + index // 40) % speakers + 1}",
            text=SAID[index % len(SAID)][1],
        )
        for index in range(count)
    ]
    totals = []
    for number in range(1, speakers + 1):
        own = [each for each in segments if each.speaker == f"s{number}"]
        totals.append(
            Speaker(
                id=f"s{number}",
                name=f"Speaker {number}",
                segment_count=len(own),
                word_count=sum(len(each.text.split()) for each in own),
                talk_time_s=4.0 * len(own),
                share=len(own) / max(count, 1),
                first_start_s=own[0].start_s if own else 0.0,
            )
        )
    return segments, totals


def a_transcript(task_id: str = "t", count: int = 24, speakers: int = 3, **changes: object) -> Task:
    """Return a finished task whose segments are inline."""
    segments, listed = spoken(count, speakers)
    fields: dict[str, object] = {
        "kind": Kind.MULTI_SPEAKER,
        "status": Status.SUCCEEDED,
        "submission_id": "bought",
        "asset_id": "re_0001",
        "source": Source("gs://recordings/2026/site meeting.mp4", "1", "video/mp4", 1_000_000),
        "labels": {"case": "north wall"},
        "created_at": NOW,
        "duration_s": segments[-1].end_s if segments else 0.0,
        "segment_count": count,
        "word_count": sum(each.word_count for each in listed),
        "speakers": listed,
        "segments": segments,
    } | changes
    labels = fields["labels"]
    if isinstance(labels, dict):
        fields["label_pairs"] = label_pairs(labels)
    return Task(task_id=task_id, **fields)  # type: ignore[arg-type] # each has its type


def hostile_transcript(task_id: str = "hostile") -> Task:
    """Return a transcript whose every text is hostile."""
    segments = [
        Segment(index * 2.0, index * 2.0 + 1.5, f"s{index + 1}", text)
        for index, text in enumerate(HOSTILE)
    ]
    speakers = [
        Speaker(f"s{index + 1}", text, 1, 3, 1.5, 1 / len(HOSTILE), index * 2.0)
        for index, text in enumerate(HOSTILE)
    ]
    return replace(
        a_transcript(task_id, labels={HOSTILE[0]: HOSTILE[1]}),
        source=Source("gs://b/" + HOSTILE[1] + HOSTILE[5] + ".mp4", "1", HOSTILE[0], 1),
        created_at=NOW - timedelta(days=30),
        asset_id="re_0002",
        provider=Provider(HOSTILE[0], HOSTILE[1], HOSTILE[2]),
        speakers=speakers,
        segments=segments,
        duration_s=2.0 * len(HOSTILE),
        speaker_names=[SpeakerName(HOSTILE[1], HOSTILE[3])],
    )


def long_transcript(task_id: str = "wide") -> Task:
    """Return a transcript whose every name is long and has no place to break."""
    word = "Donaudampfschifffahrtsgesellschaft" * 5
    task = a_transcript(task_id, labels={word[:60]: word[:60]}, asset_id=word)
    return replace(
        task,
        source=Source(f"gs://recordings/{word}.mp4", "1"),
        created_at=NOW - timedelta(days=40),
        speaker_names=[SpeakerName(each.name, f"{each.id}{word}") for each in task.speakers],
        segments=[replace(each, text=word) for each in task.segments],
    )


def a_list() -> tuple[list[Task], list[Submission]]:
    """Return a task in every state, and submissions that are stuck or rejected."""
    tasks = [
        a_transcript("meeting"),
        a_transcript(
            "interview",
            count=400,
            speakers=2,
            source=Source("gs://recordings/interview with Ada.m4a", "1", "audio/mp4", 9),
            labels={"case": "12", "client": "Ardent"},
            created_at=NOW - timedelta(hours=3),
            speaker_names=[SpeakerName("Speaker 1", "Ada"), SpeakerName("Speaker 2", "Ben")],
        ),
        Task(
            task_id="waits",
            submission_id="b2",
            source=Source("gs://recordings/board call.mp3", "1"),
            labels={"client": "Ardent"},
            created_at=NOW,
        ),
        Task(
            task_id="late",
            submission_id="b3",
            status=Status.OVERDUE,
            source=Source("gs://recordings/town hall.mov", "1"),
            created_at=NOW - timedelta(days=1),
        ),
        Task(
            task_id="broken",
            submission_id="b4",
            status=Status.FAILED,
            source=Source("gs://recordings/static noise.wav", "1"),
            provider=Provider("5001", "No speech was found", None),
            created_at=NOW - timedelta(days=2),
        ),
        hostile_transcript(),
        long_transcript(),
    ]
    entries = [
        (State.REJECTED, "too_large", "gs://recordings/whole week.mov"),
        (State.REJECTED, "not_media", "gs://recordings/notes.pdf"),
        (State.SUBMIT_UNKNOWN, None, "gs://recordings/call 17.mp3"),
        (State.UPLOADING, None, "gs://recordings/call 18.mp3"),
    ]
    submissions = [
        Submission(
            submission_id=f"e{index}",
            state=state,
            reason=reason,
            source=Source(uri, "1"),
            created_at=NOW,
            updated_at=NOW,
        )
        for index, (state, reason, uri) in enumerate(entries)
    ]
    return tasks, submissions
