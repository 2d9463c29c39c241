"""The commands `list` and `show`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import click

from cli.client.api import MAX_PAGE_SIZE, Api, open_api
from cli.client.lookup import find_task
from cli.client.target import Choice
from cli.failures import ExitCode, Failure
from cli.options import MOMENT, SUBJECT, json_option, target_options
from cli.output import (
    clean,
    clock,
    columns,
    labels_text,
    local_time,
    note,
    print_json,
    source_of,
    table,
)
from transcripts.results.answers import SubmissionList, SubmissionView, Summary, TaskList
from transcripts.results.filters import FILTERS, Filter
from transcripts.submissions.submission import State
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
        decorate = click.option(
            option,
            argument,
            metavar=row.metavar,
            type=click.Choice(row.choices) if row.choices else None,
            callback=_check if row.metavar else None,
            is_flag=row.is_switch,
            default=None,
            help=f"Only {row.description}.",
        )
        command = decorate(command)
    return command


def _check(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse what results would refuse."""
    if value is not None:
        try:
            _FILTERS[str(parameter.name)].row.parse(value)
        except ValueError as error:
            raise click.BadParameter(f"{value} {error}") from error
    return value


@click.command("list")
@_filter_options
@click.option("--since", type=MOMENT, help="Created at this time or later; 2d is two days ago.")
@click.option("--until", type=MOMENT, help="Created before this time.")
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
    """List tasks, newest first; with a filter of submissions, submissions.

    TIME is a date (2026-01-31), a time (2026-01-31T12:00, of this machine without a zone), or how
    long ago it was (30m, 3h, 2d, 1w).
    """
    given = [argument for argument in _FILTERS if values[argument] is not None]
    if len(given) > 1:
        options = ", ".join(each.option for each in _FILTERS.values())
        raise Failure(f"Give one of {options}.", ExitCode.USAGE)
    if since and until and since >= until:
        raise Failure("--since must be before --until.", ExitCode.USAGE)
    key = _FILTERS[given[0]].collection if given else "tasks"
    times = {"created_after": since, "created_before": until}
    query: dict[str, Any] = {_FILTERS[argument].name: values[argument] for argument in given}
    query |= times | {"page_size": min(limit, MAX_PAGE_SIZE)}
    api = open_api(choice)
    found: Sequence[Summary] | Sequence[SubmissionView]
    if key == "submissions":
        entries = (page.submissions for page in api.pages("/submissions", SubmissionList, query))
        found = list(islice(chain.from_iterable(entries), limit))
        header = ["SUBMISSION", "STATE", "CREATED", "REASON", "LABELS", "SOURCE"]
    else:
        summaries = (page.tasks for page in api.pages("/tasks", TaskList, query))
        found = list(islice(chain.from_iterable(summaries), limit))
        header = ["TASK", "STATUS", "CREATED", "LENGTH", "LABELS", "SOURCE"]
    if as_json:
        print_json({key: found})
        return
    api.target.announce_sample()
    if found:
        for line in table(header, list(map(_row, found)), columns()):
            click.echo(line)
    else:
        note(f"There are no {key} here." if not given else f"No {key} match.")
    if len(found) == limit:
        note(f"These are the newest {limit}; --limit shows more.")
    if not given:
        _note_rejected(api, times)


def _note_rejected(api: Api, times: Mapping[str, str | None]) -> None:
    """Say how many submissions of these times were rejected: they have no task."""
    query = {"state": State.REJECTED, "page_size": MAX_PAGE_SIZE, **times}
    page = api.get("/submissions", query).read(SubmissionList)
    if page.submissions:
        more = "or more " if page.next_page_token else ""
        count = len(page.submissions)
        note(f"{count} {more}rejected, and not listed here: transcripts list --state rejected")


def _row(item: Summary | SubmissionView) -> list[str]:
    """Return the cells of a task or a submission."""
    if isinstance(item, SubmissionView):
        cells = [item.submission_id, item.state, local_time(item.created_at), item.reason or ""]
    else:
        length = clock(item.duration_s) if item.status is Status.SUCCEEDED else ""
        cells = [item.task_id, item.status, local_time(item.created_at), length]
    return [*cells, labels_text(item.labels), source_of(item)]


@click.command("show")
@click.argument("subject", metavar="TASK", type=SUBJECT)
@click.option("--lines", type=click.IntRange(0), help="At most so many lines of the transcript.")
@json_option
@target_options
@click.pass_context
def show_command(
    context: click.Context, *, subject: str, lines: int | None, as_json: bool, choice: Choice
) -> None:
    """Show a task: its speakers and what they say.

    TASK is the id of a task or submission or its beginning, an asset id, a gs:// address, a file or
    its name. The exit code is 0 for a transcript, 8 if it may still come, and 5 if not.
    """
    api = open_api(choice)
    if not as_json:
        api.target.announce_sample()
    found, task = find_task(api, subject)
    if as_json:
        print_json(task)
        context.exit(found.exit_code)
    from cli.view import WIDTH, readable
    from transcripts.tasks.speakers import ShownSpeakers

    click.echo(f"{task.task_id}  {clean(source_of(task))}")
    if task.labels:
        click.echo(f"labels: {clean(labels_text(task.labels))}")
    speakers = ShownSpeakers({each.id: each for each in task.speakers})
    for line in readable(task, speakers, lines, columns() or WIDTH):
        click.echo(line)
    if found.next_step:
        click.echo(f"\n{found.next_step}")
    context.exit(found.exit_code)
