"""TTML subtitles in the text profile of IMSC, for broadcasters (https://www.w3.org/TR/ttml-imsc1.1/).

The language of a transcript is unknown, so ``xml:lang`` is empty, which means unknown. Speakers are
agents of the document, and their names stand before the text as in SRT.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from transcripts.exports.cues import with_names
from transcripts.exports.transcript import Transcript, clock, title
from transcripts.text import xml_text

_HEAD: Final = """<?xml version="1.0" encoding="UTF-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttm="http://www.w3.org/ns/ttml#metadata"\
 xmlns:ttp="http://www.w3.org/ns/ttml#parameter" xmlns:tts="http://www.w3.org/ns/ttml#styling"\
 ttp:timeBase="media" ttp:contentProfiles="http://www.w3.org/ns/ttml/profile/imsc1.1/text"\
 xml:lang="">
<head>
<metadata>
"""
_LAYOUT: Final = """</metadata>
<layout>
<region xml:id="bottom" tts:origin="10% 10%" tts:extent="80% 80%" tts:displayAlign="after"\
 tts:textAlign="center"/>
</layout>
</head>
<body region="bottom">
<div>
"""
_END: Final = "</div>\n</body>\n</tt>\n"


def write(transcript: Transcript) -> Iterator[str]:
    """Write a paragraph for each cue, its lines separated by ``<br/>``."""
    yield f"{_HEAD}<ttm:title>{xml_text(title(transcript.task))}</ttm:title>\n"
    agents: dict[str, str] = {}
    for speaker in transcript.speakers.listed:
        agents[speaker.id] = f' ttm:agent="{speaker.id}"'
        yield (
            f'<ttm:agent xml:id="{speaker.id}" type="person">'
            f'<ttm:name type="full">{xml_text(speaker.name)}</ttm:name></ttm:agent>\n'
        )
    yield _LAYOUT
    for cue, shown in with_names(transcript):
        text = xml_text(shown).replace("\n", "<br/>")
        agent = agents.get(cue.speaker.id, "")
        start, end = clock(cue.start_ms, "."), clock(cue.end_ms, ".")
        yield f'<p begin="{start}" end="{end}"{agent}>{text}</p>\n'
    yield _END
