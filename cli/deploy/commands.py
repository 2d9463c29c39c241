"""The commands of the Makefile that deploy: each is a target."""

from __future__ import annotations

import getpass
import os
import sys
import tarfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, ParamSpec

import click

from cli.deploy import secret_values
from cli.deploy.deployment import Deployment
from cli.deploy.environment import Environment, load_environment
from cli.deploy.errors import Refused, StepFailed
from cli.deploy.package import build_package
from cli.deploy.preflight import Checked, build_region_warning, check_all, check_tools
from cli.deploy.programs import capture
from cli.deploy.shared_variables import fetch, share

ROOT: Final = Path(__file__).resolve().parent.parent.parent
CONSOLE: Final = "https://api-platform.memories.ai/webhooks"
KEYS: Final = "https://api-platform.memories.ai"

P = ParamSpec("P")

_environment = click.option("--env", "name", default="production", show_default=True)
_yes = click.option("--yes", is_flag=True, help="do not ask for confirmation")


def _report_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Report what a user can repair as one sentence with exit code 1, without a traceback."""

    @wraps(command)
    def reporting(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except Refused as error:
            raise click.ClickException(f"{error}\nNothing in the cloud was changed.") from error
        except StepFailed as error:
            raise click.ClickException(str(error)) from error

    return reporting


@click.group()
def main() -> None:
    """Deploy the pipeline to Google Cloud."""


@main.command()
@_report_errors
def package() -> None:
    """Build the zip to deploy."""
    print(_package().relative_to(ROOT))


@main.command()
@_environment
@_report_errors
def plan(name: str) -> None:
    """Show what a deployment would change."""
    deployment, _ = _open(name)
    deployment.plan(_package(), deployment.placeholders())


@main.command()
@_environment
@_yes
@click.option("--adopt", is_flag=True, help="import what an earlier destroy kept")
@_report_errors
def deploy(name: str, *, yes: bool, adopt: bool) -> None:
    """Check everything, show the plan, apply it, and print the callback URL."""
    _require_confirmation(yes=yes)
    deployment, checked = _open(name)
    _offer_access(deployment.environment, checked.account, yes=yes)
    values = deployment.values(_given_api_key)
    if os.environ.get("MAVI_API_KEY", values.api_key) != values.api_key:
        print(
            "MAVI_API_KEY differs from the stored key and is ignored. "
            "After this deployment, make set-api-key replaces the stored key."
        )
    warning = build_region_warning(deployment.environment.region)
    if deployment.is_first_deployment and warning:
        print(warning)
    zip_file = _package()
    if adopt:
        deployment.import_kept(zip_file, values)
    deployment.plan(zip_file, values)
    _confirm("Apply this plan?", yes=yes)
    if deployment.is_first_deployment:
        deployment.create_service_agents(checked.apis)
    deployment.apply(values)
    share(ROOT / "infra", name)
    _print_callback_url(deployment)


@main.command("fetch-variables")
@_environment
@_report_errors
def fetch_variables(name: str) -> None:
    """Get the tfvars file that the last deployment left beside its state."""
    path = fetch(ROOT / "infra", name)
    print(f"infra/{path.name} is here. What would change: make plan ENV={name}")


@main.command()
@_environment
@_yes
@click.option("--to", "version", required=True, help="a tag or a commit of this repository")
@_report_errors
def rollback(name: str, version: str, *, yes: bool) -> None:
    """Deploy the functions of an earlier version; infra/ stays as it is here."""
    _require_confirmation(yes=yes)
    deployment, _ = _open(name)
    values = deployment.stored_values()
    with TemporaryDirectory() as folder:
        archive = Path(folder) / "functions.tar"
        answer = capture(
            *("git", "-C", str(ROOT), "archive", "--format=tar", f"--output={archive}"),
            *(version, "functions"),
        )
        if answer.code:
            raise Refused(f"{version} is no version of this repository: {answer.error_message}")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        deployment.plan(build_package(Path(folder) / "functions", ROOT / "dist"), values)
    _confirm(f"Apply this plan, with the functions of {version}?", yes=yes)
    deployment.apply(values)
    print(f"{name} runs the functions of {version}. The next make deploy brings those of now back.")


@main.command()
@_environment
@_yes
@_report_errors
def destroy(name: str, *, yes: bool) -> None:
    """Print what a destroy keeps and what it deletes, then destroy."""
    _require_confirmation(yes=yes)
    deployment, _ = _open(name)
    deployment.check_destroy()
    print(deployment.destroy_summary())
    _confirm(f"Destroy {name}?", yes=yes)
    deployment.destroy(_package())


@main.command("callback-url")
@_environment
@_report_errors
def callback_url(name: str) -> None:
    """Print the callback URL with its token."""
    deployment, _ = _open(name)
    print(deployment.callback_url())


@main.command("rotate-token")
@_environment
@_yes
@click.option("--retire", is_flag=True, help="remove the old token, once Mavi has the new URL")
@_report_errors
def rotate_token(name: str, *, yes: bool, retire: bool) -> None:
    """Add a new token beside the old one, or with ``--retire`` remove the old one."""
    _require_confirmation(yes=yes)
    deployment, _ = _open(name)
    values = deployment.stored_values()
    change = secret_values.without_old_token if retire else secret_values.with_new_token
    changed = change(values)
    deployment.plan(_package(), changed)
    _confirm("Apply this plan?", yes=yes)
    deployment.apply(changed)
    if retire:
        print("The old token is no longer accepted.")
    else:
        _print_callback_url(deployment)
        print("Callbacks to the old URL are accepted until you run: make rotate-token RETIRE=1")


@main.command("set-api-key")
@_environment
@_yes
@_report_errors
def set_api_key(name: str, *, yes: bool) -> None:
    """Replace the API key of the Mavi account."""
    _require_confirmation(yes=yes)
    deployment, _ = _open(name)
    values = secret_values.with_api_key(deployment.stored_values(), _given_api_key())
    deployment.plan(_package(), values)
    _confirm("Apply this plan?", yes=yes)
    deployment.apply(values)
    print("submit uses the new key. Revoke the old one in Mavi's console.")


def _open(name: str) -> tuple[Deployment, Checked]:
    """Check tools, login, project and APIs, then open the environment's workspace."""
    check_tools()
    environment = load_environment(ROOT / "infra", name)
    checked = check_all(environment)
    return Deployment.open(ROOT / "infra", environment), checked


