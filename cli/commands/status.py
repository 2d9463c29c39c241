"""The command `status`: where a file is, and what happens next."""

from __future__ import annotations

import click
import msgspec

from cli.client.api import open_api
from cli.client.lookup import find
from cli.client.target import Choice
from cli.options import SUBJECT, json_option, target_options
from cli.output import clean, colored, labels_text, local_time, print_json
from transcripts.results.answers import TaskHead
from transcripts.submissions.submission import Attempt
from transcripts.tasks.task import Status


@click.command("status")
@click.argument("subject", metavar="PATH|ID", type=SUBJECT)
@json_option
@target_options
@click.pass_context
def status_command(context: click.Context, *, subject: str, as_json: bool, choice: Choice) -> None:
    """Say where a file is, why, and what happens next.

    PATH|ID is a file or its name, a gs:// address, an asset id, or the id of a submission or task
    or its beginning. The exit code is 0 for a transcript, 8 if it may still come, and 5 if it does
    not come by waiting.
    """
    found = find(open_api(choice), subject)
    found.announce()
    submission, task = found.submission, found.task
    if as_json:
        print_json(
            {
                "subject": subject,
                "state": found.state,
                "submission": submission,
                "task": msgspec.convert(task, TaskHead | None, from_attributes=True),
                "next_step": found.next_step,
                "others": [each.submission_id for each in found.others],
            }
        )
        context.exit(found.exit_code)
    known = [each for each in (submission, task) if each is not None]
    submitted_at = next((each.submitted_at for each in known if each.submitted_at), None)
    attempts = submission.previous_attempts if submission else []
    failed = task is not None and task.status is Status.FAILED
    rows = [
        ("object", next((each.source.uri for each in known if each.source), None)),
        ("asset", next((each.asset_id for each in known if each.asset_id), None)),
        ("submission", submission.submission_id if submission else None),
        ("task", found.task_id),
        ("labels", next((labels_text(each.labels) for each in known if each.labels), None)),
        ("before", ", ".join(_attempt(each) for each in attempts)),
        ("submitted", local_time(submitted_at)),
        ("received", local_time(task.received_at if task else None)),
        ("reason", submission.reason if submission else None),
        ("Mavi says", task.provider.detail if task and task.provider and failed else None),
        ("next step", found.next_step or f"Read it: transcripts show {found.task_id}"),
    ]
    click.echo(f"{'state':<10}  {colored(found.state)}")
    for name, value in rows:
        if value:
            lines = map(clean, value.splitlines())
            click.echo(f"{name:<10}  " + f"\n{'':<10}  ".join(lines))
    context.exit(found.exit_code)


def _attempt(attempt: Attempt) -> str:
    """Write a previous purchase: its task, or why there is none."""
    return f"task {attempt.task_id}" if attempt.task_id else attempt.reason or str(attempt.state)
