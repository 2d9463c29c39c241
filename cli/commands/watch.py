"""The command `watch`."""

from __future__ import annotations

import click

from cli.client.api import open_api
from cli.client.target import Choice
from cli.client.watching import Watch
from cli.options import SUBJECT, json_option, target_options


@click.command("watch")
@click.argument("subjects", metavar="ID…", nargs=-1, required=True, type=SUBJECT)
@click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="Give up after this.")
@json_option
@target_options
@click.pass_context
def watch_command(
    context: click.Context,
    *,
    subjects: tuple[str, ...],
    timeout_s: float | None,
    as_json: bool,
    choice: Choice,
) -> None:
    """Follow submissions and tasks until each has ended.

    ID is the id of a task or submission or its beginning, an asset id, a gs:// address, a file or
    its name. --json prints a line for each change. The exit code is 5 if one did not succeed, and 3
    after the time-out.
    """
    once = list(dict.fromkeys(subjects))
    context.exit(Watch(open_api(choice), once, timeout_s, as_json).run())
