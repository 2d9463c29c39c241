"""Runs terraform and gcloud from PATH, with their output captured or shown."""

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
class Output:
    """Exit code and output of a program."""

    code: int
    out: str
    err: str

    @property
    def error_message(self) -> str:
        """The lines marked as errors, or else the first line of output."""
        # Terraform puts a frame around errors, and gcloud adds the API's whole answer.
        lines = [line.strip("│╷╵ \t") for line in (self.err.strip() or self.out).splitlines()]
        errors = [line[len("error:") :].strip() for line in lines if _ERROR.match(line)]
        return " ".join(errors) or next(filter(None, lines), "no output")


def is_installed(program: str) -> bool:
    """Tell whether ``program`` is on PATH."""
    return shutil.which(program) is not None


def capture(*command: str, environ: Mapping[str, str] | None = None) -> Output:
    """Run a program and capture its output; ``environ`` replaces the environment."""
    done = subprocess.run(  # noqa: S603 - our own commands, no shell
        command,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Output(done.returncode, done.stdout, done.stderr)


def gcloud(*arguments: str) -> Output:
    """Run gcloud without prompts."""
    return capture("gcloud", *arguments, "--quiet")


class Terraform:
    """Terraform in one folder, with additional environment variables."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environ = {**os.environ, "TF_IN_AUTOMATION": "1", **(environ or {})}

    def with_environ(self, environ: Mapping[str, str]) -> Terraform:
        """Return a copy with additional variables, which no process list shows."""
        return Terraform(self._folder, environ)

    def capture(self, *arguments: str) -> Output:
        """Run a command and capture its output, without colors; every command has that option."""
        return capture(*self._command(*arguments, "-no-color"), environ=self._environ)

    def show(self, *arguments: str, hint: str) -> None:
        """Run a command and show its output; raises ``StepFailed`` with ``hint``."""
        done = subprocess.run(  # noqa: S603 - our own commands, no shell
            self._command(*arguments), env=self._environ, check=False
        )
        if done.returncode:
            raise StepFailed(f"terraform {arguments[0]} failed. {hint}")

    def _command(self, *arguments: str) -> list[str]:
        return ["terraform", f"-chdir={self._folder}", *arguments]
