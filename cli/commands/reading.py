"""The commands `list` and `show`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from typing import Final

import click

from cli.client.api import MAX_PAGE_SIZE, open_api
from cli.client.lookup import find_task
from cli.client.target import Choice
from cli.failures import ExitCode, Failure
from cli.options import json_option, target_options
from cli.output import clock, local_time, note, print_json, source_of, table
from transcripts.results.answers import SubmissionList, SubmissionView, Summary, TaskList
from transcripts.submissions.submission import State
from transcripts.tasks.task import Status

STATUSES: Final = tuple(str(status) for status in Status if status is not Status.DELETED)
"""Those that a list can show: a deleted task is in no list."""


@click.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only tasks with this status.")
@click.option("--asset", "asset_id", metavar="re_…", help="Only tasks of this asset.")
@click.option("--label", metavar="KEY:VALUE", help="Only tasks with this label.")
@click.option("--unmatched", is_flag=True, help="Only results that no submission bought.")
@click.option("--since", metavar="TIME", help="Created at this RFC 3339 time or later.")
@click.option("--until", metavar="TIME", help="Created before this time.")
@click.option(
    "--state",
    type=click.Choice(tuple(map(str, State))),
    help="List submissions in this state instead.",
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@json_option
@target_options
def list_command(  # noqa: PLR0913 - one for each option
    *,
    status: str | None,
    asset_id: str | None,
    label: str | None,
    unmatched: bool,
    since: str | None,
    until: str | None,
    state: str | None,
    limit: int,
    as_json: bool,
    choice: Choice,
) -> None:
    """List tasks, newest first; with --state, submissions."""
    filters = {"status": status, "asset_id": asset_id, "label": label, "state": state}
    given = [name for name, value in filters.items() if value] + ["unmatched"] * unmatched
    if len(given) > 1:
        raise Failure(
            "Give one of --status, --asset, --label, --unmatched, --state.", ExitCode.USAGE
        )
    key = "submissions" if state else "tasks"
    query = filters | {
        "unmatched": unmatched or None,
        "created_after": since,
        "created_before": until,
        "page_size": min(limit, MAX_PAGE_SIZE),
    }
    api = open_api(choice)
    found: Sequence[Summary] | Sequence[SubmissionView]
    if state:
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
