"""Transcripts that are hard to write: by hand, and generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from unicodedata import category

from hypothesis import strategies as st

from transcripts.exports.export import export
from transcripts.exports.options import Options, SpeakerLabels
from transcripts.tasks.task import Segment, Source, Speaker, SpeakerName, Task

NAMES: Final = ("Ada Example", "Ben & <Jerry>", "李雷")

SCRIPTS: Final[dict[str, str]] = {
    "latin": "Über die Brücke, “naïve” façade: c'est déjà l'été à Łódź, não é? " * 3,
    "han": "我们今天开会讨论这个项目的进展情况。首先请李明介绍目前的状况，然后再讨论预算。" * 2,
    "kana": "今日はプロジェクトの進み具合について、話し合いましょう。ちょっと待ってくださいね！"
    * 2,
    "arabic": "مرحبا بكم في هذا الاجتماع، سنبدأ بمناقشة ميزانية المشروع. هل أنتم مستعدون؟ " * 2,
    "devanagari": "नमस्ते, आज हम परियोजना की प्रगति पर चर्चा करेंगे। क्या आप तैयार हैं? " * 2,
    "thai": "สวัสดีครับทุกคน วันนี้เราจะคุยกันเรื่องความคืบหน้าของโครงการและงบประมาณน้ำท่วม " * 2,
    "hangul": "안녕하세요, 오늘은 프로젝트의 진행 상황에 대해 이야기하겠습니다. 준비되셨나요? " * 2,
    "hebrew": "שלום לכולם, היום נדון בתקציב. מוכנים? " * 2,
    "emoji": "Well 👨‍👩‍👧‍👦 done 🇩🇪🇫🇷 team 👍🏽! " * 5,
}

HOSTILE_TEXTS: Final[dict[str, str]] = {
    "tags": "<inaudible> AT&T, 111 << 222 </v> <00:00:01.000> &amp; &lt;",
    "arrow": "a --> b ---> c ----> d <!-- -->",
    "only an arrow": "-->",
    "looks like a cue": "12\n00:00:01,000 --> 00:00:02,000\nnot a cue",
    "blank lines": "first\n\nsecond\r\n\r\nthird\n\n\n",
    "trailing newlines": "end\n\n",
    "carriage return and tab": "a\rb\tc\r\nd",
    "only a number": "12",
    "empty": "",
    "only blanks": " \n\t ",
    "only an ideographic blank": "\u3000\u00a0",
    "controls": "a\x00b\x07c\x1bd\x7fe\x85f\x0bg\x0ch\x1ci",
    "not for XML": "a\ufffeb\uffffc ]]> d",
    "separators": "a\u2028b\u2029c",
    "lone surrogate": "a\ud800b\udc00c",
    "surrogate pair": "a\ud83d\ude00b",
    "byte-order mark": "\ufeffa\u200bb\u202ec",
    "backslashes": "\\N {note} {\\an8} \\h a\\nb",
    "formula": '=HYPERLINK("http://x";"a")',
    "quotes": "say \"no\", 'yes'; a,b",
    "markdown": "# *a* _b_ [c](d) `e` <f> 1. g | h ~i~ \\ - j ![k] &copy;",
    "list": "- a",
    "ordered list": "12. a",
    "rule": "---",
    "setext": "===",
    "note": "NOTE this is text",
    "style": "STYLE",
    "header": "WEBVTT",
    "long word": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
    * 2,
    "long ASCII word": "x" * 300,
    "marks": "e" + "\u0301" * 200 + " a",
    "yaml": "key: [a, {b: c}] #d",
}

TIMES: Final[Mapping[str, tuple[tuple[float, float], ...]]] = {
    "rounding": ((0.9995, 1.9996), (1.9996, 59.9999), (59.9999, 3599.9995)),
    "start is zero": ((0.0, 2.0),),
    "no length": ((5.0, 5.0), (5.0, 5.0), (5.0, 5.0), (9.0, 9.0)),
    "negative length": ((5.0, 4.0), (6.0, 0.0)),
    "overlaps": ((0.0, 20.0), (2.0, 3.0), (2.5, 30.0), (2.5, 2.6), (19.0, 21.0)),
    "long": ((0.0, 3600.0), (3600.0, 3601.0)),
    "short": ((0.0, 0.001), (0.001, 0.002), (0.002, 0.5), (0.6, 0.7)),
    "more than 99 hours": ((359_999.5, 360_001.5), (3_600_000.0, 3_600_002.25)),
    "thirty years": ((1e9, 1e9), (2e9, 3e9)),
}


def make_task(segments: Sequence[Segment], names: Sequence[str] = NAMES, **changes: Any) -> Task:
    """Make the task of these segments, whose speakers are ``s1`` and so on."""
    speakers = [
        Speaker(
            id=f"s{number}",
            name=name,
            segment_count=sum(segment.speaker == f"s{number}" for segment in segments),
            word_count=7 * number,
            talk_time_s=1.5,
            share=0.25,
            first_start_s=float(number),
            face_ids=[f"face{number}"],
        )
        for number, name in enumerate(names, 1)
    ]
    fields: dict[str, Any] = {
        "task_id": "0123456789abcdef",
        "source": Source("gs://uploads/2026/Planning meeting.mp4", "1"),
        "duration_s": max((segment.end_s for segment in segments), default=0.0),
        "segment_count": len(segments),
        "speakers": speakers,
        "speech_s": 1.5 * len(names),
    }
    return Task(**fields | changes)


def renamed(task: Task, names: Mapping[str, str]) -> list[SpeakerName]:
    """Return people's names for the speakers of a task, by id."""
    return [
        SpeakerName(speaker.name, names[speaker.id])
        for speaker in task.speakers
        if speaker.id in names
    ]


