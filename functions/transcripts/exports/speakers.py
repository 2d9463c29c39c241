"""Speakers as people name them: two names with one display name are one speaker, everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from transcripts.tasks.names import UNKNOWN_SPEAKER, name_key
from transcripts.tasks.task import Speaker, SpeakerName
from transcripts.text import one_line

# Byte-order mark, zero-width space, word joiner, and the marks of writing direction.


class DisplayedSpeaker(msgspec.Struct, frozen=True):
    """A speaker as exports show one.

    ``id`` is that of the first of the provider's speakers it stands for, ``name`` what people call
    it, ``provider_names`` what the provider calls it. ``talk_time_s`` and the counts are sums.
    """

    id: str
    name: str
    provider_names: list[str]
    segment_count: int
    word_count: int
    talk_time_s: float
    share: float
    first_start_s: float
    face_ids: list[str]


class DisplayedSpeakers:
    """The speakers of a transcript, in the order of their first word."""

    def __init__(self, by_id: Mapping[str, DisplayedSpeaker]) -> None:
        """The keys are the provider's ids; several may share one speaker."""
        self._by_id = dict(by_id)
        self.listed: Sequence[DisplayedSpeaker] = list(
            {speaker.id: speaker for speaker in by_id.values()}.values()
        )

    def of(self, speaker_id: str) -> DisplayedSpeaker:
        """Return the speaker of a segment; one that the task does not list is ``Unknown``."""
        return self._by_id.get(speaker_id, _UNLISTED)


_UNLISTED: Final = DisplayedSpeaker("s0", UNKNOWN_SPEAKER, [], 0, 0, 0.0, 0.0, 0.0, [])


def display_names(speaker_names: Sequence[SpeakerName]) -> dict[str, str]:
    """Return people's names for speakers by the key of the provider's; a blank one is none."""
    shown = ((each.name, one_line(each.display_name)) for each in speaker_names)
    return {name_key(name): display for name, display in shown if name_key(display)}


def displayed_speakers(
    speakers: Sequence[Speaker], speaker_names: Sequence[SpeakerName]
) -> DisplayedSpeakers:
    """Join the provider's speakers that have one display name."""
    chosen = display_names(speaker_names)
    joined: dict[str, list[Speaker]] = {}
    spellings: dict[str, str] = {}
    for speaker in speakers:
        name = chosen.get(name_key(speaker.name)) or one_line(speaker.name)
        key = name_key(name)
        spellings.setdefault(key, name if key else UNKNOWN_SPEAKER)
        joined.setdefault(key or UNKNOWN_SPEAKER, []).append(speaker)
    by_id: dict[str, DisplayedSpeaker] = {}
    for key, parts in joined.items():
        shown = _sum(spellings.get(key, UNKNOWN_SPEAKER), parts)
        by_id |= {part.id: shown for part in parts}
    return DisplayedSpeakers({each.id: by_id[each.id] for each in speakers})


def _sum(name: str, parts: Sequence[Speaker]) -> DisplayedSpeaker:
    return DisplayedSpeaker(
        id=parts[0].id,
        name=name,
        provider_names=[part.name for part in parts],
        segment_count=sum(part.segment_count for part in parts),
        word_count=sum(part.word_count for part in parts),
        talk_time_s=round(sum(part.talk_time_s for part in parts), 6),
        share=min(sum(part.share for part in parts), 1.0),
        first_start_s=min(part.first_start_s for part in parts),
        face_ids=[face for part in parts for face in part.face_ids],
    )
