"""Options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final

import click

from cli.client.target import Choice

Command = Callable[..., None]

SUBJECT: Final = click.Path(readable=False)
"""What a command works on: shells complete it as a file; it may be an id or an address too."""


class Moment(click.ParamType[str]):
    """A time as people write it, read as RFC 3339 in UTC.

    A time without a zone is in the zone of this machine.
    """

    name = "time"
    _AGO = re.compile(r"(\d{1,6})\s*(min|[mhdw])")
    _UNITS: Final = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the time; fails for a text that is none."""
        ago = self._AGO.fullmatch(value.strip().lower())
        try:
            if ago:
                unit = self._UNITS[ago[2]]
                moment = datetime.now(UTC) - timedelta(**{unit: int(ago[1])})
            else:
                moment = datetime.fromisoformat(value.strip()).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value} is no time. Write a date (2026-01-31), a time (2026-01-31T12:00), or how"
                " long ago it was (30m, 3h, 2d, 1w).",
                param,
                ctx,
            )
        return moment.isoformat().replace("+00:00", "Z")


MOMENT: Final = Moment()

json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option: Final = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def target_options(command: Command) -> Command:
    """Add the options that choose a pipeline; the command is given them as ``choice``."""

    @click.option(
        "--env",
        envvar="TRANSCRIPTS_ENV",
        metavar="NAME",
        help="A deployment: infra/NAME.tfvars. [default: the local stack]",
    )
    @click.option(
        "--url", envvar="TRANSCRIPTS_URL", metavar="URL", help="The address of results instead."
    )
    @click.option(
        "--token", envvar="TRANSCRIPTS_TOKEN", metavar="TOKEN", help="An ID token to send."
    )
    @click.option(
        "--impersonate-service-account",
        "impersonate",
        envvar="TRANSCRIPTS_IMPERSONATE_SERVICE_ACCOUNT",
        metavar="ACCOUNT",
        help="Get the ID token as this service account.",
    )
    @wraps(command)
    def choose(*args: Any, **kwargs: Any) -> None:
        chosen = {name: kwargs.pop(name, None) for name in Choice.__dataclass_fields__}
        for name in ("submit_url", "bucket"):
            chosen[name] = chosen[name] or os.environ.get(f"TRANSCRIPTS_{name.upper()}")
        command(*args, choice=Choice(**chosen), **kwargs)

    return choose
