"""The command `doctor`."""

from __future__ import annotations

import click

from cli.client.target import Choice
from cli.options import json_option, target_options


@click.command("doctor")
@json_option
@target_options
@click.pass_context
def doctor_command(context: click.Context, *, as_json: bool, choice: Choice) -> None:
    """Check every part, and print the command that repairs it."""
    from cli.client.api import open_api
    from cli.client.checks import checks
    from cli.failures import ExitCode
    from cli.output import clean, colored, note, print_json

    found = []
    for check in checks(open_api(choice)):
        found.append(check)
        if not as_json:
            click.echo(
                f"{colored('ok' if check.ok else 'problem', 8)} {check.name}: {clean(check.detail)}"
            )
            if check.repair:
                click.echo(f"         repair: {check.repair}")
    problems = [check for check in found if not check.ok]
    if as_json:
        print_json({"ok": not problems, "checks": [check._asdict() for check in found]})
    elif choice.env:
        note(
            "Not checked: the URL in Mavi's console, which no API shows. Compare it with: "
            f"make callback-url ENV={choice.env}"
        )
    context.exit(ExitCode.FAILED if problems else ExitCode.OK)
