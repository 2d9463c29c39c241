"""Which pipeline a command works on: the local stack, a deployment, or an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from cli import ROOT
from cli.failures import ExitCode, Failure
from cli.local.state import SAMPLE_NOTE, VARIABLE, LocalStack, nearest_state_file, running_stack
from cli.output import note

if TYPE_CHECKING:
    from cli.deploy.environment import Environment

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The user's options and variables."""

    env: str | None = None
    url: str | None = None
    submit_url: str | None = None
    bucket: str | None = None
    token: str | None = None
    impersonate: str | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """A pipeline. ``stack`` is set for the local one, ``environment`` for a deployment."""

    name: str
    results_url: str
    submit_url: str | None = None
    callback_url: str | None = None
    """Without its token."""
    bucket: str | None = None
    stack: LocalStack | None = None
    environment: Environment | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    """The addresses of all functions, as far as they are known."""

    def announce_sample(self) -> None:
        """Say on stderr that transcripts of the local stack are the sample."""
        if self.stack is not None:
            note(SAMPLE_NOTE)

    @property
    def start_hint(self) -> str:
        """The command to run if nothing answers."""
        if self.stack is not None:
            return "Start the local stack: transcripts up"
        if self.environment is not None:
            return f"Find out why: transcripts doctor --env {self.environment.name}"
        return "Check the address, and the network."


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine."""
    return urlsplit(url).hostname in LOOPBACK


def find_target(choice: Choice) -> Target:
    """Return the chosen pipeline; raises ``Failure``."""
    if choice.env and choice.url:
        raise Failure("Give either --env or --url, not both.", ExitCode.USAGE)
    if choice.url:
        for url in filter(None, (choice.url, choice.submit_url)):
            parts = urlsplit(url)
            if not parts.hostname or not (
                parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
            ):
                raise Failure(
                    f"{url} is not an https:// address (http:// only on this machine).",
                    ExitCode.USAGE,
                )
        return Target(
            name=choice.url,
            results_url=choice.url.rstrip("/"),
            submit_url=choice.submit_url,
            bucket=choice.bucket,
        )
    if choice.env:
        return _deployment(choice.env)
    path = nearest_state_file()
    stack = running_stack(path)
    if stack is None:
        raise Failure(
            f"No local stack is running ({path}). Start it: transcripts up\n"
            f"One that was started in another folder is found by {VARIABLE}, the path of its"
            " .transcripts/stack.json.\n"
            "Or name a deployment: --env NAME, or its address: --url URL"
        )
    return Target(
        name="the local stack",
        results_url=stack.urls["results"],
        submit_url=stack.urls["submit"],
        bucket=stack.bucket,
        stack=stack,
        urls=stack.urls,
    )


def _deployment(name: str) -> Target:
    from cli.deploy.environment import load_environment
    from cli.deploy.errors import Refused

    try:
        environment = load_environment(ROOT / "infra", name)
    except Refused as error:
        raise Failure(str(error)) from error
    outputs = read_outputs(ROOT / "infra", name)
    urls = outputs.get("urls", {})
    results_url = outputs.get("results_url") or urls.get("results")
    if not results_url:
        raise Failure(f"{name} is not deployed, or without results. Run: make deploy ENV={name}")
    return Target(
        name=name,
        results_url=results_url,
        submit_url=urls.get("submit"),
        callback_url=outputs.get("callback_url"),
        bucket=outputs.get("upload_bucket"),
        environment=environment,
        urls=urls,
    )


def read_outputs(infra: Path, name: str) -> dict[str, Any]:
    """Return the Terraform outputs of an environment; raises ``Failure``.

    The variable selects the workspace for one command
    (https://developer.hashicorp.com/terraform/cli/config/environment-variables#tf_workspace).
    """
    import msgspec

    from cli.deploy.programs import Terraform, is_installed

    if not is_installed("terraform"):
        raise Failure(
            "--env reads Terraform's outputs, and terraform is not installed: "
            "https://developer.hashicorp.com/terraform/install\nOr give the address: --url URL"
        )
    answer = Terraform(infra, {"TF_WORKSPACE": name}).capture("output", "-json")
    if answer.code:
        raise Failure(
            f"The outputs of {name} cannot be read: {answer.error_message}\n"
            f"Run: make plan ENV={name}"
        )
    try:
        outputs = msgspec.json.decode(answer.out or "{}", type=dict[str, dict[str, Any]])
    except msgspec.MsgspecError as error:
        raise Failure(f"The outputs of {name} are no JSON. Run: make plan ENV={name}") from error
    return {key: output.get("value") for key, output in outputs.items()}
