"""The commands: package, plan, deploy, destroy, callback-url, rotate-token, set-api-key."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec

import click

from cli.deploy import secret_values
from cli.deploy.deployment import Deployment
from cli.deploy.environment import load_environment
from cli.deploy.errors import Refused, StepFailed
from cli.deploy.package import build_package
from cli.deploy.preflight import build_region_warning, check_all, check_tools

ROOT: Final = Path(__file__).resolve().parent.parent.parent
CONSOLE: Final = "https://api-platform.memories.ai/webhooks"
KEYS: Final = "https://api-platform.memories.ai"

P = ParamSpec("P")

_environment = click.option("--env", "name", default="production", show_default=True)
_yes = click.option("--yes", is_flag=True, help="do not ask")


def _sentence(command: Callable[P, None]) -> Callable[P, None]:
    """Make what a user can mend one sentence and exit code 1, not a traceback."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except Refused as error:
            raise click.ClickException(f"{error}\nNothing in the cloud was changed.") from error
        except StepFailed as error:
            raise click.ClickException(str(error)) from error

    return guarded


@click.group()
def main() -> None:
    """Deploy the pipeline to Google Cloud."""


@main.command()
@_sentence
def package() -> None:
    """Build the zip that is deployed."""
    print(_package().relative_to(ROOT))


@main.command()
@_environment
@_sentence
def plan(name: str) -> None:
    """Show what a deployment would change."""
    deployment, _ = _opened(name)
    deployment.plan(_package(), deployment.placeholders())


@main.command()
@_environment
@_yes
@click.option("--adopt", is_flag=True, help="take over what an earlier destroy kept")
@_sentence
def deploy(name: str, *, yes: bool, adopt: bool) -> None:
    """Check everything, show the plan, apply it, and say where the callback URL goes."""
    _somebody_has_to_answer(yes=yes)
    deployment, enabled = _opened(name)
    values = deployment.values(_given_api_key)
    if os.environ.get("MAVI_API_KEY", values.api_key) != values.api_key:
        print(
            "MAVI_API_KEY is not the stored key and is ignored: "
            "once this is deployed, make set-api-key changes it."
        )
    if deployment.is_first and (warning := build_region_warning(deployment.region)):
        print(warning)
    zip_file = _package()
    if adopt:
        deployment.adopt(zip_file, values)
    deployment.plan(zip_file, values)
    _confirm("Apply this plan?", yes=yes)
    if deployment.is_first:
        deployment.make_agents(enabled)
    deployment.apply(values)
    _tell_callback_url(deployment)


@main.command()
@_environment
@_yes
@_sentence
def destroy(name: str, *, yes: bool) -> None:
    """Say what is kept and what is not, and take the rest down."""
    _somebody_has_to_answer(yes=yes)
    deployment, _ = _opened(name)
    deployment.check_destroy()
    print(deployment.farewell())
    _confirm(f"Destroy {name}?", yes=yes)
    deployment.destroy(_package())


@main.command("callback-url")
@_environment
@_sentence
def callback_url(name: str) -> None:
    """Print the callback URL with its token."""
    deployment, _ = _opened(name)
    print(deployment.callback_url())


@main.command("rotate-token")
@_environment
@_yes
@click.option("--retire", is_flag=True, help="end the old token, once Mavi has the new URL")
@_sentence
def rotate_token(name: str, *, yes: bool, retire: bool) -> None:
    """Add a new token beside the old one; later, end the old one."""
    _somebody_has_to_answer(yes=yes)
    deployment, _ = _opened(name)
    values = deployment.stored_values()
    change = secret_values.without_old_token if retire else secret_values.with_new_token
    changed = change(values)
    deployment.plan(_package(), changed)
    _confirm("Apply this plan?", yes=yes)
    deployment.apply(changed)
    if retire:
        print("The old token is dead.")
    else:
        _tell_callback_url(deployment)
        print("Callbacks to the old URL are taken too, until: make rotate-token RETIRE=1")


@main.command("set-api-key")
@_environment
@_yes
@_sentence
def set_api_key(name: str, *, yes: bool) -> None:
    """Replace the key of the Mavi account."""
    _somebody_has_to_answer(yes=yes)
    deployment, _ = _opened(name)
    values = secret_values.with_api_key(deployment.stored_values(), _given_api_key())
    deployment.plan(_package(), values)
    _confirm("Apply this plan?", yes=yes)
    deployment.apply(values)
    print("submit has the new key. Revoke the old one in Mavi's console.")


def _opened(name: str) -> tuple[Deployment, frozenset[str]]:
    """Check everything that can be checked, then open the environment's workspace."""
    check_tools()
    environment = load_environment(ROOT / "infra", name)
    enabled = frozenset(check_all(environment))
    return Deployment.open(ROOT / "infra", environment), enabled


def _package() -> Path:
    return build_package(ROOT / "functions", ROOT / "dist")


def _given_api_key() -> str:
    key = os.environ.get("MAVI_API_KEY", "")
    if not key and sys.stdin.isatty():
        key = getpass.getpass(f"Key of the Mavi account, from {KEYS} (not shown): ")
    if not key:
        raise Refused(
            f"MAVI_API_KEY is not set. Make a key at {KEYS}, then: "
            "read -rs MAVI_API_KEY && export MAVI_API_KEY"
        )
    return key


def _somebody_has_to_answer(*, yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        raise Refused("Nobody is there to confirm the plan. Add YES=1 to go on without asking.")


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and not click.confirm(question):
        raise Refused("Not confirmed.")


def _tell_callback_url(deployment: Deployment) -> None:
    if os.environ.get("CI"):
        print("The callback URL is not shown where it would be logged: make callback-url shows it.")
        return
    print(
        "\nPaste this URL into Mavi's console, where it takes all callbacks of the account:\n"
        f"  {deployment.callback_url()}\n"
        f"  {CONSOLE}\n"
        "Who has it can post results: treat it as a password. make callback-url shows it again."
    )
