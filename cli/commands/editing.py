"""The commands `rename` and `delete`."""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec

from cli.client.api import Api, open_api
from cli.client.lookup import find_task, task_id_of
from cli.client.target import Choice
from cli.failures import ApiError, ExitCode, Failure
from cli.options import json_option, target_options, yes_option
from cli.output import clean, confirm, note, print_json, table
from transcripts.results.answers import Left, RenamedSpeakers, TaskDeleted, WholeTask


@click.command("rename")
@click.argument("subject", metavar="TASK")
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
    found, task = find_task(api, subject)
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
        content |= dict.fromkeys(names, new or None)
    return content


@click.command("delete")
@click.argument("subjects", metavar="TASK…", nargs=-1, required=True)
@click.option("--asset", is_flag=True, help="Delete the media at Mavi too.")
@yes_option
@json_option
@target_options
def delete_command(
    *, subjects: tuple[str, ...], asset: bool, yes: bool, as_json: bool, choice: Choice
) -> None:
    """Delete tasks with everything personal that is stored.

    Transcript, names and callbacks are deleted. The uploaded object in the bucket stays. Repeat
    the command if something is left.
    """
    api = open_api(choice)
    task_ids = [task_id_of(api, subject) for subject in dict.fromkeys(subjects)]
    what = task_ids[0] if len(task_ids) == 1 else f"{len(task_ids)} tasks"
    confirm(f"Delete {what} of {api.target.name} for ever?", yes=yes)
    outcomes: list[_Outcome] = []
    try:
        for task_id in task_ids:
            outcomes.append(_delete(api, task_id, asset=asset))
            if not as_json:
                _print_outcome(outcomes[-1])
    finally:
        if as_json:
            print_json({"deletions": outcomes})
    if any(outcome.error or outcome.left for outcome in outcomes):
        raise Failure("Not everything was deleted. The lines above say what to do.")


class _Outcome(msgspec.Struct):
    """The result of deleting one task."""

    task_id: str
    left: list[Left] = []
    error: dict[str, str] | None = None


def _delete(api: Api, task_id: str, *, asset: bool) -> _Outcome:
    try:
        query = {"asset": asset or None}
        answer = api.call("DELETE", f"/tasks/{task_id}", query=query, repeatable=True)
    except Failure as error:
        return _Outcome(task_id, error={"code": error.reason, "message": error.message})
    return _Outcome(task_id, answer.read(TaskDeleted).left if answer.status == 200 else [])


def _print_outcome(outcome: _Outcome) -> None:
    if outcome.error:
        note(f"{outcome.task_id}  {outcome.error['message']}")
        return
    click.echo(f"{outcome.task_id}  deleted")
    for left in outcome.left:
        note(f"  left: {left.part} ({left.reason}). {left.message}")
