"""Names of the files of exports."""

from __future__ import annotations

import re
from email.message import Message
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcripts.errors import UnknownFormat
from transcripts.exports.file_names import content_disposition, file_name
from transcripts.tasks.task import Source, Task


def task(uri: str | None, asset_id: str | None = None) -> Task:
    source = Source(uri, "1") if uri is not None else None
    return Task(task_id="0123456789abcdef", asset_id=asset_id, source=source)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("gs://b/Planning meeting.mp4", "Planning meeting.srt"),
        ("gs://b/2026/01/a.b.mp4", "a.b.srt"),
        ("gs://b/no-extension", "no-extension.srt"),
        ("gs://b/Interview with Dr. Smith", "Interview with Dr. Smith.srt"),
        ("gs://b/Dr. Smith.MP4", "Dr. Smith.srt"),
        ("gs://b/2026.12.01", "2026.12.01.srt"),
        ("gs://b/会议.m4a", "会议.srt"),
        ("gs://b/تسجيل.mp3", "تسجيل.srt"),
        ("gs://b/100%2F.mp4", "100%2F.srt"),
        ('gs://b/a"b<c>d|e?f*g:h\\i.mp4', "a_b_c_d_e_f_g_h_i.srt"),
        ("gs://b/CON.mp4", "_CON.srt"),
        ("gs://b/com1.tar.gz", "_com1.tar.srt"),
        ("gs://b/a\r\nSet-Cookie: x.mp4", "a Set-Cookie_ x.srt"),
        ("gs://b/\u202egnp.exe", "_gnp.srt"),
        ("gs://b/a. .mp4", "a.srt"),
        ("gs://b/.hidden", "hidden.srt"),
        ("gs://b/..mp4", "re_1.srt"),
        ("gs://b/\ud800x.mp4", "\ufffdx.srt"),
        (None, "re_1.srt"),
    ],
)
def test_file_name_is_that_of_the_source(uri: str | None, name: str) -> None:
    """Characters that a file system or a header forbids are replaced; the asset's id is next."""
    assert file_name(task(uri, "re_1"), "srt") == name


def test_file_name_without_source_and_asset_is_the_tasks_id() -> None:
    """A result without a submission has no other name."""
    assert file_name(task(None), "audacity.txt") == "0123456789abcdef.audacity.txt"


@pytest.mark.parametrize("letter", ["a", "\u00e4", "\u4f1a", "\U0001f600"])
def test_file_name_keeps_245_letters(letter: str) -> None:
    """Windows and macOS take 255 UTF-16 units, and so many has a recording's own name."""
    own = letter * (245 // (len(letter.encode("utf-16-le")) // 2))
    assert file_name(task(f"gs://b/{own}.mp4"), "srt") == f"{own}.srt"


def test_file_name_is_not_longer_than_file_systems_take() -> None:
    """A longer name is cut between characters."""
    made = file_name(task("gs://b/a" + "\U0001f600" * 300 + ".mp4"), "podcast.json")
    assert made == "a" + "\U0001f600" * 120 + ".podcast.json"
    assert len(made.encode("utf-16-le")) // 2 in (254, 255)


def test_file_name_of_an_unknown_format_is_refused() -> None:
    """The export raises the same error."""
    with pytest.raises(UnknownFormat):
        file_name(task(None), "pdf")


def read(header: str) -> tuple[str, str]:
    """Read both names of the header: the plain one by the standard library, as browsers did."""
    message = Message()
    message["Content-Disposition"] = header.split("; filename*=", maxsplit=1)[0]
    plain = message.get_filename()
    assert plain is not None
    match = re.fullmatch(r".*; filename\*=UTF-8''([A-Za-z0-9%._~-]*)", header)
    assert match is not None
    return plain, unquote(match[1], errors="strict")


def test_content_disposition_has_the_name_in_both_forms() -> None:
    """Current browsers use the second form of RFC 6266."""
    header = content_disposition("Café 会议 100%.srt")
    assert read(header) == ("Cafe  100_.srt", "Café 会议 100%.srt")
    assert header.startswith('attachment; filename="')
    assert read(content_disposition("\u4f1a\u8bae.audacity.txt"))[0] == "transcript.audacity.txt"
    assert read(content_disposition("Gespr\u00e4ch.srt"))[0] == "Gesprach.srt"


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_file_name_of_any_object_is_safe(name: str) -> None:
    """It is one visible component of a path, and the header that holds it is ASCII."""
    made = file_name(task(f"gs://b/{name}.mp4", "re_1"), "srt")
    assert made.endswith(".srt")
    assert made != ".srt"
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f\x7f]', made)
    assert made[0] not in ". "
    assert len(made.encode("utf-16-le")) <= 510
    header = content_disposition(made)
    assert header.isascii()
    assert header.isprintable()
    assert read(header)[1] == made
