"""The command `export`: where transcripts are written, and under which names."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pysubs2
import pytest
from msgspec.structs import replace

from cli.commands.export import file_name
from tests.builders import segment
from tests.functional.served_results import do, ok, results, store
from tests.results import Results, a_task
from transcripts.exports.file_names import content_disposition
from transcripts.exports.registry import FORMATS
from transcripts.tasks.task import Source, Status

__all__ = ["results"]

PROGRAM = Path(sys.executable).with_name("transcripts")


async def named(results: Results, task_id: str, file: str) -> None:
    """Store a transcript of a recording with this name."""
    await store(results, task_id, segment(0, text=task_id))
    task = await results.stored(task_id)
    await results.put(replace(task, source=Source(f"gs://uploads/{'0' * 16}/{file}", "1")))


def test_export_imports_no_writer() -> None:
    """The command lists formats and options without the writers, whose import takes 50 ms."""
    program = "import sys, cli.commands.export; print(*sys.modules)"
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    loaded = done.stdout.split()
    assert "transcripts.exports.registry" in loaded
    assert not [name for name in loaded if name.startswith("transcripts.exports.formats.")]


@pytest.mark.parametrize("name", FORMATS)
def test_export_to_a_file_writes_what_results_answers(results: Results, name: str) -> None:
    """Each format, chosen by the end of the file's name."""
    do(store(results, "t", segment(0, text="नमस्ते 会議 السلام"), segment(1)))
    ok("export", "t", "-o", f"out.{name}")
    answer = do(results.get(f"/tasks/t.{name}"))
    assert Path(f"out.{name}").read_bytes() == answer.content


