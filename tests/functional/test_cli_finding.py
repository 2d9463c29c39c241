"""A recording is found by what a user has in hand: its content, its name, its address, an id."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cli.client.lookup import Found
from cli.client.uploads import object_name, read_content
from tests.builders import segment
from tests.command_line import is_command_line
from tests.functional.served_results import do, ok, results, store
from tests.results import Results, a_submission, a_task, whole_task
from transcripts.errors import SubmissionError
from transcripts.results.next_steps import _OF_REASONS
from transcripts.results.views import submission_view
from transcripts.submissions.claims import DUPLICATE_ASSET, DUPLICATE_RECORDING
from transcripts.submissions.submission import State, search_keys
from transcripts.tasks.task import Source, Status

__all__ = ["results"]

HASH = "94a5896dd6dbf5e5"


async def bought(results: Results, task_id: str, uri: str, number: int = 0) -> str:
    """Store a transcript of an object, and return the id of its submission."""
    source = Source(uri, "1")
    submission_id = f"{task_id}-submission"
    await store(results, task_id, segment(0, speaker="Speaker 1"))
    task = await results.stored(task_id)
    await results.put(replace(task, submission_id=submission_id, source=source))
    entry = a_submission(submission_id, number, state=State.SUBMITTED, task_id=task_id)
    entry = replace(entry, source=source, search_keys=search_keys(source))
    await results.put_submissions(entry)
    return submission_id


@pytest.mark.parametrize("name", ["talk.mp4", "TALK.MP4", "other name.mov"])
def test_file_is_found_by_its_content_whatever_its_name_is(results: Results, name: str) -> None:
    """Moved, copied, renamed, in another letter case."""
    original = Path("talk.mp4")
    original.write_bytes(b"media")
    uri = f"gs://uploads/{object_name(original.name, read_content(original))}"
    do(bought(results, "task-1", uri))
    path = Path("folder") / name
    path.parent.mkdir()
    original.rename(path)
    for command in ("status", "show", "watch", "export"):
        assert "fits" not in ok(command, str(path)).stderr
    assert uri in ok("status", str(path)).stdout
    path.write_bytes(b"other media")
    assert ok("status", str(path), code=0 if name != "other name.mov" else 1).stderr


def test_file_with_another_content_is_found_by_its_name_and_that_is_said(results: Results) -> None:
    """As one that another tool has copied into the bucket."""
    Path("talk.mp4").write_bytes(b"media")
    do(bought(results, "task-1", "gs://uploads/talk.mp4"))
    error = ok("status", "talk.mp4").stderr
    assert "No recording here has the content of talk.mp4; this has its name." in error


def test_file_of_an_older_version_is_found_by_its_address(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its submission has no search keys."""
    Path("talk.mp4").write_bytes(b"media")
    source = Source(f"gs://uploads/{object_name('talk.mp4', read_content(Path('talk.mp4')))}", "1")
    do(results.put_submissions(a_submission("s", source=source)))
    monkeypatch.setenv("TRANSCRIPTS_BUCKET", "uploads")
    assert source.uri in ok("status", "talk.mp4", code=8).stdout


def test_name_that_fits_two_recordings_shows_the_newest_and_lists_the_other(
    results: Results,
) -> None:
    """Without a file at hand."""
    old = do(bought(results, "task-1", f"gs://uploads/{HASH}/talk.mp4"))
    do(bought(results, "task-2", "gs://uploads/2026/Talk.mp4", 1))
    for command in ("status", "show", "export"):
        result = ok(command, "talk.mp4")
        assert "talk.mp4 fits 2 recordings; this is the newest." in result.stderr
        assert old in result.stderr
    assert "task        task-2" in ok("status", "TALK.mp4").stdout


def test_name_of_a_transcript_and_of_a_rejected_file_is_that_of_the_transcript(
    results: Results,
) -> None:
    """A later upload that was not bought hides nothing, and makes the name fit nothing more."""
    do(bought(results, "task-1", "gs://uploads/1/talk.mp4"))
    source = Source("gs://uploads/2/talk.mp4", "1")
    rejected = a_submission("rejected", 1, state=State.REJECTED, reason="empty", source=source)
    do(results.put_submissions(replace(rejected, search_keys=search_keys(source))))
    result = ok("status", "talk.mp4")
    assert "task        task-1" in result.stdout
    assert result.stderr == ""
    ok("rename", "talk.mp4", "s1=Ada")


