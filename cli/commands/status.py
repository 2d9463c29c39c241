"""The command `status`: where a file is, and what happens next."""

from __future__ import annotations

import click

from cli.client.api import open_api
from cli.client.lookup import find
from cli.client.target import Choice
from cli.options import json_option, target_options
from cli.output import clean, colored, local_time, print_json


@click.command("status")
@click.argument("subject", metavar="PATH|ID")
@json_option
@target_options
@click.pass_context
def status_command(context: click.Context, *, subject: str, as_json: bool, choice: Choice) -> None:
    """Say where a file is, why, and what happens next.

    PATH|ID is a file, a gs:// address, an asset id, or the id of a submission or task. The exit
    code is 0 for a transcript, 8 if it may still come, and 5 if it does not come by waiting.
    """
    found = find(open_api(choice), subject)
    submission, task = found.submission or {}, found.task or {}
    if as_json:
        task = {key: value for key, value in task.items() if key != "segments"}
        print_json(
            {
                "subject": subject,
                "state": found.state,
                "submission": found.submission,
                "task": task or None,
                "next_step": found.next_step,
            }
        )
        context.exit(found.exit_code)
    provider = task.get("provider") or {}
    rows = [
        ("state", colored(found.state)),
        ("object", (submission.get("source") or task.get("source") or {}).get("uri")),
        ("asset", submission.get("asset_id") or task.get("asset_id")),
        ("submission", submission.get("submission_id")),
        ("task", task.get("task_id") or submission.get("task_id")),
        ("submitted", local_time(submission.get("submitted_at") or task.get("submitted_at"))),
        ("received", local_time(task.get("received_at"))),
        ("reason", submission.get("reason")),
        ("Mavi says", provider.get("detail") if found.state == "failed" else None),
        ("next step", found.next_step or f"Read it: transcripts show {task.get('task_id')}"),
    ]
    for name, value in rows:
        if value:
            click.echo(f"{name:<10}  {value if name == 'state' else clean(str(value))}")
    context.exit(found.exit_code)
