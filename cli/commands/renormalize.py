"""The command `renormalize`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import click

from cli.client.api import MAX_PAGE_SIZE, Api, open_api
from cli.client.lookup import find_task, is_plain_id
from cli.client.target import Choice
from cli.failures import ApiError, ExitCode, Failure, Unreachable
from cli.options import MOMENT, SUBJECT, json_option, target_options
from cli.output import note, print_json
from transcripts.results.answers import Summary, TaskList
from transcripts.tasks.task import Status

HAS_RESULT: Final = frozenset({Status.SUCCEEDED, Status.FAILED, Status.UNRECOGNIZED})


class _Task(NamedTuple):
    task_id: str
    created_at: datetime | None


@click.command("renormalize")
@click.argument("subjects", metavar="[TASK]…", nargs=-1, type=SUBJECT)
@click.option("--since", type=MOMENT, help="All results of tasks created at this time or later.")
@click.option("--until", type=MOMENT, help="With --since: created before this time.")
@json_option
@target_options
def renormalize_command(
    *,
    subjects: tuple[str, ...],
    since: str | None,
    until: str | None,
    as_json: bool,
    choice: Choice,
) -> None:
    """Make results again from the stored callbacks.

    The present code is used, and people's names stay. A run that was interrupted prints the
    command that goes on; repeating a task changes nothing more.
    """
    if bool(subjects) == bool(since) or (until and not since):
        raise Failure("Give tasks, or --since TIME, or --since with --until.", ExitCode.USAGE)
    api = open_api(choice)
    tasks = (
        _created_since(api, since, until)
        if since
        else (_Task(_task_id(api, subject), None) for subject in dict.fromkeys(subjects))
    )
    _run(api, tasks, since, as_json=as_json)


def _task_id(api: Api, subject: str) -> str:
    if is_plain_id(subject):
        return subject
    return find_task(api, subject, to_change=True)[1].task_id


def _created_since(api: Api, since: str, until: str | None) -> Iterator[_Task]:
    query = {"created_after": since, "created_before": until, "page_size": MAX_PAGE_SIZE}
    for page in api.pages("/tasks", TaskList, query):
        for task in page.tasks:
            if task.status in HAS_RESULT:
                yield _Task(task.task_id, task.created_at)


def _run(api: Api, tasks: Iterator[_Task], since: str | None, *, as_json: bool) -> None:
    done: list[str] = []
    failed: dict[str, str] = {}
    last: _Task | None = None
    try:
        for task in tasks:
            last = task
            try:
                answer = api.call("POST", f"/tasks/{task.task_id}/renormalize", repeatable=True)
            except ApiError as error:
                failed[task.task_id] = error.message
                note(f"{task.task_id}  {error.message}")
                continue
            done.append(task.task_id)
            if not as_json:
                summary = answer.read(Summary)
                click.echo(
                    f"{summary.task_id}  {summary.status}, {summary.segment_count} segments, "
                    f"{summary.word_count} words"
                )
    except (KeyboardInterrupt, Unreachable) as error:
        note(f"Stopped after {len(done) + len(failed)} tasks. {_next_command(since, last)}")
        if isinstance(error, Unreachable):
            raise
        raise click.Abort from error
    if as_json:
        print_json({"renormalized": done, "failed": failed})
    else:
        note(f"{len(done)} tasks renormalized, {len(failed)} not.")
    if failed:
        raise Failure("Some tasks were not renormalized. The lines above say why.")


def _next_command(since: str | None, last: _Task | None) -> str:
    """Return the command that goes on: the list is newest first, and excludes --until."""
    if since is None or last is None or last.created_at is None:
        return "Repeat the command."
    until = last.created_at + timedelta(microseconds=1)
    text = until.isoformat().replace("+00:00", "Z")
    return f"Go on: transcripts renormalize --since {since} --until {text}"
