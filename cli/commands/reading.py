"""The commands `list` and `show`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

import click

from cli.client.api import MAX_PAGE_SIZE, open_api
from cli.client.lookup import find_task
from cli.client.target import Choice
from cli.failures import ExitCode, Failure
from cli.options import json_option, target_options
from cli.output import clock, local_time, note, print_json, source_of, table
from transcripts.results.answers import SubmissionList, SubmissionView, Summary, TaskList
from transcripts.results.filters import FILTERS, Filter
from transcripts.tasks.task import Status


class _FilterOption(NamedTuple):
    """An option of `list`: the collection that it lists, and the filter's name and row."""

    option: str
    collection: str
    name: str
    row: Filter


_FILTERS: Final = {
    f"{collection}_{name}": _FilterOption(row.option, collection, name, row)
    for collection, filters in FILTERS.items()
    for name, row in filters.items()
    if row.option
}
"""The options of `list` for filters, by the name of the argument."""


def _filter_options(command: Callable[..., None]) -> Callable[..., None]:
    for argument, (option, _, _, row) in reversed(_FILTERS.items()):
        kind = click.Choice(row.choices) if row.choices else None
        decorate = click.option(
            option,
            argument,
            metavar=row.metavar,
            type=kind,
            is_flag=row.is_switch,
            default=None,
            help=f"Only {row.description}.",
        )
        command = decorate(command)
    return command


@click.command("list")
@_filter_options
@click.option("--since", metavar="TIME", help="Created at this RFC 3339 time or later.")
@click.option("--until", metavar="TIME", help="Created before this time.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@json_option
@target_options
def list_command(
    *,
    since: str | None,
    until: str | None,
    limit: int,
    as_json: bool,
    choice: Choice,
    **values: str | bool | None,
) -> None:
    """List tasks, newest first; with a filter of submissions, submissions."""
    given = [argument for argument in _FILTERS if values[argument] is not None]
    if len(given) > 1:
        options = ", ".join(each.option for each in _FILTERS.values())
        raise Failure(f"Give one of {options}.", ExitCode.USAGE)
    key = _FILTERS[given[0]].collection if given else "tasks"
    query = {_FILTERS[argument].name: values[argument] for argument in given} | {
        "created_after": since,
        "created_before": until,
        "page_size": min(limit, MAX_PAGE_SIZE),
    }
    api = open_api(choice)
    found: Sequence[Summary] | Sequence[SubmissionView]
    if key == "submissions":
        entries = (page.submissions for page in api.pages("/submissions", SubmissionList, query))
        found = submissions = list(islice(chain.from_iterable(entries), limit))
        lines = _submissions(submissions)
    else:
        summaries = (page.tasks for page in api.pages("/tasks", TaskList, query))
        found = tasks = list(islice(chain.from_iterable(summaries), limit))
        lines = _tasks(tasks)
    if as_json:
        print_json({key: found})
        return
    if not found:
        note(f"There are no {key} here." if not given else f"No {key} match.")
        return
    for line in lines:
        click.echo(line)
    if len(found) == limit:
        note(f"These are the newest {limit}; --limit shows more.")


def _tasks(tasks: Sequence[Summary]) -> list[str]:
    rows = [
        [
            task.task_id,
            task.status,
            local_time(task.created_at),
            clock(task.duration_s) if task.status is Status.SUCCEEDED else "",
            source_of(task),
        ]
        for task in tasks
    ]
    return list(table(["TASK", "STATUS", "CREATED", "LENGTH", "SOURCE"], rows))


def _submissions(submissions: Sequence[SubmissionView]) -> list[str]:
    rows = [
        [
            item.submission_id,
            item.state,
            local_time(item.created_at),
            item.reason or "",
            source_of(item),
        ]
        for item in submissions
    ]
    return list(table(["SUBMISSION", "STATE", "CREATED", "REASON", "SOURCE"], rows))


@click.command("show")
@click.argument("subject", metavar="TASK")
@click.option("--lines", type=click.IntRange(0), help="At most so many lines of the transcript.")
@json_option
@target_options
def show_command(*, subject: str, lines: int | None, as_json: bool, choice: Choice) -> None:
    """Show a task: its speakers and what they say.

    TASK is the id of a task or submission, an asset id, a gs:// address or a file.
    """
    found, task = find_task(open_api(choice), subject)
    if as_json:
        print_json(task)
        return
    from cli.view import readable
    from transcripts.tasks.speakers import ShownSpeakers

    click.echo(f"{task.task_id}  {source_of(task)}")
    speakers = ShownSpeakers({each.id: each for each in task.speakers})
    for line in readable(task, speakers, lines):
        click.echo(line)
    if found.next_step:
        click.echo(f"\n{found.next_step}")
