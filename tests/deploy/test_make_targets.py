"""Each target of make runs one command, and asks unless YES=1 is given."""

from __future__ import annotations

import subprocess
from typing import Final

import pytest

from tests.deploy.conftest import ROOT

TARGETS: Final = {
    "package": "package",
    "plan": 'plan --env "production"',
    "plan ENV=staging YES=1": 'plan --env "staging"',
    "deploy": 'deploy --env "production"',
    "deploy ENV=staging YES=1": 'deploy --env "staging" --yes',
    "deploy ADOPT=1": 'deploy --env "production" --adopt',
    "rollback TO=v0.1.0": 'rollback --env "production" --to "v0.1.0"',
    "rollback TO=v0.1.0 YES=1": 'rollback --env "production" --yes --to "v0.1.0"',
    "fetch-variables ENV=staging": 'fetch-variables --env "staging"',
    "destroy": 'destroy --env "production"',
    "destroy ENV=staging YES=1": 'destroy --env "staging" --yes',
    "callback-url": 'callback-url --env "production"',
    "rotate-token": 'rotate-token --env "production"',
    "rotate-token RETIRE=1 YES=1": 'rotate-token --env "production" --yes --retire',
    "set-api-key": 'set-api-key --env "production"',
    "set-api-key YES=1": 'set-api-key --env "production" --yes',
}


@pytest.mark.parametrize("arguments", TARGETS)
def test_target_of_make_runs_exactly_its_command(arguments: str) -> None:
    """Each target runs one command, and asks unless YES=1 is given."""
    done = subprocess.run(  # noqa: S603 - only prints what it would run
        ["make", "-n", "--no-print-directory", *arguments.split()],  # noqa: S607 - the one on PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    found = [line for line in lines if "cli.deploy" in line]
    assert found == [f".venv/bin/python -m cli.deploy {TARGETS[arguments]}"]
