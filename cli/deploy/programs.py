"""Running terraform and gcloud: found on PATH, their output taken or shown."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.deploy.errors import StepFailed

_ERROR: Final = re.compile(r"error:\s*\S", re.IGNORECASE)


@dataclass(frozen=True)
class Result:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """What it calls an error; if it calls nothing so, the first line of what it said."""
        # Terraform puts a frame around errors, and gcloud adds the API's whole answer.
        lines = [line.strip("│╷╵ \t") for line in (self.err.strip() or self.out).splitlines()]
        errors = [line[len("error:") :].strip() for line in lines if _ERROR.match(line)]
        return " ".join(errors) or next(filter(None, lines), "it said nothing")


def is_installed(program: str) -> bool:
    """Tell whether ``program`` is on PATH."""
    return shutil.which(program) is not None


def ask(*command: str) -> Result:
    """Run a program and take its output."""
    done = subprocess.run(  # noqa: S603 - our own commands, no shell
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return Result(done.returncode, done.stdout, done.stderr)


def gcloud(*arguments: str) -> Result:
    """Run gcloud without questions."""
    return ask("gcloud", *arguments, "--quiet")


class Terraform:
    """Terraform in one folder, with one set of further environment variables."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        """Take the folder of the configuration, and variables such as ``TF_VAR_…``."""
        self._folder = folder
        self._environ = {**os.environ, "TF_IN_AUTOMATION": "1", **(environ or {})}

    def with_environ(self, environ: Mapping[str, str]) -> Terraform:
        """Return the same with further variables, which no process list shows."""
        return Terraform(self._folder, environ)

    def ask(self, *arguments: str) -> Result:
        """Run a command and take its output, without colours; every command has that switch."""
        done = subprocess.run(  # noqa: S603 - our own commands, no shell
            self._command((*arguments, "-no-color")),
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def show(self, *arguments: str, hint: str) -> None:
        """Run a command whose output is the user's; raises ``StepFailed`` with ``hint``."""
        done = subprocess.run(  # noqa: S603 - our own commands, no shell
            self._command(arguments), env=self._environ, check=False
        )
        if done.returncode:
            raise StepFailed(f"terraform {arguments[0]} failed. {hint}")

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return ["terraform", f"-chdir={self._folder}", *arguments]
