"""A checkout in which only the programs gcloud and terraform are fakes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.deploy import commands
from cli.deploy.environment import ACCESS
from tests.deploy.fake_programs import PROJECT, FakePrograms

ROOT = Path(__file__).resolve().parent.parent.parent

Run = Callable[..., Result]

NOBODY = "".join(f"{name} = []\n" for name in ACCESS)
"""The lines that give nobody access, so that no command asks."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one environment, ``production``."""
    root = tmp_path / "checkout"
    (root / "infra").mkdir(parents=True)
    shutil.copy(ROOT / "infra" / "variables.tf", root / "infra")
    (root / "infra" / "production.tfvars").write_text(f'project = "{PROJECT}"\n{NOBODY}')
    (root / "functions").mkdir()
    (root / "functions" / "submit.py").write_text("")
    (root / "functions" / "requirements.txt").write_text("")
    monkeypatch.setattr(commands, "ROOT", root)
    return root


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    """Both programs, with the answers of a deployed project without problems."""
    for name in list(os.environ):
        if name.startswith(("TF_VAR_", "MAVI_")) or name == "CI":
            monkeypatch.delenv(name)
    fake = FakePrograms(tmp_path)
    monkeypatch.setenv("PATH", fake.install())
    return fake


@pytest.fixture
def run(root: Path, programs: FakePrograms) -> Run:
    """Run a command of ``python -m cli.deploy``."""

    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(commands.main, list(arguments), catch_exceptions=False)

    return run_command