def _offer_access(environment: Environment, account: str, *, yes: bool) -> None:
    """Ask whether the deployer may use the pipeline, unless the file says who may.

    It asks once: the answer stands in the file afterwards.
    """
    if not environment.unset_access:
        return
    names, file = ", ".join(environment.unset_access), f"infra/{environment.var_file.name}"
    if yes:
        print(f"{file} does not set {names}: nobody may do that yet, not even {account}.")
        return
    kind = "serviceAccount" if account.endswith(".gserviceaccount.com") else "user"
    print(f"{file} does not say who may upload, submit and read ({names}).")
    if click.confirm(f"Shall {account} be allowed to?", default=True):
        environment.set_access(f"{kind}:{account}")
    else:
        environment.set_access()
    print(f"Written to {file}; add others there.")


def _package() -> Path:
    return build_package(ROOT / "functions", ROOT / "dist")


def _given_api_key() -> str:
    key = os.environ.get("MAVI_API_KEY", "")
    if not key and sys.stdin.isatty():
        key = getpass.getpass(f"API key of the Mavi account, from {KEYS} (not shown): ")
    if not key:
        raise Refused(
            f"MAVI_API_KEY is not set. Make a key at {KEYS}, then: "
            "read -rs MAVI_API_KEY && export MAVI_API_KEY"
        )
    return key


def _require_confirmation(*, yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        raise Refused(
            "There is no terminal to confirm the plan at. Add YES=1 to go on without confirmation."
        )


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and not click.confirm(question):
        raise Refused("Not confirmed.")


def _print_callback_url(deployment: Deployment) -> None:
    if os.environ.get("CI"):
        print(
            "The callback URL is not printed in CI, where it would be logged. "
            "make callback-url prints it."
        )
        return
    print(
        "\nPaste this URL into Mavi's console, as the URL for all callbacks of the account:\n"
        f"  {deployment.callback_url()}\n"
        f"  {CONSOLE}\n"
        "Anybody who has the URL can post results, so treat it as a password. "
        "make callback-url prints it again."
    )