SCRIPTS = {
    "Latin": ("Zoë Müller", "Crème brûlée, s'il vous plaît."),
    "Han": ("王小明", "我们明天开会讨论这个问题。"),
    "kana": ("たなか さくら", "おはようございます、はじめましょう。"),
    "Arabic": ("ليلى حسن", "صباح الخير، لنبدأ الاجتماع."),
    "Devanagari": ("आदित्य शर्मा", "नमस्ते, बैठक शुरू करते हैं।"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_export_after_rename_shows_text_and_name_to_another_parser(
    results: Results, script: str
) -> None:
    """In SRT and WebVTT, in each of five scripts."""
    name, text = SCRIPTS[script]
    do(store(results, "t", segment(0, speaker="Speaker 1", text=text)))
    ok("rename", "t", f"Speaker 1={name}")
    shown = {}
    for ending in ("srt", "vtt"):
        ok("export", "t", "-o", f"out.{ending}")
        cues = pysubs2.load(f"out.{ending}", encoding="utf-8")
        # A line may break between any two characters of Han and kana.
        shown[ending] = "".join("".join(cue.plaintext.split()) for cue in cues)
    assert shown["srt"] == f"{name}:{text}".replace(" ", "")
    assert shown["vtt"] == text.replace(" ", "")
    assert f"<v {name}>" in Path("out.vtt").read_text(encoding="utf-8")


def test_export_to_stdout_writes_bytes_and_nothing_else(results: Results) -> None:
    """Subtitles are the default."""
    do(store(results, "t", segment(0)))
    result = ok("export", "t")
    assert result.stdout.startswith("1\n00:00:00,000 --> ")
    assert result.stderr == ""


def test_export_options_reach_results(results: Results) -> None:
    """Speakers, columns and the byte-order mark."""
    do(store(results, "t", segment(0)))
    output = ok("export", "t", "--speakers", "none", "--bom", "--max-chars", "32").stdout_bytes
    assert output.startswith("\ufeff1\n".encode())
    assert b"Ada" not in output


def test_export_with_an_option_of_another_format_is_a_usage_error(results: Results) -> None:
    """The message lists the options of the format, as they are typed."""
    do(store(results, "t", segment(0)))
    assert "none" in ok("export", "t", "-f", "rttm", "--raw", code=2).stderr
    error = ok("export", "t", "--raw", code=2).stderr
    assert "srt has no option --raw. Its options are: --max-chars, --speakers, --bom." in error


def test_export_to_a_folder_uses_the_name_that_results_gives(results: Results) -> None:
    """The name is readable, and has the format's ending."""
    do(store(results, "t", segment(0)))
    Path("out").mkdir()
    ok("export", "t", "-f", "vtt", "-o", "out")
    (written,) = Path("out").iterdir()
    assert written.suffix == ".vtt"


def test_export_over_an_existing_file_needs_force(results: Results) -> None:
    """No file is replaced by accident."""
    do(store(results, "t", segment(0)))
    Path("a.srt").write_text("mine")
    assert "--force" in ok("export", "t", "-o", "a.srt", code=1).stderr
    assert Path("a.srt").read_text() == "mine"
    ok("export", "t", "-o", "a.srt", "--force")
    assert Path("a.srt").read_text() != "mine"
    assert [path.name for path in Path.cwd().glob(".*")] == []


def test_export_before_the_result_exits_8_and_says_how_to_wait(results: Results) -> None:
    """The result may still come."""
    do(results.put(a_task("t", status=Status.SUBMITTED)))
    assert "transcripts watch t" in ok("export", "t", code=8).stderr


def test_export_of_a_failed_task_exits_5_and_says_how_to_learn_why(results: Results) -> None:
    """No result will come."""
    do(results.put(a_task("t", status=Status.FAILED)))
    assert "transcripts status t" in ok("export", "t", code=5).stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "x.pdf"), "x.pdf has the extension of no format"),
        (("-o", "x.pdf", "-f", "txt"), "x.pdf has the extension of no format"),
        (("-o", "x.srt", "-f", "vtt"), "x.srt has the extension of srt, not of vtt"),
        (("-o", "x.json", "-f", "srt"), "x.json has the extension of json, not of srt"),
        (("--all-formats",), "-o FOLDER"),
        (("--all-formats", "-f", "srt", "-o", "out/"), "not both"),
    ],
)
def test_export_to_a_name_of_another_format_writes_nothing(
    results: Results, arguments: tuple[str, ...], words: str
) -> None:
    """The name would lie about the content."""
    do(store(results, "t", segment(0)))
    assert words in ok("export", "t", *arguments, code=2).stderr
    assert [path.name for path in Path.cwd().iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("output", "name", "begins"),
    [
        ("Interview with Dr. Smith", None, "1\n"),
        ("labels.txt", "audacity.txt", "0.0"),
        ("X.VTT", None, "WEBVTT"),
    ],
)
def test_export_to_a_name_that_fits_its_format_is_written(
    results: Results, output: str, name: str | None, begins: str
) -> None:
    """A dot before a word is no extension, and letter case does not count."""
    do(store(results, "t", segment(0)))
    ok("export", "t", "-o", output, *(("-f", name) if name else ()))
    assert Path(output).read_text().startswith(begins)


def test_export_through_a_link_changes_what_it_leads_to(results: Results) -> None:
    """The link and the mode of the file stay."""
    do(store(results, "t", segment(0)))
    Path("real.srt").write_text("old")
    Path("real.srt").chmod(0o640)
    Path("link.srt").symlink_to("real.srt")
    Path("dangling.srt").symlink_to("new.srt")
    ok("export", "t", "-o", "link.srt", "--force")
    ok("export", "t", "-o", "dangling.srt")
    assert Path("link.srt").is_symlink()
    assert Path("real.srt").read_text() == Path("new.srt").read_text()
    assert stat.S_IMODE(Path("real.srt").stat().st_mode) == 0o640


def test_export_into_a_pipe_writes_through_it(results: Results) -> None:
    """It is not replaced by a file, and needs no --force."""
    do(store(results, "t", segment(0)))
    os.mkfifo("pipe.srt")
    read: list[str] = []

    def read_pipe() -> None:
        read.append(Path("pipe.srt").read_text())

    # A daemon, since it waits for ever if nobody writes.
    reader = threading.Thread(target=read_pipe, daemon=True)
    reader.start()
    ok("export", "t", "-o", "pipe.srt")
    reader.join()
    assert read[0].startswith("1\n00:00:00,000")
    assert Path("pipe.srt").is_fifo()


