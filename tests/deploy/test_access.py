"""`make deploy` asks whether the deployer may use the pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.deploy.environment import ACCESS, load_environment
from tests.deploy.conftest import Run
from tests.deploy.fake_programs import PROJECT, FakePrograms
from tests.deploy.test_confirmation import at_a_terminal

BUILDER = "builder@acme-media-1.iam.gserviceaccount.com"


@pytest.fixture
def file(root: Path) -> Path:
    """The untouched example: nothing but the project is set."""
    path = root / "infra" / "production.tfvars"
    path.write_text(f'project = "{PROJECT}"')
    return path


@pytest.mark.parametrize(
    ("account", "answer", "members"),
    [
        ("ada@example.com", "\n", '["user:ada@example.com"]'),
        (BUILDER, "y\n", f'["serviceAccount:{BUILDER}"]'),
        ("ada@example.com", "n\n", "[]"),
    ],
)
def test_deploy_without_people_asks_once_and_writes_the_answer(
    account: str, answer: str, members: str, file: Path, root: Path, programs: FakePrograms
) -> None:
    """Enter is yes. The plan is made with the file as it is then."""
    programs.answer("gcloud auth list", account)
    code, output = at_a_terminal("deploy", root, answer, "y\n")
    assert code == 0, output
    lines = file.read_text().splitlines()
    assert lines[0] == f'project = "{PROJECT}"'
    assert [line for line in lines if line][1:] == [f"{name} = {members}" for name in ACCESS]
    assert load_environment(root / "infra", "production").unset_access == ()
    _, output = at_a_terminal("deploy", root, "n\n")
    assert "may upload" not in output


def test_deploy_without_people_and_terminal_says_that_nobody_may(
    run: Run, file: Path, programs: FakePrograms
) -> None:
    """An unattended deployment grants nothing that the file does not name."""
    file.write_text(f'project = "{PROJECT}"\nuploaders = ["user:ada@example.com"]\n')
    before = file.read_text()
    result = run("deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert "does not set submit_callers, results_callers" in result.output
    assert file.read_text() == before
    assert programs.calls_of("terraform apply")
