"""The command `audit`: whether everything that was bought is accounted for."""

from __future__ import annotations

from typing import Any, Final

import click

from cli.client.api import Api, open_api
from cli.client.target import Choice
from cli.commands.reading import MAX_PAGE_SIZE, STATES
from cli.failures import ExitCode
from cli.options import json_option, target_options
from cli.output import colored, note, print_json

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
    account: dict[str, Any] = api.get("/accounting").json()
    ids = _unaccounted(api, account)
    if as_json:
        print_json(account | {"unaccounted": ids})
    else:
        _print(account, ids)
    context.exit(ExitCode.OK if account["balanced"] else ExitCode.FAILED)


def _unaccounted(api: Api, account: dict[str, Any]) -> dict[str, list[str]]:
    """Return the ids that are no part of a sum, of the sums that do not hold.

    They are submissions in an unknown state, bought tasks that are missing, and tasks whose
    submission is missing.
    """
    ids: dict[str, list[str]] = {"submissions": [], "tasks": list(account["tasks"]["missing"])}
    if account["balanced"]:
        return ids
    query = {"page_size": MAX_PAGE_SIZE}
    known = {
        each["submission_id"]: each["state"]
        for page in api.pages("/submissions", "submissions", query)
        for each in page
    }
    ids["submissions"] += [name for name, state in known.items() if state not in STATES]
    if not account["tasks"]["balanced"] and not ids["tasks"]:
        ids["tasks"] += [
            each["task_id"]
            for page in api.pages("/tasks", "tasks", query)
            for each in page
            if each["submission_id"] is not None and each["submission_id"] not in known
        ]
    return ids


def _print(account: dict[str, Any], ids: dict[str, list[str]]) -> None:
    for part, total in _SUMS:
        counts = {
            name: value
            for name, value in account[part].items()
            if name not in ("balanced", "missing")
        }
        terms = [f"{value} {name}" for name, value in counts.items() if name != total]
        verdict = colored("ok" if account[part]["balanced"] else "problem", 8)
        click.echo(f"{verdict} {counts[total]} {total} {part}: {', '.join(terms)}")
        for each in ids[part]:
            click.echo(f"         not accounted for: {each}")
        if ids[part]:
            note("         What each of them is: transcripts status ID")
        elif not account[part]["balanced"]:
            note("         No id was found: something changed while it was counted. Repeat it.")
    unmatched = account["unmatched_tasks"]
    click.echo(f"         {unmatched} tasks without a submission")
    if unmatched:
        note("         List them: transcripts list --unmatched")
    note(account["callbacks"]["note"])
