"""The command `delete`: everything of a recording, listed before, with what stays after."""

from __future__ import annotations

import json
import re
from datetime import timedelta

from msgspec.structs import replace

from tests.builders import segment
from tests.command_line import is_command_line
from tests.fakes import NOW
from tests.functional.served_results import do, ok, results, store
from tests.results import Results, a_submission
from transcripts.submissions.submission import Attempt, State, search_keys
from transcripts.tasks.task import Source

__all__ = ["results"]

URI = "gs://uploads/94a5896dd6dbf5e5/talk.mp4"


async def bought_twice(results: Results) -> None:
    """Store two transcripts of one submission: the second was forced."""
    for task_id in ("first", "second"):
        await store(results, task_id, segment(0))
        task = await results.stored(task_id)
        await results.put(replace(task, submission_id="entry", asset_id="re_1"))
    entry = a_submission("entry", state=State.SUBMITTED, task_id="second", asset_id="re_1")
    attempt = Attempt(State.SUBMITTED, "first", None, NOW - timedelta(hours=1))
    source = Source(URI, "7")
    keys = search_keys(source)
    entry = replace(entry, previous_attempts=[attempt], source=source, search_keys=keys)
    await results.put_submissions(entry)


def test_delete_off_a_terminal_needs_yes(results: Results) -> None:
    """A script is never asked."""
    do(store(results, "t", segment(0)))
    assert "--yes" in ok("delete", "t", code=2).stderr
    ok("show", "t")


def test_delete_removes_the_task_and_is_repeatable(results: Results) -> None:
    """The second deletion finds nothing that is left."""
    do(store(results, "t", segment(0)))
    assert "t  deleted" in ok("delete", "t", "--yes").stdout
    ok("show", "t", code=1)
    ok("delete", "t", "--yes")


def test_delete_of_several_tasks_goes_on_after_an_unknown_one(results: Results) -> None:
    """The exit code tells that not everything was deleted."""
    do(store(results, "t", segment(0)))
    result = ok("delete", "unknown", "t", "--yes", code=1)
    assert "t  deleted" in result.stdout
    assert "unknown" in result.stderr


def test_delete_of_a_recording_covers_every_attempt_and_names_what_stays(results: Results) -> None:
    """By name, address, asset or id of the submission; the commands for the rest can be typed."""
    for subject in ("talk.mp4", URI, "re_1", "entry"):
        do(bought_twice(results))
        result = ok("delete", subject, "--yes")
        assert (
            f"{subject}:\n  submission entry\n  transcript first\n  transcript second\n"
            in result.stderr
        )
        for task_id in ("first", "second"):
            ok("show", task_id, code=1)
        assert (
            f"stays: object {URI}#7. Delete it with: gcloud storage rm '{URI}#7'." in result.stderr
        )
        (command,) = re.findall(r"stays: asset re_1. To delete it: (.+)", result.stderr)
        assert command == "transcripts delete entry --asset"
        assert is_command_line(command)


def test_delete_of_an_address_covers_every_generation_and_mavis_copy(results: Results) -> None:
    """Each upload to the address is a submission; with --asset nothing is said to stay at Mavi."""
    do(bought_twice(results))
    source = Source(URI, "8")
    entry = a_submission("later", 1, state=State.REJECTED, source=source, asset_id="re_2")
    do(results.put_submissions(replace(entry, search_keys=search_keys(source))))
    result = ok("delete", URI, "--asset", "--yes", "--json", code=1)
    (deletion,) = json.loads(result.stdout)["deletions"]
    assert deletion["submission_ids"] == ["entry", "later"]
    assert {each["part"] for each in deletion["remaining"]} == {"object"}
    # The function of this test has no key of Mavi.
    assert [each["reason"] for each in deletion["left"]] == ["no_api_key", "no_api_key"]


def test_delete_of_a_task_leaves_the_other_attempt(results: Results) -> None:
    """An id of a task names that transcript."""
    do(bought_twice(results))
    result = ok("delete", "second", "--yes", "--json")
    (deletion,) = json.loads(result.stdout)["deletions"]
    assert (deletion["task_ids"], deletion["submission_ids"]) == (["second"], [])
    assert [each["part"] for each in deletion["remaining"]] == ["asset"]
    ok("show", "first")
    do(bought_twice(results))
    assert "stays" not in ok("delete", "first", "--yes", "--asset", code=1).stderr


def test_delete_of_a_rejected_file_takes_its_name_out_of_the_ledger(results: Results) -> None:
    """It has no task, but its name and labels are personal."""
    source = Source("gs://uploads/Patient Example.txt", "1")
    entry = a_submission("entry", state=State.REJECTED, reason="not_media", labels={"case": "7"})
    keys = search_keys(source)
    do(results.put_submissions(replace(entry, source=source, search_keys=keys)))
    ok("delete", "Patient Example.txt", "--yes")
    listed = ok("list", "--state", "rejected").stdout
    assert "entry" in listed
    assert not re.search("Patient|case", listed)
    ok("status", "Patient Example.txt", code=1)


def test_delete_that_is_declined_has_listed_everything(results: Results) -> None:
    """Nothing is changed."""
    do(bought_twice(results))
    assert "transcript first" in ok("delete", "entry", code=2).stderr
    ok("show", "first")
