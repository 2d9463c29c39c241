"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

from cli.client.target import Choice

Command = Callable[..., None]

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
    def choose(
        *args: Any,
        env: str | None,
        url: str | None,
        token: str | None,
        impersonate: str | None,
        **kwargs: Any,
    ) -> None:
        choice = Choice(
            env=env,
            url=url,
            token=token,
            impersonate=impersonate,
            submit_url=kwargs.pop("submit_url", None) or os.environ.get("TRANSCRIPTS_SUBMIT_URL"),
            bucket=kwargs.pop("bucket", None) or os.environ.get("TRANSCRIPTS_BUCKET"),
        )
        command(*args, choice=choice, **kwargs)

    return choose
