"""Rolling back, and taking over what somebody else has deployed."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.deploy.conftest import Run
from tests.deploy.fake_programs import FakePrograms

BACKEND = 'terraform {\n  backend "gcs" {\n    bucket = "acme-state"\n    prefix = "mavi"\n  }\n}\n'
SHARED = "gs://acme-state/mavi/production.tfvars"


@pytest.fixture
def history(root: Path, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose tag v1 has other functions than the checkout."""
    git = shutil.which("git", path=os.defpath)
    if git is None:
        pytest.skip("git is not installed")
    (programs.folder / "bin" / "git").symlink_to(git)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    (root / "functions" / "submit.py").write_text("OLD = True\n")
    for words in (
        ("init", "--quiet"),
        ("add", "functions"),
        (*who, "commit", "--quiet", "-m", "v1"),
        ("tag", "v1"),
    ):
        subprocess.run([git, "-C", root, *words], check=True)  # noqa: S603 - our own arguments
    (root / "functions" / "submit.py").write_text("NEW = True\n")
    return root


def test_rollback_deploys_the_functions_of_the_version(
    run: Run, programs: FakePrograms, history: Path
) -> None:
    """One command; the checkout stays as it is, and the secrets stay the stored ones."""
    result = run("rollback", "--to", "v1", "--yes")
    assert result.exit_code == 0, result.output
    (planned,) = programs.calls_of("terraform plan")
    (package,) = (history / "dist").iterdir()
    assert f"-var=package=../dist/{package.name}" in planned.text
    with zipfile.ZipFile(package) as archive:
        assert archive.read("submit.py") == b"OLD = True\n"
    assert (history / "functions" / "submit.py").read_text() == "NEW = True\n"
    assert len(programs.calls_of("terraform apply")) == 1


@pytest.mark.usefixtures("history")
def test_rollback_to_an_unknown_version_changes_nothing(run: Run, programs: FakePrograms) -> None:
    """The message says that it is no version."""
    result = run("rollback", "--to", "v9", "--yes")
    assert result.exit_code == 1
    assert "v9 is no version of this repository" in result.output
    assert programs.changes == []


def test_deploy_with_a_shared_state_keeps_the_variables_beside_it(
    run: Run, programs: FakePrograms, root: Path
) -> None:
    """Without a shared state, nothing is copied."""
    assert run("deploy", "--yes").exit_code == 0
    assert programs.calls_of("gcloud storage") == []
    (root / "infra" / "backend.tf").write_text(BACKEND)
    programs.answer("gcloud storage cp")
    result = run("deploy", "--yes")
    assert f"is kept at {SHARED}" in result.output
    (copied,) = programs.calls_of("gcloud storage cp")
    assert copied.text.startswith(f"gcloud storage cp {root}/infra/production.tfvars {SHARED}")


def test_deploy_whose_variables_cannot_be_kept_says_so(
    run: Run, programs: FakePrograms, root: Path
) -> None:
    """The deployment itself is done."""
    (root / "infra" / "backend.tf").write_text(BACKEND)
    programs.answer("gcloud storage cp", "ERROR: 403 no access", 1)
    result = run("deploy", "--yes")
    assert result.exit_code == 0
    assert f"could not be copied to {SHARED}: 403 no access" in result.output


def test_fetch_variables_gets_what_the_last_deployment_left(
    run: Run, programs: FakePrograms, root: Path
) -> None:
    """Whoever takes over has the fork with backend.tf, and nothing else."""
    (root / "infra" / "backend.tf").write_text(BACKEND)
    (root / "infra" / "production.tfvars").unlink()
    programs.answer("gcloud storage cp")
    result = run("fetch-variables")
    assert result.exit_code == 0, result.output
    assert "make plan ENV=production" in result.output
    (copied,) = programs.calls_of("gcloud storage cp")
    assert copied.text.startswith(f"gcloud storage cp {SHARED} {root}/infra/production.tfvars")


@pytest.mark.parametrize(
    ("backend", "keep", "sentence"),
    [
        ("", False, "infra/backend.tf is missing, or names no bucket"),
        ('terraform {\n  backend "local" {}\n}\n', False, "names no bucket"),
        (BACKEND, True, "is there already"),
        (BACKEND, False, "cannot be read: not found"),
    ],
)
def test_fetch_variables_that_cannot_be_fetched_says_why(
    run: Run, programs: FakePrograms, root: Path, backend: str, *, keep: bool, sentence: str
) -> None:
    """Nothing is overwritten."""
    if backend:
        (root / "infra" / "backend.tf").write_text(backend)
    if not keep:
        (root / "infra" / "production.tfvars").unlink()
    programs.answer("gcloud storage cp", "ERROR: not found", 1)
    result = run("fetch-variables")
    assert result.exit_code == 1
    assert sentence in result.output
