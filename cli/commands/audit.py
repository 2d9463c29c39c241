"""The command `audit`: whether everything that was bought is accounted for."""

from __future__ import annotations

from typing import Final

import click
import msgspec

from cli.client.api import MAX_PAGE_SIZE, Api, open_api
from cli.client.target import Choice
from cli.failures import ExitCode
from cli.options import json_option, target_options
from cli.output import colored, note, print_json
from transcripts.results.answers import Accounting, SubmissionList, TaskList

_SUMS: Final = (("submissions", "total"), ("tasks", "submitted"))


@click.command("audit")
@json_option
@target_options
@click.pass_context
def audit_command(context: click.Context, *, as_json: bool, choice: Choice) -> None:
    """Check that every submission and task is accounted for.

    The exit code is 1 if not, and the ids are printed.
    """
    api = open_api(choice)
    account = api.get("/accounting").read(Accounting)
    ids: dict[str, list[str]] = {"submissions": [], "tasks": _unaccounted(api, account)}
    if as_json:
        print_json(msgspec.structs.asdict(account) | {"unaccounted": ids})
    else:
        _print(account, ids)
    context.exit(ExitCode.OK if account.balanced else ExitCode.FAILED)


def _unaccounted(api: Api, account: Accounting) -> list[str]:
    """Return the tasks that are no part of the sum, if it does not hold.

    They are bought tasks that are missing, or else tasks whose submission is missing.
    """
    if account.tasks.balanced or account.tasks.missing:
        return account.tasks.missing
    query = {"page_size": MAX_PAGE_SIZE}
    known = {
        each.submission_id
        for page in api.pages("/submissions", SubmissionList, query)
        for each in page.submissions
    }
    return [
        each.task_id
        for page in api.pages("/tasks", TaskList, query)
        for each in page.tasks
        if each.submission_id is not None and each.submission_id not in known
    ]


def _print(account: Accounting, ids: dict[str, list[str]]) -> None:
    for part, total in _SUMS:
        counts = msgspec.structs.asdict(getattr(account, part))
        balanced = counts.pop("balanced")
        counts.pop("missing", None)
        terms = [f"{value} {name}" for name, value in counts.items() if name != total]
        verdict = colored("ok" if balanced else "problem", 8)
        click.echo(f"{verdict} {counts[total]} {total} {part}: {', '.join(terms)}")
        for each in ids[part]:
            click.echo(f"         not accounted for: {each}")
        if ids[part]:
            note("         What each of them is: transcripts status ID")
        elif not balanced:
            note("         No id was found: something changed while it was counted. Repeat it.")
    unmatched = account.unmatched_tasks
    click.echo(f"         {unmatched} tasks without a submission")
    if unmatched:
        note("         List them: transcripts list --unmatched")
    note(account.callbacks.note)