def test_export_to_dev_stdout_appends_as_the_shell_does(results: Results) -> None:
    """It is what the shell has opened, whatever that is."""
    do(store(results, "t", segment(0)))
    Path("all.srt").write_text("before\n")
    with Path("all.srt").open("ab") as file:
        subprocess.run([PROGRAM, "export", "t", "-o", "/dev/stdout"], stdout=file, check=True)  # noqa: S603 - ours
    assert Path("all.srt").read_text().startswith("before\n1\n00:00:00,000")


def test_export_to_a_full_disk_says_so(results: Results) -> None:
    """It is no bug of the command."""
    do(store(results, "t", segment(0)))
    error = ok("export", "t", "-o", "/dev/full", code=1).stderr
    assert error == "Error: /dev/full cannot be written: No space left on device.\n"


NAMES = ("Gespräch.mp4", "会議.mp4", "会议.mp4", "a" * 245 + ".mp4", "語" * 84 + ".mp4")


def test_export_into_a_new_folder_keeps_the_names_of_the_recordings(results: Results) -> None:
    """In any script, and as long as the file system takes it."""
    for number, name in enumerate(NAMES):
        do(named(results, f"t{number}", name))
    ok("export", *(f"t{number}" for number in range(len(NAMES))), "-o", "new/folder/")
    written = sorted(path.name for path in Path("new/folder").iterdir())
    wanted = [f"{name.removesuffix('.mp4')}.srt" for name in NAMES[:4]] + [f"{'語' * 83}.srt"]
    assert written == sorted(wanted)


def test_export_of_two_recordings_with_one_name_writes_two_files(results: Results) -> None:
    """Neither replaces the other, and a second run replaces nothing without --force."""
    for task_id in ("first", "second"):
        do(named(results, task_id, "talk.mp4"))
    command = ("export", "first", "second", "-f", "txt", "-o", "out")
    ok(*command)
    texts = {path.name: path.read_text() for path in Path("out").iterdir()}
    assert texts.keys() == {"talk.txt", "talk.second.txt"}
    assert "first" in texts["talk.txt"]
    assert "second" in texts["talk.second.txt"]
    assert "--force" in ok(*command, code=1).stderr
    ok(*command, "--force")


def test_export_of_all_formats_writes_each_with_its_options(results: Results) -> None:
    """An option counts for the formats that have it."""
    do(named(results, "t", "talk.mp4"))
    ok("export", "t", "--all-formats", "--bom", "-o", "out")
    assert {path.name for path in Path("out").iterdir()} == {f"talk.{name}" for name in FORMATS}
    assert Path("out/talk.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert not Path("out/talk.ttml").read_bytes().startswith(b"\xef\xbb\xbf")


def test_export_of_several_goes_on_after_one_that_fails(results: Results) -> None:
    """Each failure is said, and the exit code tells it."""
    do(results.put(a_task("open", status=Status.SUBMITTED)))
    do(named(results, "t", "talk.mp4"))
    result = ok("export", "open", "t", "-o", "out", code=8)
    assert "open  There is no transcript. Wait for it: transcripts watch open" in result.stderr
    assert Path("out/talk.srt").exists()


def test_file_name_is_the_one_in_any_script() -> None:
    """https://www.rfc-editor.org/rfc/rfc6266#section-4.3"""
    assert (
        file_name({"Content-Disposition": content_disposition("Gespräch 会.srt")})
        == "Gespräch 会.srt"
    )
    assert file_name({"Content-Disposition": 'attachment; filename="a/../b.srt"'}) == "b.srt"
    reverse = "attachment; filename*=UTF-8''%C3%A4.srt; filename=\"a.srt\""
    assert file_name({"Content-Disposition": reverse}) == "ä.srt"
    assert file_name({}) == "transcript"
