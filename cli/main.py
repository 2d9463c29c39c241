"""The `transcripts` command: its list of commands, and what every failure becomes.

The module of a command is imported when the command runs, or for ``--help``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from cli.failures import ExitCode, exit_code_of, show
from transcripts import VERSION

COMMANDS: Final = {
    "submit": "submit",
    "list": "reading",
    "show": "reading",
    "open": "open",
    "watch": "watch",
    "export": "export",
    "rename": "editing",
    "delete": "editing",
    "status": "status",
    "events": "events",
    "logs": "logs",
    "audit": "audit",
    "costs": "costs",
    "replay": "replay",
    "renormalize": "renormalize",
    "doctor": "doctor",
    "smoke": "smoke",
    "up": "local",
    "demo": "local",
    "fake-mavi": "local",
}
"""The module, below ``cli.commands``, of each command; it has the command's name or a suffix."""


class Transcripts(click.Group):
    """A group that imports commands lazily and shows no traceback."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read ``help COMMAND`` as ``COMMAND --help``."""
        if args[:1] == ["help"]:
            args = [*args[1:2], "--help"]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"cli.commands.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        """Run a command and exit: 130 after Ctrl-C, and one sentence for each failure."""
        options["standalone_mode"] = False
        options["prog_name"] = "transcripts"
        arguments = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(arguments, *more, **options)
        except click.Abort:
            sys.exit(ExitCode.INTERRUPTED)
        except Exception as error:
            if os.environ.get("TRANSCRIPTS_DEBUG"):
                raise
            if isinstance(error, OSError) and error.filename is None:
                # Python would try to write the rest of the output when it exits.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not isinstance(error, BrokenPipeError):
                show(error, as_json="--json" in arguments)
            # A reader that closes the pipe, such as head, has enough.
            sys.exit(exit_code_of(error))
        sys.exit(code if isinstance(code, int) else ExitCode.OK)


@click.version_option(VERSION, prog_name="transcripts", message="%(prog)s %(version)s")
@click.command(
    cls=Transcripts,
    commands={name: click.Command(name) for name in COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`transcripts help COMMAND` explains a command.",
)
def main() -> None:
    """Transcripts with named speakers: submit media, read and correct results, operate.

    Commands work on the local stack (transcripts up) unless --env or --url names another one.
    """
