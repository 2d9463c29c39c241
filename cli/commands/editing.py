"""The commands `rename` and `delete`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from cli.client.api import Api, open_api
from cli.client.lookup import NotFound, find, find_task, is_plain_id, refuse_several
from cli.client.target import Choice
from cli.failures import ApiError, ExitCode, Failure
from cli.local.state import LocalStack
from cli.options import SUBJECT, json_option, target_options, yes_option
from cli.output import clean, confirm, note, print_json, table
from transcripts.results.answers import (
    Left,
    Part,
    Remaining,
    RenamedSpeakers,
    SubmissionDeleted,
    SubmissionView,
    TaskDeleted,
    WholeTask,
)
from transcripts.submissions.submission import Attempt


@click.command("rename")
@click.argument("subject", metavar="TASK", type=SUBJECT)
@click.argument("changes", metavar="OLD=NEW…", nargs=-1, required=True)
@click.option("--if-match", metavar="ETAG", help="Only if the task is still in this version.")
@json_option
@target_options
def rename_command(
    *, subject: str, changes: tuple[str, ...], if_match: str | None, as_json: bool, choice: Choice
) -> None:
    """Give speakers names, in the task and in every export.

    OLD is a name as shown, a name as Mavi gave it, or an id such as s1. OLD= takes a name away. Two
    speakers with the same name are shown as one.
    """
    api = open_api(choice)
    found, task = find_task(api, subject, to_change=True)
    content = _content(task, changes)
    tag = if_match or found.etag
    try:
        answer = api.call(
            "PATCH",
            f"/tasks/{task.task_id}/speaker_names",
            content=content,
            headers={"If-Match": tag} if tag else {},
        )
    except ApiError as error:
        if error.code != "changed_meanwhile":
            raise
        raise Failure(
            "The task has changed meanwhile, and no name was changed. Look at it: "
            f"transcripts show {task.task_id}\nThen repeat the command."
        ) from error
    renamed = answer.read(RenamedSpeakers)
    if as_json:
        print_json(msgspec.structs.asdict(renamed) | {"etag": answer.headers.get("ETag")})
        return
    rows = [[each.id, ", ".join(each.given_names), each.name] for each in renamed.speakers]
    for line in table(["ID", "BY MAVI", "SHOWN AS"], rows):
        click.echo(line)


def _content(task: WholeTask, changes: Sequence[str]) -> dict[str, str | None]:
    """Return the body of the request; raises ``Failure`` for a speaker that is not there."""
    named = {each.name for each in task.speaker_names}
    content: dict[str, str | None] = {}
    for change in changes:
        old, equals, new = change.partition("=")
        if not equals or not old:
            raise Failure(f"{change} is not OLD=NEW.", ExitCode.USAGE)
        names = [
            name
            for speaker in task.speakers
            for name in speaker.given_names
            if old in (speaker.id, speaker.name, name)
        ]
        if old in names and all(old != each.name for each in task.speakers):
            names = [old]
        if not names and not new and old in named:
            names = [old]
        if not names:
            known = ", ".join(f"{each.id} ({each.name})" for each in task.speakers)
            raise Failure(
                f"There is no speaker {clean(old)}. The speakers are: {clean(known) or 'none'}"
            )
        content |= dict.fromkeys(names, new.strip() or None)
    return content


@click.command("delete")
@click.argument("subjects", metavar="TASK…", nargs=-1, required=True, type=SUBJECT)
@click.option("--asset", is_flag=True, help="Delete the media at Mavi too.")
@yes_option
@json_option
@target_options
def delete_command(
    *, subjects: tuple[str, ...], asset: bool, yes: bool, as_json: bool, choice: Choice
) -> None:
    """Delete tasks and submissions with everything personal that is stored.

    The id of a task deletes that transcript. A submission, an asset, a gs:// address or a file
    deletes all transcripts that were ever bought for it, and what the ledger knows of it, also
    before there is a transcript. The object in the bucket and Mavi's copy stay; the command says
    how to delete them. Repeat the command if something is left.
    """
    api = open_api(choice)
    deletions = [_plan(api, subject) for subject in dict.fromkeys(subjects)]
    planned = [each for each in deletions if not each.error]
    if planned:
        for line in chain.from_iterable(each.listed() for each in planned):
            note(line)
        confirm(f"Delete this from {api.target.name} for ever?", yes=yes)
    try:
        for deletion in deletions:
            if not deletion.error:
                _delete(api, deletion, asset=asset)
            if not as_json:
                _print_deletion(deletion)
    finally:
        if as_json:
            print_json({"deletions": deletions})
    if any(each.error or each.left for each in deletions):
        raise Failure("Not everything was deleted. The lines above say what to do.")


class _Deletion(msgspec.Struct):
    """What is deleted for a subject, and what became of it: the transcripts of its submissions.

    Without a submission, ``task_ids`` are deleted alone.
    """

    subject: str
    submission_ids: list[str] = []
    task_ids: list[str] = []
    left: list[Left] = []
    remaining: list[Remaining] = []
    error: dict[str, str] | None = None

    def listed(self) -> Iterator[str]:
        """Yield a line for each part."""
        yield f"{clean(self.subject)}:"
        for kind, ids in (("submission", self.submission_ids), ("transcript", self.task_ids)):
            yield from (f"  {kind} {each}" for each in ids)


def _plan(api: Api, subject: str) -> _Deletion:
    """Find what is deleted for a subject; an error is part of the result."""
    try:
        found = find(api, subject)
        if found.by_name:
            refuse_several(found)
    except Failure as error:
        if isinstance(error, NotFound) and is_plain_id(subject):
            # A deleted task is deleted again, to go on where the first deletion has stopped.
            return _Deletion(subject, task_ids=[subject])
        return _Deletion(subject, error={"code": error.reason, "message": error.message})
    task, submission = found.task, found.submission
    if task is not None and (submission is None or task.task_id.startswith(subject)):
        remaining = _remaining_of(task)
        return _Deletion(subject, task_ids=[task.task_id], remaining=remaining)
    entries = [] if submission is None else [submission, *(() if found.by_name else found.others)]
    bought: list[Attempt | SubmissionView] = []
    for each in entries:
        bought += [*each.previous_attempts, each]
    task_ids = [each.task_id for each in bought if each.task_id]
    return _Deletion(subject, [each.submission_id for each in entries], task_ids)


def _remaining_of(task: WholeTask) -> list[Remaining]:
    parts = [(Part.OBJECT, task.source.uri if task.source else None), (Part.ASSET, task.asset_id)]
    return [Remaining(part, name, "") for part, name in parts if name]


def _delete(api: Api, deletion: _Deletion, *, asset: bool) -> None:
    """Delete everything of a subject, and record what is left."""
    query = {"asset": asset or None}
    try:
        for each in deletion.submission_ids:
            path = f"/submissions/{each}"
            answer = api.call("DELETE", path, query=query, repeatable=True)
            done = answer.read(SubmissionDeleted)
            deletion.left += done.left
            deletion.remaining += done.remaining
        for each in () if deletion.submission_ids else deletion.task_ids:
            answer = api.call("DELETE", f"/tasks/{each}", query=query, repeatable=True)
            deletion.left += answer.read(TaskDeleted).left if answer.status == 200 else []
    except Failure as error:
        deletion.error = {"code": error.reason, "message": error.message}
    deletion.remaining = [
        replace(each, message=_how_to_delete(api, deletion, each))
        for each in deletion.remaining
        if not (asset and each.part is Part.ASSET)
    ]


def _how_to_delete(api: Api, deletion: _Deletion, remaining: Remaining) -> str:
    """Return the words and the command for a part that stays."""
    if remaining.part is Part.ASSET:
        again = shlex.join(deletion.submission_ids or deletion.task_ids)
        return f"To delete it: transcripts delete {again} --asset"
    if api.target.stack is not None:
        return f"To delete it: rm {shlex.quote(_local_path(api.target.stack, remaining.name))}"
    return remaining.message or f"To delete it: gcloud storage rm {shlex.quote(remaining.name)}"


def _print_deletion(deletion: _Deletion) -> None:
    subject = clean(deletion.subject)
    if deletion.error:
        message = deletion.error["message"]
        note(message if message.startswith(subject) else f"{subject}  {message}")
        return
    click.echo(f"{subject}  deleted")
    for left in deletion.left:
        note(f"  left: {left.part} ({left.reason}). {left.message}")
    for each in deletion.remaining:
        note(f"  stays: {each.part} {clean(each.name)}. {each.message}")


def _local_path(stack: LocalStack, address: str) -> str:
    """Return the file that stands for an object of the local bucket."""
    from transcripts.embedded.objects import FolderObjects

    bucket, _, name = address.partition("#")[0].removeprefix("gs://").partition("/")
    return str(FolderObjects(Path(stack.data_dir)).path(bucket, name))