def write(format_name: str, segments: Sequence[Segment], **choices: Any) -> str:
    """Write segments in a text format, from an iterator that can be read once."""
    task = choices.pop("task", None) or make_task(segments)
    written = b"".join(export(format_name, task, iter(segments), Options(**choices)))
    return written.decode()


def _all_fixtures() -> dict[str, list[Segment]]:
    texts = SCRIPTS | HOSTILE_TEXTS
    found = {
        name: [
            Segment(0.0, 4.0, "s1", text),
            Segment(4.0, 9.5, "s2", text),
            Segment(10.0, 12.0, "s2", "Yes."),
        ]
        for name, text in texts.items()
    }
    found |= {
        name: [
            Segment(start, end, f"s{index % 3 + 1}", f"Line number {index}, and more. " * 4)
            for index, (start, end) in enumerate(times)
        ]
        for name, times in TIMES.items()
    }
    found["nothing"] = []
    found["speaker not listed"] = [Segment(0.0, 1.0, "s9", "Who?"), Segment(1.0, 2.0, "", "Me.")]
    found["everything"] = [
        Segment(index * 3.0, index * 3.0 + 2.9, f"s{index % 3 + 1}", text)
        for index, text in enumerate(texts.values())
    ]
    return found


FIXTURES: Final = _all_fixtures()


def squeezed(text: str) -> str:
    """Return what of a text has to be in every export: no blanks, no controls, no half characters.

    It is written without the code under test.
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(
        character
        for character in whole
        if not character.isspace()
        and category(character) != "Cc"
        and character not in "\ufffe\uffff"
    )


def milliseconds(seconds: float) -> float:
    """Return what exports write for a time, give or take one half."""
    return min(max(seconds, 0.0), 1e9) * 1000


TEXTS: Final = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=120),
    st.sampled_from([*SCRIPTS.values(), *HOSTILE_TEXTS.values()]),
    st.lists(
        st.sampled_from([*HOSTILE_TEXTS.values(), "word", "and", "so,", "end."]), max_size=9
    ).map(" ".join),
)
_LENGTHS: Final = st.one_of(
    st.sampled_from([0.0, 0.001, 0.1, 3.5, 60.0]), st.floats(-2.0, 40.0, allow_subnormal=False)
)
_GAPS: Final = st.one_of(
    st.sampled_from([0.0, 0.0005, 0.5, 4.0, 400_000.0]), st.floats(0.0, 10.0, allow_subnormal=False)
)


@st.composite
def transcripts(draw: st.DrawFn, *, overlapping: bool = True) -> list[Segment]:
    """Generate segments in the order of their starts, with any text."""
    segments: list[Segment] = []
    at = draw(_GAPS)
    for _ in range(draw(st.integers(0, 6))):
        length = draw(_LENGTHS)
        speaker = draw(st.sampled_from(["s1", "s2", "s3"]))
        segments.append(Segment(at, at + length, speaker, draw(TEXTS)))
        at += draw(_GAPS) + (0.0 if overlapping else max(length, 0.0))
    return segments


ALWAYS: Final = SpeakerLabels.ALWAYS
NONE: Final = SpeakerLabels.NONE