@pytest.mark.parametrize(
    "command",
    [
        ("rename", "talk.mp4", "s1=Ada"),
        ("delete", "talk.mp4", "--yes"),
        ("renormalize", "talk.mp4"),
    ],
)
def test_name_that_fits_two_recordings_changes_neither(
    results: Results, command: tuple[str, ...]
) -> None:
    """Both are listed with what names one of them."""
    ids = [do(bought(results, f"task-{n}", f"gs://uploads/{n}/talk.mp4", n)) for n in (1, 2)]
    error = ok(*command, code=1).stderr
    assert all(each in error for each in ids)
    for number in (1, 2):
        assert "Ada" not in ok("show", f"task-{number}").stdout
    ok("rename", ids[0], "s1=Ada")
    assert "Ada" in ok("show", "task-1").stdout


def test_beginning_of_an_id_finds_what_it_names(results: Results) -> None:
    """Of a task or a submission; one that fits several is refused with the list."""
    for task_id in ("abcd1", "abcd2", "efgh1"):
        do(results.put(a_task(task_id, status=Status.FAILED)))
    do(results.put_submissions(a_submission("efgh2xyz")))
    assert "efgh2xyz" in ok("status", "efgh2", code=8).stdout
    assert "abcd1" in ok("status", "abcd1", code=5).stdout
    error = ok("status", "abcd", code=1).stderr
    assert re.findall("^  (.+)$", error, re.MULTILINE) == ["abcd1", "abcd2"]
    assert re.findall("^  (.+)$", ok("status", "efgh", code=1).stderr, re.MULTILINE) == [
        "efgh1",
        "efgh2xyz",
    ]
    assert "There is no file" in ok("status", "efg", code=1).stderr


def test_address_with_a_generation_finds_that_one(results: Results) -> None:
    """As Cloud Storage writes it."""
    for number in (1, 2):
        source = Source("gs://b/o.mp4", str(number))
        do(results.put_submissions(a_submission(f"s{number}", number, source=source)))
    assert "s2" in ok("status", "gs://b/o.mp4", code=8).stdout
    assert "s1" in ok("status", "gs://b/o.mp4#1", code=8).stdout
    ok("status", "gs://b/o.mp4#3", code=1)


def test_recording_that_was_bought_before_is_shown_from_there(results: Results) -> None:
    """Another object with the same bytes was rejected; status says so, the others follow."""
    original = do(bought(results, "task-1", "gs://uploads/talk.mp4"))
    source = Source("gs://uploads/talk.mp4", "2")
    rejected = a_submission("again", 1, state=State.REJECTED, reason=DUPLICATE_RECORDING)
    do(results.put_submissions(replace(rejected, source=source, duplicate_of=original)))
    status = ok("status", "again", code=5).stdout
    assert f"Read it: transcripts show {original}" in status
    for command in ("show", "export", "watch"):
        assert "again has the same bytes as this recording." in ok(command, "again").stderr


def _founds() -> list[Found]:
    """Return what can be found, in every state and for every reason."""
    source = Source("gs://uploads/a talk.mp4", "1")
    never_rejected = {"submit_unknown", "transcript_deleted", "submission_in_progress"}
    reasons: list[Any] = [*_OF_REASONS, *(SubmissionError.REMEDIES.keys() - never_rejected)]
    entries = [
        *(a_submission("s", state=state, source=source) for state in State),
        *(a_submission("s", state=State.REJECTED, reason=reason) for reason in reasons),
        a_submission("s", state=State.REJECTED, reason=DUPLICATE_RECORDING, duplicate_of="o"),
        a_submission("s", state=State.REJECTED, reason=DUPLICATE_ASSET, asset_id="re_1"),
        a_submission("s", state=State.SUBMITTED, task_id="t", asset_id="re_1"),
    ]
    found = [Found("a talk.mp4", submission_view(entry), None) for entry in entries]
    for status, submission_id in product(Status, ("s", None)):
        task = a_task("t", status=status, submission_id=submission_id, source=source)
        found.append(Found("t", None, whole_task(task)))
    return found


API_WORDS = re.compile(
    r"unmatched=|state=|The field|asset_id|task_id|duplicate_of|with force|without force|next_step"
    r"|upload_status|see details"
)


@pytest.mark.parametrize("found", _founds(), ids=lambda found: f"{found.state}")
def test_next_step_is_in_words_of_the_command(found: Found) -> None:
    """No parameter of the API stands in it, and each command in it can be typed."""
    step = found.next_step or ""
    assert not API_WORDS.search(step), step
    for command in re.findall(r"transcripts .+$", step, re.MULTILINE):
        assert is_command_line(command), command
